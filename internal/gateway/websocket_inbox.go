package gateway

import (
	"context"
	"io"

	"github.com/coder/websocket"

	"codex-proxy/internal/memory"
)

// inbox reads the messages of one side of a WebSocket, each whole. A message takes
// room in the budget until the next one is read.
type inbox struct {
	connection *websocket.Conn
	limit      int64 // bytes of a message
	lease      *memory.Lease
}

func (s *socket) inbox(c *websocket.Conn) *inbox {
	return &inbox{connection: c, limit: s.g.Limits.Frame, lease: s.g.Memory.Lease()}
}

// next reads one message. With errTooLong, and with a *memory.FullError, it returns
// what it read.
func (in *inbox) next(ctx context.Context) (websocket.MessageType, []byte, error) {
	in.lease.Release()
	kind, reader, err := in.connection.Reader(ctx)
	if err != nil {
		return 0, nil, err
	}
	message := make([]byte, 0, 512)
	for {
		if len(message) == cap(message) {
			if message, err = grow(ctx, in.lease, message, min(2*int64(cap(message)), in.limit+512)); err != nil {
				return kind, message, err
			}
		}
		n, err := reader.Read(message[len(message):cap(message)])
		message = message[:len(message)+n]
		switch {
		case int64(len(message)) > in.limit:
			return kind, message, errTooLong
		case err == io.EOF:
			return kind, message, nil
		case err != nil:
			return kind, message, err
		}
	}
}
