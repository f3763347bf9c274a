package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// journal is the log that all exchanges share: entries are appended to a buffer, and
// one goroutine writes what has gathered, with one write. A second one syncs behind
// it if anybody asked for that, so that no write waits for a sync. Whoever waits,
// waits for the batch and not for a turn of their own.
type journal struct {
	dir      string
	create   func(path string) (file, error)
	segment  int64         // bytes after which a new segment begins
	max      int64         // bytes of all segments together
	backlog  int           // bytes that may wait to be written
	patience time.Duration // for which a write waits for the backlog
	tooLate  time.Duration // after which a sync that is not done means a disk that hangs

	mu       sync.Mutex
	next     *batch        // gathers entries
	writing  *batch        // is being written; nil when none is
	reserved int           // bytes that are about to be appended
	room     chan struct{} // closed when there may be room; nil while nobody waits
	unsynced []*batch
	lastSync *batch // the last one that was asked to be synced
	batches  uint64 // how many there were
	closed   bool
	current  *segment // is written; only the writer changes it
	number   int
	segments map[*segment]struct{}
	failure  error  // of the last batch; nil once one is synced
	failedAt uint64 // the number of that batch

	work, syncWork chan struct{} // tell the writer and the syncer that there is something
	done           chan struct{}
}

// batch is what is written together.
type batch struct {
	number   uint64
	data     []byte
	entries  []pending
	segment  *segment   // which it was written to
	refersTo []*segment // where chunks stand that its entries refer to
	sync     bool
	asked    time.Time     // when a sync was first asked for
	written  chan struct{} // closed when the batch is written, or has failed
	synced   chan struct{} // closed when it is on the disk, or has failed; if sync
	err      error         // valid after synced, or after written where it was a write that failed
}

func openJournal(dir string, first int, o *Options) *journal {
	j := &journal{
		dir: dir, create: o.create, segment: o.SegmentBytes, max: o.MaxBytes,
		backlog: o.BacklogBytes, patience: o.BacklogWait, tooLate: o.OpenTimeout,
		work: make(chan struct{}, 1), syncWork: make(chan struct{}, 1), number: first,
		segments: map[*segment]struct{}{}, done: make(chan struct{}),
	}
	j.next = j.newBatch()
	go j.run()
	go j.syncBehind()
	return j
}

// largestSpare bounds the memory that is kept for the next batch.
const largestSpare = 1 << 20

// newBatch returns the next batch; the caller holds the lock.
func (j *journal) newBatch() *batch {
	j.batches++
	return &batch{number: j.batches, written: make(chan struct{}), synced: make(chan struct{})}
}

var (
	errClosed  = errors.New("the spool is closed")
	errBacklog = errors.New("the disk does not keep up with what is to be recorded")
	errHangs   = errors.New("the disk did not answer in time")
	errFull    = errors.New("the spool has reached its largest size, as the archive or the ledger does not take what is in it")
)

// append adds a writer's entries to the batch that gathers, all to the same, and
// returns that batch. The caller holds the writer's lock, which keeps the writer's
// entries in order.
func (j *journal) append(b *entryWriter, syncIt bool) (*batch, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, errClosed
	}
	to := j.next
	base := len(to.data)
	to.data = append(to.data, b.data...)
	for _, e := range b.entries {
		e.start += base
		to.entries = append(to.entries, e)
		for _, c := range e.chunks {
			if c.at.segment != nil && !slices.Contains(to.refersTo, c.at.segment) {
				to.refersTo = append(to.refersTo, c.at.segment)
			}
		}
	}
	if syncIt {
		j.ask(to)
	}
	wake(j.work)
	return to, nil
}

// ask has a batch synced once it is written; the caller holds the lock.
func (j *journal) ask(b *batch) {
	if b.sync {
		return
	}
	b.sync, b.asked = true, time.Now()
	if j.lastSync == nil || j.lastSync.number < b.number {
		j.lastSync = b
	}
}

func wake(worker chan<- struct{}) {
	select {
	case worker <- struct{}{}:
	default:
	}
}

// waitSynced waits until all that was to be synced so far is, or could not be.
func (j *journal) waitSynced(ctx context.Context) error {
	j.mu.Lock()
	b := j.lastSync
	j.mu.Unlock()
	if b == nil {
		return nil
	}
	return waitFor(ctx, b.synced)
}

