// Package memory bounds the sum of what a process holds for its callers: bodies,
// decoded bodies, messages and events that wait to be whole. A bound on each of
// them says nothing about all of them together.
package memory

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// FullError says that a budget had no room for so long that the wait was given up.
type FullError struct {
	// Bytes is what was asked for, Limit what may be held in all.
	Bytes, Limit int64
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("no room for %d more bytes: the %d MiB that may be held in memory at once are in use", e.Bytes, e.Limit>>20)
}

// Budget is a number of bytes that leases share. It is safe for concurrent use.
type Budget struct {
	limit int64
	wait  time.Duration
	free  *semaphore.Weighted
	held  atomic.Int64
}

// NewBudget returns a budget of limit bytes, in which a lease waits for room for
// as long as wait.
func NewBudget(limit int64, wait time.Duration) *Budget {
	return &Budget{limit: limit, wait: wait, free: semaphore.NewWeighted(limit)}
}

// Limit returns the bytes that may be held in all.
func (b *Budget) Limit() int64 { return b.limit }

// Held returns the bytes that are held now.
func (b *Budget) Held() int64 { return b.held.Load() }

// Lease returns an empty lease.
func (b *Budget) Lease() *Lease { return &Lease{budget: b} }

// Lease is the part of a budget that one holder has taken. One goroutine uses it
// at a time. It must be released.
type Lease struct {
	budget *Budget
	bytes  int64
}

// Bytes returns what the lease has taken.
func (l *Lease) Bytes() int64 { return l.bytes }

// Grow takes n more bytes. It waits for room, first come, first served, until ctx
// ends or the budget's wait is over, which is a *FullError.
func (l *Lease) Grow(ctx context.Context, n int64) error {
	b := l.budget
	if n <= 0 {
		return nil
	}
	if l.bytes+n > b.limit {
		return &FullError{n, b.limit}
	}
	if !b.free.TryAcquire(n) {
		waiting, cancel := context.WithTimeout(ctx, b.wait)
		defer cancel()
		if err := b.free.Acquire(waiting, n); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return &FullError{n, b.limit}
		}
	}
	l.bytes += n
	b.held.Add(n)
	return nil
}

// Resize takes or gives back what is missing or too much for n bytes in all.
func (l *Lease) Resize(ctx context.Context, n int64) error {
	if n >= l.bytes {
		return l.Grow(ctx, n-l.bytes)
	}
	l.shrink(l.bytes - n)
	return nil
}

// Release gives everything back. The lease can be used again.
func (l *Lease) Release() { l.shrink(l.bytes) }

func (l *Lease) shrink(n int64) {
	if n == 0 {
		return
	}
	l.bytes -= n
	l.budget.held.Add(-n)
	l.budget.free.Release(n)
}
