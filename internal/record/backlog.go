package record

import (
	"context"
	"time"
)

// reserve waits until so many bytes more are within the bound of the backlog, for a
// while at the most, and takes that room until release is called. The caller holds
// no writer's lock, as the journal needs it to go on.
func (j *journal) reserve(ctx context.Context, size int, within time.Duration) (release func(), err error) {
	var late <-chan time.Time
	for {
		busy := j.take(size)
		if busy == nil {
			return func() { j.take(-size) }, nil
		}
		if late == nil {
			timer := time.NewTimer(within)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-busy:
		case <-late:
			return nil, errBacklog
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take takes room for so many bytes, or gives it back. When there is none it returns
// what to wait for. Where nothing waits there is room for anything.
func (j *journal) take(size int) (busy <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	waiting := len(j.next.data)
	if j.writing != nil {
		waiting += len(j.writing.data)
	}
	if waiting == 0 || size < 0 || waiting+j.reserved+size <= j.backlog {
		j.reserved += size
		return nil
	}
	if j.writing != nil {
		return j.writing.written
	}
	return j.next.written
}

// hasRoom reports whether so many bytes more are within the bound of the backlog.
func (j *journal) hasRoom(size int) bool {
	if j.take(size) != nil {
		return false
	}
	j.take(-size)
	return true
}
