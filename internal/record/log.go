package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"
)

// file is what the log needs of a segment's file; tests put faults between.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// createFile makes a segment's file, which must not exist.
func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
}

// segment is one file of the log.
type segment struct {
	path string
	file file
	size int64 // of what is whole in it
	// users counts the exchanges that have entries in it. At zero, and when it
	// is no longer written, it is deleted.
	users  int
	sealed bool
	// damaged segments are set aside and not deleted.
	damaged bool
}

// place is where an entry's payload stands.
type place struct {
	segment *segment
	offset  int64
	length  int
}

// journal is the log that all exchanges share: entries are appended to a buffer,
// and one goroutine writes what has gathered, with one write, and one fsync if
// anybody asked for it. Whoever waits, waits for the batch and not for a turn of
// their own.
type journal struct {
	dir      string
	create   func(path string) (file, error)
	segment  int64         // bytes after which a new segment begins
	max      int64         // bytes of all segments together
	backlog  int           // bytes that may wait to be written
	patience time.Duration // for which a write waits for the backlog

	mu       sync.Mutex
	next     *batch        // gathers entries
	writing  *batch        // is being written; nil when none is
	work     chan struct{} // tells the writer that next is not empty
	closed   bool
	current  *segment
	number   int
	segments map[*segment]struct{}
	failure  error // of the last batch; nil once one is synced

	done chan struct{}
}

// batch is what is written together.
type batch struct {
	data    []byte
	entries []pending
	sync    bool
	done    chan struct{} // closed when the batch is written, or has failed
	err     error         // valid after done
}

// pending is an entry of a batch and the exchange that waits to know its place.
type pending struct {
	writer   *Writer
	kind     kind
	sequence uint32
	start    int
	length   int // of the payload
}

func openJournal(dir string, first int, o *Options) *journal {
	j := &journal{
		dir: dir, create: o.create, segment: o.SegmentBytes, max: o.MaxBytes,
		backlog: o.BacklogBytes, patience: o.BacklogWait,
		next: newBatch(), work: make(chan struct{}, 1), number: first,
		segments: map[*segment]struct{}{}, done: make(chan struct{}),
	}
	go j.run()
	return j
}

// largestSpare bounds the memory that is kept for the next batch.
const largestSpare = 1 << 20

func newBatch() *batch { return &batch{done: make(chan struct{})} }

var (
	errClosed  = errors.New("the spool is closed")
	errBacklog = errors.New("the disk does not keep up with what is to be recorded")
	errFull    = errors.New("the spool has reached its largest size, as the archive or the ledger does not take what is in it")
)

// append adds an entry of the writer's to the batch that gathers, and returns
// that batch. The caller holds the writer's lock, which keeps the writer's
// entries in order.
func (j *journal) append(w *Writer, k kind, payload []byte, syncIt bool) (*batch, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, errClosed
	}
	b := j.next
	start := len(b.data)
	b.data = appendEntry(b.data, k, w.id, w.sequence, payload)
	b.entries = append(b.entries, pending{writer: w, kind: k, sequence: w.sequence, start: start, length: len(payload)})
	b.sync = b.sync || syncIt
	w.sequence++
	select {
	case j.work <- struct{}{}:
	default:
	}
	return b, nil
}

// room waits until the backlog is within its bound, for a while at the most. The
// caller holds no writer's lock, as the journal needs it to go on.
func (j *journal) room() error {
	var late <-chan time.Time
	for {
		j.mu.Lock()
		waiting := len(j.next.data)
		busy := j.writing
		j.mu.Unlock()
		if waiting <= j.backlog || busy == nil {
			return nil
		}
		if late == nil {
			timer := time.NewTimer(j.patience)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-busy.done:
		case <-late:
			return errBacklog
		}
	}
}

// wait waits until all that was appended so far is written, or could not be.
func (j *journal) wait(ctx context.Context) error {
	b := j.gathering()
	if b == nil {
		return nil
	}
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the spool: %w", ctx.Err())
	}
}

// gathering returns the batch to wait for if everything appended so far is to be
// written; nil when all is.
func (j *journal) gathering() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.next.entries) > 0 {
		return j.next
	}
	return j.writing
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

// failing returns why the last batch could not be written; nil when it was.
func (j *journal) failing() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failure
}

