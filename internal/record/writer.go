package record

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
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

	mu                sync.Mutex
	sequence          uint32
	request, response body
	// opening and answer are where the two stand in the log, once they do.
	opening, answer place
	last            *batch     // with an entry of the writer's; nil when there is none
	segments        []*segment // that the writer needs
	failed          error
	closed          bool
	awaited         bool // the spool hands its tails over before long

	trailer                               http.Header
	requestIncomplete, responseIncomplete string
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
	w.request = body{size: requestChunk, packer: s.packer, find: w.find}
	w.response = body{size: responseChunk, packer: s.packer}
	return w
}

// open logs the exchange as it began, with what is known of the request's body. It
// returns the batch that this is in.
func (w *Writer) open(payload, body []byte) (*batch, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.request.write(body)
	w.request.packRest(false)
	w.request.rest = bytes.Clone(w.request.rest) // a few bytes at the most, which hold on to no more
	return w.append(true, func(b *entryWriter) {
		b.add(w, entryOpened, payload)
		w.addPacked(b)
		w.addTail(b, entryRequestTail, &w.request)
	})
}

// append logs what build adds. The caller holds the lock.
func (w *Writer) append(syncIt bool, build func(*entryWriter)) (*batch, error) {
	b := w.spool.encoders.Get().(*entryWriter)
	defer w.spool.encoders.Put(b)
	build(b)
	batch, err := w.spool.journal.append(b, syncIt)
	b.reset()
	if err == nil {
		w.last = batch
	}
	return batch, err
}

// addPacked adds the chunks that the log does not have yet.
func (w *Writer) addPacked(b *entryWriter) {
	b.addChunks(w, entryRequest, w.request.packed)
	b.addChunks(w, entryResponse, w.response.packed)
	w.request.packed, w.response.packed = nil, nil
}

// find returns where the log holds a chunk, and keeps it there for the writer.
func (w *Writer) find(of sum) (place, bool) {
	return w.spool.journal.find(of, func(s *segment) (known bool) {
		if known = slices.Contains(w.segments, s); !known {
			w.segments = append(w.segments, s)
		}
		return known
	})
}

// WriteRequest keeps the next bytes of the request's body, and nothing of p
// itself. It does not wait for the disk unless that is far behind. An error
// means that the record is not whole.
func (w *Writer) WriteRequest(p []byte) error { return w.write(&w.request, p) }

// WriteResponse keeps the next bytes of the answer's body, likewise.
func (w *Writer) WriteResponse(p []byte) error { return w.write(&w.response, p) }

