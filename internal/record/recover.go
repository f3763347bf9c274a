package record

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/exchange"
)

// Recover settles what an earlier run left in the spool. Exchanges that were
// closed are settled as they are. Those that were still open are closed as
// interrupted; finish may fill in what their bodies tell, such as the usage. It
// returns how many of these there were. Call it once, before the first Open.
func (s *Spool) Recover(ctx context.Context, finish func(e *exchange.Exchange, request, response io.Reader)) (interrupted int, err error) {
	r := recovery{spool: s, found: map[uuid.UUID]*found{}}
	for i, path := range s.old {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("recover the spool: %w", err)
		}
		if err := r.read(path, i == len(s.old)-1); err != nil {
			return 0, fmt.Errorf("recover the spool: %w", err)
		}
	}
	s.old = nil
	for _, id := range r.order {
		f := r.found[id]
		if f.settled || (f.opened == nil && f.closed == nil) {
			f.release()
			continue
		}
		var e exchange.Exchange
		if f.closed != nil {
			e = f.close()
		} else {
			interrupted++
			e = f.interrupt(finish)
		}
		f.writer.closed = true
		s.mu.Lock()
		s.open++
		s.mu.Unlock()
		s.settleLater(&closing{writer: f.writer, exchange: e, recovered: true})
	}
	for _, segment := range r.segments {
		s.journal.release(segment, 1) // the reader's own use
	}
	return interrupted, nil
}

// recovery is the reading of old segments.
type recovery struct {
	spool    *Spool
	found    map[uuid.UUID]*found
	order    []uuid.UUID
	segments []*segment
}

// found is what the log holds of one exchange.
type found struct {
	writer  *Writer
	opened  *opening
	closed  *ending
	status  int
	settled bool
	last    time.Time
}

// read takes up one segment. The last one may end in the middle of an entry, as
// that is where the crash came; anywhere else that is damage, which is reported,
// and the file is set aside once what is readable in it is settled.
func (r *recovery) read(path string, last bool) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s := &segment{path: path, file: f, size: info.Size(), sealed: true, users: 1}
	j := r.spool.journal
	j.mu.Lock()
	j.segments[s] = struct{}{}
	j.mu.Unlock()
	r.segments = append(r.segments, s)

	reader := bufio.NewReaderSize(f, 1<<20)
	for at := int64(0); ; {
		e, err := readEntry(reader)
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, errTorn) && last {
			r.spool.options.Log.Warn("the spool ends in the middle of an entry, where the last run stopped", "file", path, "offset", at)
			s.size = at
			return f.Truncate(at) // for the next start it is not the last
		}
		if errors.Is(err, errTorn) || errors.Is(err, errMarred) {
			r.spool.options.Log.Error("a segment of the spool is damaged; what comes after is lost, and the file is set aside", "file", path, "offset", at, "error", err)
			s.damaged = true
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.take(e, place{s, at + headerSize, len(e.payload)}, info.ModTime()); err != nil {
			return err
		}
		at += e.size
	}
}

// take adds an entry to what is known of its exchange.
func (r *recovery) take(e entry, at place, when time.Time) error {
	f := r.found[e.id]
	if f == nil {
		f = &found{writer: r.spool.newWriter(e.id)}
		r.found[e.id] = f
		r.order = append(r.order, e.id)
	}
	w := f.writer
	if e.sequence > w.sequence {
		w.fail(errors.New("a part of the spool is missing"))
	}
	w.sequence = max(w.sequence, e.sequence+1)
	f.last = when
	entry := written{e.kind, at}
	var err error
	switch e.kind {
	case entryOpened:
		f.opened = new(opening)
		err = entry.decode(f.opened)
	case entryClosed:
		f.closed = new(ending)
		err = entry.decode(f.closed)
	case entryAnswer:
		var answer head
		err = entry.decode(&answer)
		f.status = answer.Status
	case entrySettled:
		f.settled = true
		return nil
	}
	if err != nil {
		return err
	}
	w.entries = append(w.entries, entry)
	w.use(at.segment, r.spool.journal)
	return nil
}

// close takes up what was noted when the exchange ended.
func (f *found) close() exchange.Exchange {
	w, c := f.writer, f.closed
	w.trailer, w.askedIncomplete, w.toldIncomplete = c.Trailer, c.RequestIncomplete, c.ResponseIncomplete
	return c.Exchange
}

// interrupt closes an exchange that was open when the run before ended.
func (f *found) interrupt(finish func(e *exchange.Exchange, request, response io.Reader)) exchange.Exchange {
	e := f.opened.Exchange
	asked := &counter{from: readBody(f.writer.entries, entryAsked, entryAskedRaw)}
	told := &counter{from: readBody(f.writer.entries, entryTold, entryToldRaw)}
	e.Status = f.status
	e.Outcome, e.ErrorOrigin, e.Error = exchange.Interrupted, exchange.OriginProxy, "the proxy stopped while this exchange was running"
	e.Ended = f.last.UTC()
	finish(&e, asked, told)
	e.RequestBytes, e.ResponseBytes = asked.rest(), told.rest()
	f.writer.askedIncomplete = "the proxy stopped while this exchange was running: the end may be missing"
	f.writer.toldIncomplete = f.writer.askedIncomplete
	return e
}

// release lets go of segments that hold nothing to settle.
func (f *found) release() {
	for _, s := range f.writer.segments {
		f.writer.spool.journal.release(s, 1)
	}
}

// counter counts what is read through it.
type counter struct {
	from io.Reader
	n    int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	return n, err
}

// rest reads to the end and returns the size of all.
func (c *counter) rest() int64 {
	_, _ = io.Copy(io.Discard, c) // what cannot be read is not counted
	return c.n
}
