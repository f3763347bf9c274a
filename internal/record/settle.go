package record

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/exchange"
)

// settlers is how many goroutines settle, and settleAtOnce how many exchanges
// one takes together, so that their rows share a transaction.
const (
	settlers     = 4
	settleAtOnce = 32
)

// closing is an exchange that has ended and is to be settled.
type closing struct {
	writer   *Writer
	exchange exchange.Exchange
	tries    int
	archived bool
}

// settleLater hands a closed exchange to the settlers.
func (s *Spool) settleLater(c *closing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, c)
	s.wake.Signal()
}

// forget counts exchanges that are settled.
func (s *Spool) forget(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open -= n
	s.checkIdle()
}

// checkIdle tells Close when nothing is left; the caller holds the lock.
func (s *Spool) checkIdle() {
	if !s.closing || s.open > 0 {
		return
	}
	select {
	case <-s.idle:
	default:
		close(s.idle)
	}
}

// settle takes closed exchanges to the archive and to the ledger until ctx ends.
func (s *Spool) settle(ctx context.Context) {
	for {
		batch := s.take(ctx)
		if batch == nil {
			return
		}
		var rows []exchange.Exchange
		var archived []*closing
		for _, c := range batch {
			if err := s.archive(ctx, c); err != nil {
				s.later(c, fmt.Errorf("archive the record: %w", err))
				continue
			}
			rows, archived = append(rows, c.exchange), append(archived, c)
		}
		if len(rows) == 0 {
			continue
		}
		if err := s.options.Ledger(ctx, rows); err != nil {
			for _, c := range archived {
				s.later(c, fmt.Errorf("write the ledger: %w", err))
			}
			continue
		}
		for _, c := range archived {
			c.writer.settled()
		}
		s.forget(len(archived))
	}
}

// take waits for exchanges to settle; nil when ctx has ended.
func (s *Spool) take(ctx context.Context) []*closing {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 {
		if ctx.Err() != nil {
			return nil
		}
		s.wake.Wait()
	}
	if ctx.Err() != nil {
		return nil
	}
	n := min(len(s.queue), settleAtOnce)
	batch := s.queue[:n:n]
	s.queue = s.queue[n:]
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
	// The closing entry, or a failed write, comes after all others.
	wait, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_ = c.writer.await(wait) // a failure shows in the document
	doc, size, err := c.writer.document(c.exchange)
	if err != nil {
		return err
	}
	if err := s.options.Archive.Put(ctx, Key(c.exchange), doc, size); err != nil {
		return err
	}
	c.archived = true
	return nil
}

// document assembles the document: what is new in frames of its own, and the
// bodies' frames as they stand in the log.
func (w *Writer) document(e exchange.Exchange) (doc io.Reader, size int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var request, answer *head
	for _, entry := range w.entries {
		switch entry.kind {
		case entryOpened:
			var o opening
			if err := entry.decode(&o); err != nil {
				return nil, 0, err
			}
			request = &o.Request
		case entryAnswer:
			answer = new(head)
			if err := entry.decode(answer); err != nil {
				return nil, 0, err
			}
		}
	}
	if request == nil {
		request = &head{Incomplete: "the record's opening was lost"}
	}
	request.Incomplete = w.askedIncomplete
	if answer != nil {
		answer.Incomplete, answer.Trailer = w.toldIncomplete, w.trailer
		if w.failed != nil && answer.Incomplete == "" {
			answer.Incomplete = "not all of the exchange could be kept: " + w.failed.Error()
		}
	}

	a := assembly{packer: w.spool.packer}
	a.text(`{"format":"` + Format + `","exchange":`)
	a.json(e)
	a.text(`,"request":`)
	a.message(request, w.entries, entryAsked, entryAskedRaw)
	if answer != nil {
		a.text(`,"response":`)
		a.message(answer, w.entries, entryTold, entryToldRaw)
	}
	a.text("}\n")
	a.pack()
	return io.MultiReader(a.parts...), a.size, a.err
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
func (a *assembly) message(h *head, entries []written, text, raw kind) {
	before := a.plain.Len()
	a.json(h)
	a.plain.Truncate(a.plain.Len() - 1) // the closing brace
	if a.plain.Len() > before+1 {
		a.text(",")
	}
	a.text(`"body":"`)
	binary := false
	for _, e := range entries {
		switch e.kind {
		case raw:
			if !binary {
				a.text(`","body_base64":"`)
				binary = true
			}
		case text:
		default:
			continue
		}
		a.pack()
		a.parts = append(a.parts, io.NewSectionReader(e.at.segment.file, e.at.offset, int64(e.at.length)))
		a.size += int64(e.at.length)
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

func (e written) decode(v any) error {
	payload, err := e.read()
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
