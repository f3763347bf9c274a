//go:build !unix

package upstream

import "syscall"

// setReceiveBuffer leaves the system's default where the option is unknown.
func setReceiveBuffer(syscall.Conn) {}
