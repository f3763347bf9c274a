package record

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/exchange"
)

// Writer writes the record of one exchange while it runs. Its methods may be
// called concurrently, but those of one side of the exchange not with each other.
type Writer struct {
	spool *Spool
	id    uuid.UUID

	mu       sync.Mutex
	sequence uint32
	// asked and told are the two bodies; where they stand in the log is in
	// entries, with all that else was written, in its order.
	asked, told body
	entries     []written
	segments    []*segment
	failed      error
	closed      bool

	trailer                         http.Header
	askedIncomplete, toldIncomplete string
}

// written is an entry that is in the log.
type written struct {
	kind kind
	at   place
}

// opening is the payload of an entryOpened.
type opening struct {
	Exchange exchange.Exchange `json:"exchange"`
	Request  head              `json:"request"`
}

// ending is the payload of an entryClosed.
type ending struct {
	Exchange           exchange.Exchange `json:"exchange"`
	Trailer            http.Header       `json:"trailers,omitempty"`
	RequestIncomplete  string            `json:"request_incomplete,omitempty"`
	ResponseIncomplete string            `json:"response_incomplete,omitempty"`
}

// head is a Message without its body.
type head struct {
	Method        string      `json:"method,omitempty"`
	URI           string      `json:"uri,omitempty"`
	Status        int         `json:"status,omitempty"`
	Header        http.Header `json:"headers,omitempty"`
	Trailer       http.Header `json:"trailers,omitempty"`
	Framing       string      `json:"framing,omitempty"`
	ContentCoding string      `json:"content_coding,omitempty"`
	Incomplete    string      `json:"incomplete,omitempty"`
}

func headOf(m Message) head {
	return head{
		Method: m.Method, URI: m.URI, Status: m.Status, Header: m.Header, Trailer: m.Trailer,
		Framing: m.Framing, ContentCoding: m.ContentCoding, Incomplete: m.Incomplete,
	}
}

func (s *Spool) newWriter(id uuid.UUID) *Writer {
	w := &Writer{spool: s, id: id}
	w.asked = body{size: requestChunk, packer: s.packer, reuse: true, emit: w.emit(entryAsked, entryAskedRaw)}
	w.told = body{size: responseChunk, packer: s.packer, emit: w.emit(entryTold, entryToldRaw)}
	return w
}

// emit returns the function that logs a chunk as text or as base64.
func (w *Writer) emit(text, raw kind) func(chunk) error {
	return func(c chunk) error {
		k := text
		if c.base64 {
			k = raw
		}
		_, err := w.spool.journal.append(w, k, c.frame, false)
		return err
	}
}

// WriteRequest keeps the next bytes of the request's body, and nothing of p
// itself. It does not wait for the disk unless that is far behind. An error
// means that the record is not whole.
func (w *Writer) WriteRequest(p []byte) error { return w.write(&w.asked, p) }

// WriteResponse keeps the next bytes of the answer's body, likewise.
func (w *Writer) WriteResponse(p []byte) error { return w.write(&w.told, p) }

func (w *Writer) write(b *body, p []byte) error {
	if err := w.failure(); err != nil {
		return err // and does not wait for the disk again
	}
	if err := w.spool.journal.room(); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fail(err)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil && !w.closed {
		if err := b.write(p); err != nil {
			w.fail(err)
		}
	}
	return w.failed
}

// fail notes that something could not be kept; the caller holds the lock.
func (w *Writer) fail(err error) {
	if w.failed == nil {
		w.failed = err
	}
}

// Answer notes the answer's status and its header, credentials already removed.
func (w *Writer) Answer(status int, header http.Header) {
	payload, err := json.Marshal(head{Status: status, Header: header})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && !w.closed {
		_, err = w.spool.journal.append(w, entryAnswer, payload, false)
	}
	if err != nil {
		w.fail(fmt.Errorf("keep the answer's header: %w", err))
	}
}

// SetTrailer notes the answer's trailers, credentials already removed.
func (w *Writer) SetTrailer(trailer http.Header) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trailer = trailer.Clone()
}

// RequestIncomplete notes why the request's body on record is not whole.
func (w *Writer) RequestIncomplete(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.askedIncomplete = why
}

