//go:build unix

package upstream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setReceiveBuffer bounds the connection's kernel buffer.
func setReceiveBuffer(connection syscall.Conn) {
	raw, err := connection.SyscallConn()
	if err != nil {
		return // it is closed
	}
	// A kernel that refuses the option leaves its own default, which works too.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	})
}
