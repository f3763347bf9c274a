//go:build unix

package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// sendBuffer is the kernel's send buffer of an accepted connection, in bytes: a
// client that never reads fills it and nothing more.
const sendBuffer = 64 << 10

// limitSendBuffer sets the buffer on the listener, whose connections inherit it.
func limitSendBuffer(_, _ string, connection syscall.RawConn) error {
	// A kernel that refuses the option leaves its own default, which works too.
	return connection.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	})
}
