//go:build !unix

package upstream

import "syscall"

// limitReceiveBuffer leaves the system's default where the option is unknown.
func limitReceiveBuffer(_, _ string, _ syscall.RawConn) error { return nil }
