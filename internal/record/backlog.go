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
		room := j.take(size)
		if room == nil {
			return func() { j.giveBack(size) }, nil
		}
		if late == nil {
			timer := time.NewTimer(within)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-room:
		case <-late:
			return nil, errBacklog
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take takes room for so many bytes. When there is none it returns what to wait for.
// Where nothing waits there is room for anything.
func (j *journal) take(size int) (room <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	waiting := j.reserved + len(j.next.data)
	if j.writing != nil {
		waiting += len(j.writing.data)
	}
	if waiting == 0 || waiting+size <= j.backlog {
		j.reserved += size
		return nil
	}
	if j.room == nil {
		j.room = make(chan struct{})
	}
	return j.room
}

func (j *journal) giveBack(size int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.reserved -= size
	j.tellRoom()
}

// tellRoom tells who waits for room to look again; the caller holds the lock.
func (j *journal) tellRoom() {
	if j.room != nil {
		close(j.room)
		j.room = nil
	}
}

// hasRoom reports whether so many bytes more are within the bound of the backlog.
func (j *journal) hasRoom(size int) bool {
	if j.take(size) != nil {
		return false
	}
	j.giveBack(size)
	return true
}