func (w *Writer) write(b *body, p []byte) error {
	w.mu.Lock()
	fits := w.failed != nil || len(b.rest)+len(p) < b.size
	w.mu.Unlock()
	if !fits {
		release, err := w.spool.journal.reserve(context.Background(), len(p), w.spool.journal.patience)
		if err != nil {
			w.lost(err)
			return w.failure()
		}
		defer release()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil || w.closed {
		return w.failed // and does not wait for the disk again
	}
	b.write(p)
	if len(b.packed) > 0 {
		if _, err := w.append(false, w.addPacked); err != nil {
			w.fail(err)
		}
	}
	if len(b.rest) > b.tail {
		w.spool.handOverSoon(w)
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
		_, err = w.append(false, func(b *entryWriter) { b.add(w, entryAnswer, payload) })
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
	w.requestIncomplete = why
}

// ResponseIncomplete notes why the answer's body on record is not whole.
func (w *Writer) ResponseIncomplete(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.responseIncomplete = why
}

// Flush hands all that was written so far to the operating system, so that it
// survives the end of this process. It does not wait for the disk to sync.
func (w *Writer) Flush(ctx context.Context) error {
	w.mu.Lock()
	err, last := w.handOver(), w.last
	w.mu.Unlock()
	if err != nil || last == nil {
		return err
	}
	if err := waitFor(ctx, last.written); err != nil {
		return err
	}
	return w.failure()
}

// handOver logs, as they are, the bytes of both bodies that make no full chunk yet.
// The caller holds the lock.
func (w *Writer) handOver() error {
	w.awaited = false
	if w.failed != nil || w.closed || len(w.request.rest) == w.request.tail && len(w.response.rest) == w.response.tail {
		return w.failed
	}
	_, err := w.append(false, func(b *entryWriter) {
		w.addTail(b, entryRequestTail, &w.request)
		w.addTail(b, entryResponseTail, &w.response)
	})
	if err != nil {
		w.fail(err)
	}
	return w.failed
}

func (w *Writer) addTail(b *entryWriter, k kind, of *body) {
	if len(of.rest) > of.tail {
		b.add(w, k, of.rest[of.tail:])
		of.tail = len(of.rest)
	}
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
	rest := bytes.NewReader(bytes.Clone(w.request.rest))
	return io.NopCloser(io.MultiReader(&bodyReader{chunks: w.request.chunks}, rest)), nil
}

// Close ends the record with the final facts, durably as soon as the disk allows,
// as the ledger is told them next. From here on the spool brings it
// to the archive and the ledger, however often that takes.
func (w *Writer) Close(e exchange.Exchange) {
	w.mu.Lock()
	for _, b := range []*body{&w.request, &w.response} {
		if !b.broken {
			b.packRest(true)
		}
	}
	payload, err := json.Marshal(ending{e, w.trailer, w.incomplete(w.requestIncomplete), w.incomplete(w.responseIncomplete)})
	if err == nil {
		_, err = w.append(true, func(b *entryWriter) {
			w.addPacked(b)
			b.add(w, entryClosed, payload)
		})
	}
	if err != nil {
		w.fail(err)
	}
	w.closed = true
	w.mu.Unlock()
	w.spool.settleLater(&closing{writer: w, exchange: e})
}

// written is called by the journal, in the order of the entries, when an entry
// is in a segment, or could not be put there. base is where in the segment what was
// written with it begins.
func (w *Writer) written(e *pending, s *segment, base int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.fail(err)
		switch e.kind {
		case entryRequest:
			w.request.broken = true
		case entryResponse:
			w.response.broken = true
		}
		return
	}
	if e.kind == entrySettled {
		return
	}
	w.use(s)
	at := place{s, base + int64(e.start), e.length}
	for i := range e.chunks {
		if c := &e.chunks[i]; !c.reference {
			c.at.segment, c.at.offset = s, at.offset+c.at.offset
		}
	}
	w.keep(e.kind, at, e.chunks)
}

// keep takes up an entry that is in the log; the caller holds the lock.
func (w *Writer) keep(k kind, at place, chunks []chunk) {
	switch k {
	case entryOpened:
		w.opening = at
	case entryAnswer:
		w.answer = at
	case entryRequest:
		w.request.keep(chunks)
	case entryResponse:
		w.response.keep(chunks)
	}
}

// lost notes that the record is not whole. The journal calls it when nobody knows
// whether an entry that was written is on the disk.
func (w *Writer) lost(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail(err)
}

// use notes that the writer needs the segment; the caller holds the lock.
func (w *Writer) use(s *segment) {
	if !slices.Contains(w.segments, s) {
		w.segments = append(w.segments, s)
		w.spool.journal.use(s)
	}
}

// settled ends the writer's need of the log.
func (w *Writer) settled() {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Without this entry the next start would settle the exchange once more,
	// which changes nothing.
	_, _ = w.append(false, func(b *entryWriter) { b.add(w, entrySettled, nil) })
	for _, s := range w.segments {
		w.spool.journal.release(s, 1)
	}
	w.closed, w.segments, w.request.chunks, w.response.chunks = true, nil, nil, nil
}

// bodyReader unpacks one chunk at a time.
type bodyReader struct {
	chunks []chunk
	rest   bytes.Reader
}

func (r *bodyReader) Read(p []byte) (int, error) {
	for r.rest.Len() == 0 {
		if len(r.chunks) == 0 {
			return 0, io.EOF
		}
		next := r.chunks[0]
		r.chunks = r.chunks[1:]
		frame, err := io.ReadAll(next.reader())
		if err != nil {
			return 0, err
		}
		plain, err := unpack(frame, next.base64)
		if err != nil {
			return 0, err
		}
		r.rest.Reset(plain)
	}
	return r.rest.Read(p)
}
