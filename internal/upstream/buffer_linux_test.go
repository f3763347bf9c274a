package upstream

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTheKernelsBufferIsBoundedWhereAConnectionCarriesOneAnswer: the connection that all
// streams of HTTP/2 share must hold a round trip's worth of all of them.
func TestTheKernelsBufferIsBoundedWhereAConnectionCarriesOneAnswer(t *testing.T) {
	const receiveLock = 2 // SOCK_RCVBUF_LOCK: the kernel does not enlarge the buffer
	for _, http2 := range []bool{false, true} {
		server, transport := startTLS(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
		if !http2 {
			transport.ForceAttemptHTTP2, transport.TLSClientConfig.NextProtos = false, []string{"http/1.1"}
		}
		var socket syscall.RawConn
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			socket, _ = info.Conn.(*tls.Conn).NetConn().(syscall.Conn).SyscallConn()
		}})
		response, err := get(ctx, transport, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if spoken := response.ProtoMajor == 2; spoken != http2 {
			t.Fatalf("upstream spoke %s", response.Proto)
		}
		var size, lock int
		var errs [2]error
		_ = socket.Control(func(fd uintptr) {
			size, errs[0] = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
			lock, errs[1] = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BUF_LOCK)
		})
		if errs[1] != nil {
			t.Skip("this kernel does not tell whether a buffer is bounded")
		}
		isBounded := lock&receiveLock != 0
		if isBounded == http2 || isBounded && size > 2*receiveBuffer || errs[0] != nil { // Linux counts twice
			t.Errorf("over %s the buffer is %d KiB, bounded: %t (%v)", response.Proto, size>>10, isBounded, errs[0])
		}
	}
}
