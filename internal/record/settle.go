package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/exchange"
)

// settleAtOnce is how many exchanges are settled together, so that their rows
// share a transaction.
const settleAtOnce = 256

// Documents wait for a quiet moment, in which no exchange has begun for a while
// (Options.Quiet), so that making files does not compete with the exchanges of a
// burst; but no longer than archiveWithin, and no more than archivePile of them.
const (
	archiveWithin = 2 * time.Second
	archivePile   = 1000
	archivers     = 2
)

// closing is an exchange that has ended and is to be settled.
type closing struct {
	writer   *Writer
	exchange exchange.Exchange
	counted  time.Time // when the ledger took it; zero before that
	tries    int
	// recovered exchanges may have been archived before.
	recovered, archived bool
}

// settleLater hands a closed exchange to the ledger, or to the archive once the
// ledger has it.
func (s *Spool) settleLater(c *closing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.counted.IsZero() {
		s.uncounted = append(s.uncounted, c)
	} else {
		s.unarchived = append(s.unarchived, c)
	}
	s.wake.Broadcast()
}

// forget counts exchanges that are settled.
func (s *Spool) forget(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open -= n
	s.checkIdle()
}

// checkIdle tells Settle and Close when nothing is left; the caller holds the lock.
func (s *Spool) checkIdle() {
	if s.open == 0 && s.settled != nil {
		close(s.settled)
		s.settled = nil
	}
	if !s.closing || s.open > 0 {
		return
	}
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

// count takes closed exchanges to the ledger until ctx ends.
func (s *Spool) count(ctx context.Context) {
	for {
		taken := s.take(ctx, &s.uncounted, settleAtOnce)
		if taken == nil {
			return
		}
		// What the ledger is told must be what a crash would leave in the log. That
		// an entry could not be written shows in the document; that the disk hangs
		// means to come back.
		wait, cancel := context.WithTimeout(ctx, 30*time.Second)
		hung := s.journal.waitSynced(wait)
		cancel()
		var batch []*closing
		var rows []exchange.Exchange
		for _, c := range taken {
			err := hung
			if err == nil {
				err = s.recall(ctx, c)
			}
			if err != nil {
				s.later(c, err)
				continue
			}
			batch, rows = append(batch, c), append(rows, c.exchange)
		}
		if len(batch) == 0 {
			continue
		}
		err := s.options.Ledger(ctx, rows)
		for _, c := range batch {
			if err != nil {
				s.later(c, fmt.Errorf("write the ledger: %w", err))
				continue
			}
			c.counted, c.tries = time.Now(), 0
			s.settleLater(c)
		}
	}
}

// store takes counted exchanges to the archive, in quiet moments, until ctx ends.
func (s *Spool) store(ctx context.Context) {
	for {
		batch := s.take(ctx, &s.unarchived, 1)
		if batch == nil {
			return
		}
		c := batch[0]
		s.awaitQuiet(ctx, c)
		if err := s.archive(ctx, c); err != nil {
			s.later(c, fmt.Errorf("archive the record: %w", err))
			continue
		}
		if err := s.options.Openings.end(ctx, c.exchange.ID); err != nil {
			s.options.Log.Warn("what noted that an exchange began stays behind; it is removed later", "id", c.exchange.ID, "error", err)
		}
		c.writer.settled()
		s.forget(1)
	}
}

// awaitQuiet waits for a moment in which no exchange begins.
func (s *Spool) awaitQuiet(ctx context.Context, c *closing) {
	ticker := time.NewTicker(s.options.Quiet / 4)
	defer ticker.Stop()
	for {
		s.mu.Lock()
		now := time.Now()
		ripe := s.closing || s.hurried > 0 || len(s.unarchived) > archivePile ||
			now.Sub(s.opened) > s.options.Quiet || now.Sub(c.counted) > archiveWithin
		s.mu.Unlock()
		if ripe {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// take waits for exchanges in a queue; nil when ctx has ended.
func (s *Spool) take(ctx context.Context, queue *[]*closing, most int) []*closing {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(*queue) == 0 && ctx.Err() == nil {
		s.wake.Wait()
	}
	if ctx.Err() != nil {
		return nil
	}
	n := min(len(*queue), most)
	batch := (*queue)[:n:n]
	*queue = (*queue)[n:]
	return batch
}

// later tries again after a while, longer each time.
func (s *Spool) later(c *closing, err error) {
	c.tries++
	wait := min(100*time.Millisecond<<min(c.tries, 10), 30*time.Second)
	s.options.Log.Error("exchange cannot be settled yet; it stays in the spool", "id", c.exchange.ID, "tries", c.tries, "again_in", wait, "error", err)
	time.AfterFunc(wait, func() { s.settleLater(c) })
}

// archive puts the exchange's document into the archive.
func (s *Spool) archive(ctx context.Context, c *closing) error {
	if c.archived {
		return nil
	}
	doc, size, err := c.writer.document(c.exchange)
	if err != nil {
		return err
	}
	return s.options.Archive.Put(ctx, Key(c.exchange), doc, size)
}

// recall looks whether an earlier run archived a recovered exchange. The log may
// have let go of a part of it since, with the files that only it needed, while
// another part stands in a file that others need: what the archive has, holds,
// and the row is what it says.
func (s *Spool) recall(ctx context.Context, c *closing) error {
	if !c.recovered || c.archived {
		return nil
	}
	r, err := s.options.Archive.Get(ctx, Key(c.exchange))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the record of an earlier run: %w", err)
	}
	defer r.Close() // only read
	doc, err := ReadDocument(r)
	if err != nil {
		return fmt.Errorf("look for the record of an earlier run: %w", err)
	}
	c.exchange, c.archived = doc.Exchange, true
	return nil
}

// document assembles the document: what is new in frames of its own, and the
// bodies' frames as they stand in the log.
func (w *Writer) document(e exchange.Exchange) (doc io.Reader, size int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	request := new(head)
	var answer *head
	if w.opening.segment != nil {
		var o opening
		if err := w.opening.decode(&o); err != nil {
			return nil, 0, err
		}
		request = &o.Request
	}
	if w.answer.segment != nil {
		answer = new(head)
		if err := w.answer.decode(answer); err != nil {
			return nil, 0, err
		}
	}
	request.Incomplete = w.incomplete(w.requestIncomplete)
	if answer != nil {
		answer.Incomplete, answer.Trailer = w.incomplete(w.responseIncomplete), w.trailer
	}

	a := assembly{packer: w.spool.packer}
	a.text(`{"format":"` + Format + `","exchange":`)
	a.json(e)
	a.text(`,"request":`)
	a.message(request, w.request.chunks)
	if answer != nil {
		a.text(`,"response":`)
		a.message(answer, w.response.chunks)
	}
	a.text("}\n")
	a.pack()
	return io.MultiReader(a.parts...), a.size, a.err
}

// incomplete returns why one side of the record is not whole: what was noted of
// it, else why bytes of either side were lost. The caller holds the lock.
func (w *Writer) incomplete(noted string) string {
	if noted == "" && w.failed != nil {
		return "not all of the exchange could be kept: " + w.failed.Error()
	}
	return noted
}

// assembly is a document that is being put together.
type assembly struct {
	packer *packer
	plain  bytes.Buffer // not yet in a frame
	parts  []io.Reader
	size   int64
	err    error
}

func (a *assembly) text(s string) { a.plain.WriteString(s) }

func (a *assembly) json(v any) {
	raw, err := json.Marshal(v)
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("encode the record: %w", err)
	}
	a.plain.Write(raw)
}

// message adds one side of the exchange: its head, and its body from the log.
func (a *assembly) message(h *head, chunks []chunk) {
	before := a.plain.Len()
	a.json(h)
	a.plain.Truncate(a.plain.Len() - 1) // the closing brace
	if a.plain.Len() > before+1 {
		a.text(",")
	}
	a.text(`"body":"`)
	binary := false
	for _, c := range chunks {
		if c.base64 && !binary {
			a.text(`","body_base64":"`)
			binary = true
		}
		a.pack()
		a.parts = append(a.parts, c.reader())
		a.size += c.size()
	}
	a.text(`"}`)
}

// pack makes a frame of what has gathered.
func (a *assembly) pack() {
	if a.plain.Len() == 0 {
		return
	}
	frame := a.packer.packRaw(a.plain.Bytes())
	a.plain.Reset()
	a.parts = append(a.parts, bytes.NewReader(frame))
	a.size += int64(len(frame))
}

func (p place) decode(v any) error {
	payload, err := p.read()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("decode the spool: %w", err)
	}
	return nil
}

func encodeOpening(e exchange.Exchange, request Message) ([]byte, error) {
	return json.Marshal(opening{Exchange: e, Request: headOf(request)})
}

// unpack returns the bytes of a body that a chunk's frame stands for.
func unpack(frame []byte, isBase64 bool) ([]byte, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("unpack a chunk: %w", err)
	}
	defer decoder.Close()
	text, err := decoder.DecodeAll(frame, nil)
	if err != nil {
		return nil, fmt.Errorf("unpack a chunk: %w", err)
	}
	quoted := append(append([]byte{'"'}, text...), '"')
	if isBase64 {
		var plain []byte
		err = json.Unmarshal(quoted, &plain)
		return plain, err
	}
	var plain string
	err = json.Unmarshal(quoted, &plain)
	return []byte(plain), err
}
