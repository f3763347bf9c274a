//go:build unix

package upstream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitReceiveBuffer bounds the connection's kernel buffer before it connects.
func limitReceiveBuffer(_, _ string, connection syscall.RawConn) error {
	// A kernel that refuses the option leaves its own default, which works too.
	return connection.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	})
}