// ResponseIncomplete notes why the answer's body on record is not whole.
func (w *Writer) ResponseIncomplete(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.toldIncomplete = why
}

// Flush hands all that was written so far to the operating system, so that it
// survives the end of this process; but for the last one to three bytes where
// they are the beginning of a rune or of a base64 group.
func (w *Writer) Flush(ctx context.Context) error {
	w.mu.Lock()
	for _, b := range []*body{&w.asked, &w.told} {
		if err := b.flush(false); err != nil {
			w.fail(err)
		}
	}
	failed := w.failed
	w.mu.Unlock()
	if failed != nil {
		return failed
	}
	if err := w.spool.journal.wait(ctx); err != nil {
		return err
	}
	return w.failure()
}

// failure returns why the record is not whole; nil when it is.
func (w *Writer) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// Request reads back the request's body as far as it was written.
func (w *Writer) Request() (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := w.Flush(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := bytes.NewReader(bytes.Clone(w.asked.rest)) // the beginning of a rune or a base64 group
	return io.NopCloser(io.MultiReader(readBody(w.entries, entryAsked, entryAskedRaw), rest)), nil
}

// Close ends the record with the final facts, durably as soon as the disk allows,
// as the ledger is told them next. From here on the spool brings it
// to the archive and the ledger, however often that takes.
func (w *Writer) Close(e exchange.Exchange) {
	w.mu.Lock()
	for _, b := range []*body{&w.asked, &w.told} {
		if err := b.flush(true); err != nil {
			w.fail(err)
		}
	}
	payload, err := json.Marshal(ending{e, w.trailer, w.incomplete(w.askedIncomplete), w.incomplete(w.toldIncomplete)})
	if err == nil {
		_, err = w.spool.journal.append(w, entryClosed, payload, true)
	}
	if err != nil {
		w.fail(err)
	}
	w.closed = true
	w.mu.Unlock()
	w.spool.settleLater(&closing{writer: w, exchange: e})
}

// written is called by the journal, in the order of the entries, when an entry
// is in the log, or could not be put there.
func (w *Writer) written(e pending, at place, err error, j *journal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.fail(err)
		return
	}
	if e.kind == entrySettled {
		return
	}
	w.entries = append(w.entries, written{e.kind, at})
	w.use(at.segment, j)
}

// use notes that the writer needs the segment; the caller holds the lock.
func (w *Writer) use(s *segment, j *journal) {
	for _, known := range w.segments {
		if known == s {
			return
		}
	}
	w.segments = append(w.segments, s)
	j.use(s)
}

// settled ends the writer's need of the log.
func (w *Writer) settled() {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Without this entry the next start would settle the exchange once more,
	// which changes nothing.
	_, _ = w.spool.journal.append(w, entrySettled, nil, false)
	for _, s := range w.segments {
		w.spool.journal.release(s, 1)
	}
	w.segments, w.entries = nil, nil
}

// read returns the payload of an entry.
func (e written) read() ([]byte, error) {
	payload := make([]byte, e.at.length)
	if _, err := e.at.segment.file.ReadAt(payload, e.at.offset); err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	return payload, nil
}

// readBody reads back the body that stands in the chunks of the given kinds.
func readBody(entries []written, text, raw kind) io.Reader {
	var chunks []written
	for _, e := range entries {
		if e.kind == text || e.kind == raw {
			chunks = append(chunks, e)
		}
	}
	return &bodyReader{chunks: chunks, raw: raw}
}

// bodyReader unpacks one chunk at a time.
type bodyReader struct {
	chunks []written
	raw    kind
	rest   bytes.Reader
}

func (r *bodyReader) Read(p []byte) (int, error) {
	for r.rest.Len() == 0 {
		if len(r.chunks) == 0 {
			return 0, io.EOF
		}
		next := r.chunks[0]
		r.chunks = r.chunks[1:]
		frame, err := next.read()
		if err != nil {
			return 0, err
		}
		plain, err := unpack(frame, next.kind == r.raw)
		if err != nil {
			return 0, err
		}
		r.rest.Reset(plain)
	}
	return r.rest.Read(p)
}
