package gateway

import (
	"context"
	"errors"
	"slices"

	"codex-proxy/internal/memory"
	"codex-proxy/internal/refusal"
)

const (
	// uncounted is what one message, or one event that is not whole, may take
	// without room in the budget, in bytes: a stream of small ones never waits.
	uncounted = 16 << 10
	// A coded body may unfold to maxRatio times its size, and to unfoldsFreely bytes
	// in any case. Deflate, which WebSockets use too, can't do more; what zstd can
	// do beyond that serves nobody who means well.
	maxRatio      = 1032
	unfoldsFreely = 1 << 20
)

// maxUnfolded returns how many bytes so many coded ones may unfold to.
func maxUnfolded(coded int, limit int64) int64 {
	return min(limit, unfoldsFreely+int64(coded)*maxRatio)
}

// noRoom refuses what there is no room for in memory; nil for other errors.
func noRoom(err error) *refusal.Refusal {
	var full *memory.FullError
	if !errors.As(err, &full) {
		return nil
	}
	return refusal.Unavailable("the proxy holds as much in memory for other requests as it may just now. Try again soon.")
}

// grow returns the slice with room for size bytes in all, once there is room for it
// in the budget.
func grow(ctx context.Context, lease *memory.Lease, body []byte, size int64) ([]byte, error) {
	if size > uncounted {
		if err := lease.Resize(ctx, size); err != nil {
			return body, err
		}
	}
	return slices.Grow(body, int(size)-len(body)), nil
}
