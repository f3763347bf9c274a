package record

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/exchange"
)

// Recover settles what an earlier run left in the spool. Exchanges that were
// closed are settled as they are. Those that were still open are closed as
// interrupted; finish may fill in what their bodies tell, such as the usage. It
// returns how many of these there were. Call it once, before the first Open.
func (s *Spool) Recover(ctx context.Context, finish func(e *exchange.Exchange, request, response io.Reader)) (interrupted int, err error) {
	r := recovery{spool: s, found: map[uuid.UUID]*found{}, before: map[sum]place{}}
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
	// before and here are the chunks of the request bodies in the segment before
	// and in the one that is read: no entry refers to older ones.
	before, here map[sum]place
}

// found is what the log holds of one exchange.
type found struct {
	writer  *Writer
	opened  *opening
	closed  *ending
	status  int
	settled bool
	last    time.Time // when its last entry was made
	tails   [2][]byte // of the request and the answer, which no chunk holds
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
	r.before, r.here = r.here, map[sum]place{}

	reader := bufio.NewReaderSize(f, 1<<20)
	err = readMagic(reader)
	for at := int64(0); ; {
		var e entry
		if err == nil {
			if at == 0 {
				at = int64(len(segmentMagic))
			}
			e, err = readEntry(reader)
		}
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
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := r.take(e, place{s, at + headerSize, len(e.payload)}); err != nil {
			return err
		}
		at += e.size
	}
}

// errOtherFormat says that a segment is not of this version's making.
var errOtherFormat = errors.New("another version of codex-proxy wrote it, in a format that this one does not read: " +
	"start that version once more and stop it, which settles what is in it, and then start this one")

// readMagic reads how a segment begins; io.EOF where it is empty.
func readMagic(r io.Reader) error {
	begins := make([]byte, len(segmentMagic))
	n, err := io.ReadFull(r, begins)
	switch {
	case !strings.HasPrefix(segmentMagic, string(begins[:n])):
		return errOtherFormat
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the beginning is cut", errTorn)
	}
	return err
}

// take adds an entry to what is known of its exchange.
func (r *recovery) take(e entry, at place) error {
	f := r.found[e.id]
	if f == nil {
		f = &found{writer: r.spool.newWriter(e.id)}
		r.found[e.id] = f
		r.order = append(r.order, e.id)
	}
	w := f.writer
	if e.sequence > w.sequence {
		w.fail(errors.New("a part of the spool is missing"))
		// Where the beginning is known, what follows a gap does not follow it.
		w.request.broken, w.response.broken = f.opened != nil, f.opened != nil
	}
	w.sequence = max(w.sequence, e.sequence+1)
	if e.kind == entrySettled {
		f.settled = true
		return nil
	}
	f.last = e.at
	w.use(at.segment)
	chunks, err := r.decode(f, e, at)
	if err != nil {
		return err
	}
	w.keep(e.kind, at, chunks)
	return nil
}

// decode takes up the payload of an entry, of which it returns the chunks.
func (r *recovery) decode(f *found, e entry, at place) (chunks []chunk, err error) {
	switch w := f.writer; e.kind {
	case entryOpened:
		f.opened = new(opening)
		err = at.decode(f.opened)
	case entryClosed:
		f.closed = new(ending)
		err = at.decode(f.closed)
	case entryAnswer:
		var answer head
		err = at.decode(&answer)
		f.status = answer.Status
	case entryRequestTail:
		f.tails[0] = w.request.withTail(f.tails[0], e.payload)
	case entryResponseTail:
		f.tails[1] = w.response.withTail(f.tails[1], e.payload)
	case entryRequest:
		chunks, err = r.chunks(w, &w.request, e, at)
		f.tails[0] = w.request.withoutTail(f.tails[0])
	case entryResponse:
		chunks, err = r.chunks(w, &w.response, e, at)
		f.tails[1] = w.response.withoutTail(f.tails[1])
	}
	return chunks, err
}

// withTail returns a body's tail with what follows it in the log.
func (b *body) withTail(tail, more []byte) []byte {
	if b.broken {
		return tail
	}
	return append(tail, more...)
}

// withoutTail returns what stays of a body's tail when a chunk has taken its place.
func (b *body) withoutTail(tail []byte) []byte {
	if b.broken {
		return tail
	}
	return nil
}

// chunks returns the chunks of an entry, as far as all of them are in the log.
func (r *recovery) chunks(w *Writer, b *body, e entry, at place) ([]chunk, error) {
	chunks, err := readChunks(e.payload)
	if err != nil {
		return nil, err
	}
	for i := range chunks {
		c := &chunks[i]
		if !c.reference {
			c.at.segment, c.at.offset = at.segment, at.offset+c.at.offset
			if e.kind == entryRequest && !c.base64 { // references are to text
				r.here[c.sum] = c.at
			}
			continue
		}
		known, ok := r.here[c.sum]
		if !ok {
			known, ok = r.before[c.sum]
		}
		if !ok {
			w.fail(errors.New("a part of the spool is missing"))
			w.keep(e.kind, at, chunks[:i])
			b.broken = true
			return nil, nil
		}
		c.at = known
		w.use(known.segment)
	}
	return chunks, nil
}

// gather makes chunks, in memory, of the bodies' tails.
func (f *found) gather() {
	for i, b := range []*body{&f.writer.request, &f.writer.response} {
		if len(f.tails[i]) == 0 {
			continue
		}
		b.binary = slices.ContainsFunc(b.chunks, func(c chunk) bool { return c.base64 })
		b.find = nil
		b.write(f.tails[i])
		b.packRest(true)
		b.chunks, b.packed = append(b.chunks, b.packed...), nil
	}
}

// close takes up what was noted when the exchange ended.
func (f *found) close() exchange.Exchange {
	f.gather()
	w, c := f.writer, f.closed
	w.trailer, w.requestIncomplete, w.responseIncomplete = c.Trailer, c.RequestIncomplete, c.ResponseIncomplete
	return c.Exchange
}

// interrupt closes an exchange that was open when the run before ended. It ended, for
// all that is known, when its last entry was made.
func (f *found) interrupt(finish func(e *exchange.Exchange, request, response io.Reader)) exchange.Exchange {
	f.gather()
	e := f.opened.Exchange
	request := &counter{from: &bodyReader{chunks: f.writer.request.chunks}}
	response := &counter{from: &bodyReader{chunks: f.writer.response.chunks}}
	e.Status = f.status
	e.Outcome, e.ErrorOrigin, e.Error = exchange.Interrupted, exchange.OriginProxy, "the proxy stopped while this exchange was running"
	if e.Ended = f.last; e.Ended.Before(e.Started) { // the clock was set back
		e.Ended = e.Started
	}
	e.DurationMicros = e.Ended.Sub(e.Started).Microseconds()
	finish(&e, request, response)
	e.RequestBytes, e.ResponseBytes = request.rest(), response.rest()
	f.writer.requestIncomplete = "the proxy stopped while this exchange was running: the end may be missing"
	f.writer.responseIncomplete = f.writer.requestIncomplete
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
