// Package record keeps what is known of every exchange: who, when, what was
// sent and what was answered, byte for byte, with the credentials removed.
//
// A record begins in the spool, a log on local disk that all exchanges share. It
// is opened durably before upstream sees anything, grows while the exchange
// runs, and is closed with the final facts. The spool then settles it: one
// self-contained document goes to the archive, one row to the ledger, and when
// both have it the log lets go. Settling again is harmless, so whatever a crash
// leaves in the log is settled at the next start, and every exchange that was
// opened ends up with exactly one document and one row. The row comes first and at
// once, as budgets read it; the document follows in a quiet moment, within two
// seconds.
package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/exchange"
)

// Options are what a Spool is made of. Archive, Ledger and Log are required;
// each of the others has a default that is used when it is zero.
type Options struct {
	// Archive takes the documents.
	Archive Archive
	// Ledger takes the rows. It must be idempotent by id, and return when they
	// are durable.
	Ledger func(ctx context.Context, rows []exchange.Exchange) error
	Log    *slog.Logger

	// OpenTimeout is how long opening a record may wait for the disk; 2 s, and 100 ms
	// more for each MiB of the request's body.
	OpenTimeout time.Duration
	// BacklogBytes is what may wait in memory to be written; 64 MiB. When that
	// much waits, a write waits for BacklogWait, 5 s, and then fails; and opening a
	// record does, within OpenTimeout.
	BacklogBytes int
	BacklogWait  time.Duration
	// SegmentBytes is the size of the log's files; 64 MiB. MaxBytes is the size
	// of all together from which on no record is opened; 8 GiB. A file goes when
	// every exchange with an entry in it is settled, so one long stream can keep
	// one file, and what was written meanwhile in it, but no others.
	SegmentBytes int64
	MaxBytes     int64
	// Quiet is how long no exchange must have begun before documents are made;
	// 100 ms. They wait for that for two seconds at the most.
	Quiet time.Duration
	// Openings, if any, are told of every record before it is open: they outlive
	// the disk of a server that does not.
	Openings *Openings
	create   func(path string) (file, error) // for tests
}

func (o *Options) setDefaults() {
	if o.OpenTimeout == 0 {
		o.OpenTimeout = 2 * time.Second
	}
	if o.BacklogBytes == 0 {
		o.BacklogBytes = 64 << 20
	}
	if o.BacklogWait == 0 {
		o.BacklogWait = 5 * time.Second
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 8 << 30
	}
	o.SegmentBytes = min(o.SegmentBytes, o.MaxBytes/4) // so that there is always a file to let go of
	if o.Quiet == 0 {
		o.Quiet = 100 * time.Millisecond
	}
	if o.create == nil {
		o.create = createFile
	}
}

// Spool is where records live until they are settled.
type Spool struct {
	options Options
	dir     string
	lock    *os.File
	packer  *packer
	journal *journal
	old     []string // segments of earlier runs

	encoders sync.Pool // *entryWriter
	tails    tails

	mu   sync.Mutex
	wake *sync.Cond
	// uncounted are closed and wait for the ledger, unarchived are counted and
	// wait for the archive.
	uncounted, unarchived []*closing

	hurried int           // callers of Settle that wait
	settled chan struct{} // closed when nothing is left to settle; nil unless somebody waits
	open    int           // opened and not yet settled
	opened  time.Time     // when the last one was
	closing bool
	idle    chan struct{} // closed when closing and nothing is left to settle
	workers sync.WaitGroup
	stop    context.CancelFunc
}

// OpenSpool opens the spool in dir, which it makes where it is missing. What an
// earlier run left there is untouched until Recover.
func OpenSpool(dir string, options Options) (*Spool, error) {
	options.setDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	old, next, err := segmentFiles(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the spool: %w", err), lock.Close())
	}
	packer, err := newPacker()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the spool: %w", err), lock.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Spool{
		options: options, dir: dir, lock: lock, packer: packer, old: old,
		idle: make(chan struct{}), stop: stop,
		encoders: sync.Pool{New: func() any { return new(entryWriter) }},
	}
	s.wake = sync.NewCond(&s.mu)
	s.journal = openJournal(dir, next, &s.options)
	s.workers.Go(func() { s.count(ctx) })
	for range archivers {
		s.workers.Go(func() { s.store(ctx) })
	}
	return s, nil
}

// Open opens the record of an exchange. body is what is known of the request's body,
// as WriteRequest takes it; what follows is written later. When Open returns nil all
// of it is on disk, and neither a crash nor a power failure takes it. It fails, within
// OpenTimeout, when that cannot be had.
func (s *Spool) Open(ctx context.Context, e exchange.Exchange, request Message, body []byte) (*Writer, error) {
	w, err := s.begin(ctx, e, request, body)
	if err != nil {
		return nil, fmt.Errorf("open a record: %w", err)
	}
	return w, nil
}