func waitFor(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the spool: %w", ctx.Err())
	}
}

// full reports whether the log may take no new exchange.
func (j *journal) full() bool {
	_, size := j.depth()
	return size > j.max
}

// depth returns the bytes of all segments.
func (j *journal) depth() (segments int, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for s := range j.segments {
		size += s.size
	}
	return len(j.segments), size
}

// failing returns why the last batch could not be written or synced; nil when it was.
func (j *journal) failing() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failure
}

// inPlace returns ErrMoved if the next start would not find what is written now.
func (j *journal) inPlace() error {
	j.mu.Lock()
	s := j.current
	j.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.inPlace()
}

// hanging returns an error when a sync is not done for longer than anybody waits for
// it: what is appended now would wait in vain, and pile up.
func (j *journal) hanging() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.next
	if len(j.unsynced) > 0 {
		oldest = j.unsynced[0]
	} else if j.writing != nil && j.writing.sync {
		oldest = j.writing
	}
	if oldest.sync && time.Since(oldest.asked) > j.tooLate {
		return errHangs
	}
	return nil
}

// run writes batch after batch until the journal is closed and empty.
func (j *journal) run() {
	defer close(j.syncWork)
	var spare []byte // what the batch before had its data in
	for range j.work {
		j.mu.Lock()
		b := j.next
		if len(b.entries) == 0 {
			closed := j.closed
			j.mu.Unlock()
			if closed {
				return
			}
			continue
		}
		j.next, j.writing = j.newBatch(), b
		j.next.data = spare
		j.mu.Unlock()

		base, err := j.write(b)
		for i := range b.entries {
			e := &b.entries[i]
			e.writer.written(e, b.segment, base, err)
		}
		if spare = b.data[:0]; cap(spare) > largestSpare {
			spare = nil
		}
		j.finish(b, err)
	}
}

// write writes a batch to the current segment and returns where it begins. After
// a failure nothing of the batch counts, and the segment ends before it.
func (j *journal) write(b *batch) (base int64, err error) {
	s, err := j.writable()
	if err != nil {
		return 0, err
	}
	if _, err = s.file.Write(b.data); err != nil {
		truncated := s.file.Truncate(s.size)
		j.seal(s)
		return 0, errors.Join(fmt.Errorf("write to the spool: %w", err), truncated)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	base, b.segment = s.size, s
	s.size += int64(len(b.data))
	if !s.dirty {
		s.dirty = true
		s.users++
	}
	return base, nil
}

// finish tells who waits for a batch that it is written, and hands it to the syncer.
// Only now is it not being written: who waits for its entries, waits until their
// exchanges know of them.
func (j *journal) finish(b *batch, err error) {
	s := b.segment
	full := s != nil && s.size >= j.segment
	j.mu.Lock()
	j.writing = nil
	j.tellRoom()
	if full {
		j.ask(b) // so that the segment can go when nobody else needs it
	}
	b.data, b.err = nil, err
	switch {
	case err != nil:
		j.failure, j.failedAt = err, b.number
		close(b.synced)
	case b.sync:
		j.unsynced = append(j.unsynced, b)
	}
	if err == nil {
		s.share(b.entries)
	}
	if err != nil || !b.sync {
		b.entries = nil
	}
	again := len(j.next.entries) > 0 || j.closed
	close(b.written)
	j.mu.Unlock()
	if full {
		j.seal(s)
	}
	if b.sync {
		wake(j.syncWork)
	}
	if again {
		wake(j.work)
	}
}

// share lets later bodies refer to the chunks of entries; the caller holds the lock.
func (s *segment) share(entries []pending) {
	for _, e := range entries {
		for _, c := range e.chunks {
			if c.shared && !c.reference && len(s.shared) < maxShared {
				s.shared[c.sum] = c.at
			}
		}
	}
}

// close writes and syncs what has gathered and ends the goroutines.
func (j *journal) close(ctx context.Context) error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	wake(j.work)
	select {
	case <-j.done:
	case <-ctx.Done():
		return fmt.Errorf("write the rest of the spool: %w", ctx.Err())
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var errs []error
	for s := range j.segments {
		if s.users == 0 {
			errs = append(errs, s.discard())
		} else {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}