// run writes batch after batch until the journal is closed and empty.
func (j *journal) run() {
	defer close(j.done)
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
		j.next, j.writing = newBatch(), b
		j.next.data = spare
		j.mu.Unlock()

		s, base, err := j.write(b)

		for _, e := range b.entries {
			e.writer.written(e, place{s, base + int64(e.start) + headerSize, e.length}, err, j)
		}
		if s != nil && s.size >= j.segment {
			j.seal(s)
		}
		b.err = err
		if spare = b.data[:0]; cap(spare) > largestSpare {
			spare = nil
		}
		b.data, b.entries = nil, nil
		// Only now is it not being written: who waits for its entries, waits
		// until their exchanges know of them.
		j.mu.Lock()
		j.writing = nil
		if err != nil || b.sync { // a write alone does not show that the disk syncs
			j.failure = err
		}
		close(b.done)
		again := len(j.next.entries) > 0 || j.closed
		j.mu.Unlock()
		if again {
			select {
			case j.work <- struct{}{}:
			default:
			}
		}
	}
}

// write writes a batch to the current segment and returns where it begins. After
// a failure nothing of the batch counts, and the segment ends before it.
func (j *journal) write(b *batch) (s *segment, base int64, err error) {
	if s, err = j.writable(); err != nil {
		return nil, 0, err
	}
	base = s.size
	if _, err = s.file.Write(b.data); err == nil && b.sync {
		err = s.file.Sync()
	}
	if err != nil {
		err = fmt.Errorf("write to the spool: %w", err)
		// After a failed fsync nobody knows what is on the disk: the segment is
		// given up, and what is whole in it stays readable.
		truncated := s.file.Truncate(base)
		j.seal(s)
		return nil, 0, errors.Join(err, truncated)
	}
	j.mu.Lock()
	s.size += int64(len(b.data))
	j.mu.Unlock()
	return s, base, nil
}

// writable returns the segment to write to, beginning a new one where needed.
func (j *journal) writable() (*segment, error) {
	if j.current != nil {
		return j.current, nil
	}
	path := filepath.Join(j.dir, fmt.Sprintf("%010d.log", j.number))
	j.number++
	f, err := j.create(path)
	if err == nil {
		err = syncDirectory(j.dir)
	}
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close(), os.Remove(path))
		}
		return nil, fmt.Errorf("begin a segment of the spool: %w", err)
	}
	s := &segment{path: path, file: f}
	j.mu.Lock()
	j.segments[s] = struct{}{}
	j.mu.Unlock()
	j.current = s
	return s, nil
}

// seal ends a segment; it goes when its last exchange is settled.
func (j *journal) seal(s *segment) {
	j.current = nil
	j.mu.Lock()
	s.sealed = true
	j.mu.Unlock()
	j.release(s, 0)
}

// use counts one more exchange with entries in the segment.
func (j *journal) use(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.users++
}

// release counts exchanges that need the segment no more, and deletes it when
// nobody does.
func (j *journal) release(s *segment, users int) {
	j.mu.Lock()
	s.users -= users
	unused := s.sealed && s.users == 0
	if unused {
		delete(j.segments, s)
	}
	j.mu.Unlock()
	if unused {
		_ = s.discard() // one that stays is settled again at the next start, which is harmless
	}
}

// discard closes the segment and deletes its file.
func (s *segment) discard() error {
	if err := s.file.Close(); err != nil {
		return err
	}
	if s.damaged {
		return os.Rename(s.path, s.path+".damaged")
	}
	return os.Remove(s.path)
}

// close writes what has gathered and ends the writer.
func (j *journal) close(ctx context.Context) error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	select {
	case j.work <- struct{}{}:
	default:
	}
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

// segmentFiles returns the segments in dir in the order in which they were
// written, and the number that the next one gets.
func segmentFiles(dir string) (paths []string, next int, err error) {
	paths, err = filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, 0, err
	}
	sort.Strings(paths)
	next = 1
	if len(paths) > 0 {
		if _, err := fmt.Sscanf(filepath.Base(paths[len(paths)-1]), "%d.log", &next); err != nil {
			return nil, 0, fmt.Errorf("%s is no segment of the spool: move it away", paths[len(paths)-1])
		}
		next++
	}
	return paths, next, nil
}