// openPerMiB is how much longer opening a record may wait for each MiB of its body:
// a slow disk that works is no disk that hangs.
const openPerMiB = 100 * time.Millisecond

func (s *Spool) begin(ctx context.Context, e exchange.Exchange, request Message, body []byte) (*Writer, error) {
	id, err := uuid.Parse(e.ID)
	if err != nil {
		return nil, err
	}
	payload, err := encodeOpening(e, request)
	if err != nil {
		return nil, err
	}
	release, err := s.admit(ctx, len(payload)+len(body))
	if err != nil {
		return nil, err
	}
	w := s.newWriter(id)
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		release()
		return nil, errClosed
	}
	s.open++
	s.opened = time.Now()
	s.mu.Unlock()

	noted := s.options.Openings.begin(ctx, s.options.OpenTimeout, e, request, body)
	b, err := w.open(payload, body)
	release()
	if err == nil {
		timeout := time.NewTimer(s.options.OpenTimeout + time.Duration(len(body)>>20)*openPerMiB)
		defer timeout.Stop()
		select {
		case <-b.synced:
			err = cmp.Or(b.err, w.failure())
		case <-timeout.C:
			err = errHangs
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err = errors.Join(err, noted()); err != nil {
		s.abandon(w, b)
		return nil, err
	}
	return w, nil
}

// admit returns when so many bytes may be appended for a new record. While the disk
// hangs nothing gathers: neither memory nor patience has room for it.
func (s *Spool) admit(ctx context.Context, size int) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.journal.full() {
		return nil, errFull
	}
	if err := s.journal.hanging(); err != nil {
		return nil, err
	}
	return s.journal.reserve(ctx, size, s.options.OpenTimeout)
}

// abandon lets go of a record that was not opened in time, though its entries, in
// the batch, may still reach the disk.
func (s *Spool) abandon(w *Writer, b *batch) {
	go func() {
		if b != nil {
			<-b.written
		}
		tidying, cancel := context.WithTimeout(context.Background(), s.options.OpenTimeout)
		defer cancel()
		_ = s.options.Openings.end(tidying, w.id.String()) // a note that stays is swept
		w.settled()
		s.forget(1)
	}()
}

// Ready returns why no record could be opened now; nil when one could. After a
// failure it asks the disk, as nothing else would while nobody sends requests to
// a proxy that is not ready.
func (s *Spool) Ready(ctx context.Context) error {
	if s.journal.full() {
		return errFull
	}
	if err := s.journal.hanging(); err != nil {
		return err
	}
	if s.journal.failing() == nil && s.journal.inPlace() == nil {
		return nil
	}
	probe := s.newWriter(uuid.Nil)
	probe.mu.Lock()
	b, err := probe.append(true, func(b *entryWriter) { b.add(probe, entrySettled, nil) })
	probe.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-b.synced:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the spool: %w", ctx.Err())
	}
}

// Depth returns how many exchanges are open or not yet settled, and how many
// bytes the log takes on disk.
func (s *Spool) Depth() (exchanges int, bytes int64) {
	_, bytes = s.journal.depth()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, bytes
}

// Settle settles what is closed now, without waiting for a quiet moment, and
// returns when nothing is left, open records included; or when ctx ends, with an
// error that says how many stay in the spool.
func (s *Spool) Settle(ctx context.Context) error {
	s.mu.Lock()
	if s.open == 0 {
		s.mu.Unlock()
		return nil
	}
	s.hurried++
	if s.settled == nil {
		s.settled = make(chan struct{})
	}
	settled := s.settled
	s.wake.Broadcast()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hurried--
	}()
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		depth, _ := s.Depth()
		return fmt.Errorf("%d exchanges stay in the spool: %w", depth, ctx.Err())
	}
}

// Close settles what is closed, for as long as ctx allows, and closes the log.
// What is still open then, or could not be settled, stays for Recover.
func (s *Spool) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.checkIdle()
	s.wake.Broadcast()
	s.mu.Unlock()
	var err error
	select {
	case <-s.idle:
	case <-ctx.Done():
		depth, _ := s.Depth()
		err = fmt.Errorf("%d exchanges stay in the spool for the next start: %w", depth, ctx.Err())
	}
	s.stop()
	s.mu.Lock()
	s.wake.Broadcast()
	s.mu.Unlock()
	s.workers.Wait()
	s.tails.stop()
	return errors.Join(err, s.journal.close(ctx), s.packer.encoder.Close(), s.lock.Close())
}
