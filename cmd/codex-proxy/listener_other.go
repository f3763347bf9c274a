//go:build !unix

package main

import "syscall"

// limitSendBuffer leaves the system's default where the option is unknown.
func limitSendBuffer(_, _ string, _ syscall.RawConn) error { return nil }
