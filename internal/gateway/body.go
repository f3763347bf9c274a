package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/contentcoding"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/policy/endpoint"
	"codex-proxy/internal/refusal"
)

// Where a team's policy names models, these bound how much of a body is held, in
// bytes, until its model is known. A coded body is held whole, as what it means
// is only certain at its end.
const (
	judgeWithin      = 1 << 20
	judgeCodedWithin = 16 << 20
)

// requestBody hands the client's body to upstream unchanged, and a copy of what
// it means to the record, piece by piece. The transport reads it on a goroutine
// of its own, which may outlive the answer; detach parts the two.
type requestBody struct {
	a       *attempt
	source  io.ReadCloser
	trailer http.Header // filled at the source's end
	limit   int64
	// recorded says that all of it is on record already.
	recorded bool
	// length is how many bytes there are; negative when that is not known.
	length int64
	// cancel ends the exchange for a reason that a failing Read alone would not
	// tell.
	cancel context.CancelCauseFunc

	// judged is the policy that the model must satisfy; nil when any model may
	// pass. held is what was read to find the model and is yet to be sent.
	judged *developer.Identity
	held   []byte
	ended  error

	// reading is held by whoever reads; taken says that this is no longer the
	// transport.
	reading sync.Mutex
	taken   bool
	// begun says that the client has sent something, broken why no more will come.
	begun  atomic.Bool
	broken atomic.Pointer[error]

	mu       sync.Mutex
	detached bool
	// through says that the source was read to its end, and is on record.
	through bool
	decoder *contentcoding.Decoder // nil when the body is not coded
	refused *refusal.Refusal
	// failed is a failure to keep the record; it may come from the decoder's
	// goroutine.
	failed atomic.Pointer[error]
}

// newRequestBody wraps the request's body. A coding that is not known is kept
// in the record as it is.
func newRequestBody(a *attempt, r *http.Request, cancel context.CancelCauseFunc, held *heldBody) *requestBody {
	b := &requestBody{
		a: a, source: r.Body, trailer: r.Trailer, length: r.ContentLength,
		limit: a.g.Limits.Body, recorded: held.decoded() != nil, cancel: cancel,
	}
	if b.recorded {
		a.progress.named(openai.ReadRequest(a.asked).Model)
	} else if coding := r.Header.Get("Content-Encoding"); coding != "" {
		b.decoder, _ = contentcoding.NewDecoder(coding, a.g.Limits.Body, a.masked(b.meaning, a.g.tellKey))
	}
	return b
}

// meaning takes the next decoded bytes.
func (b *requestBody) meaning(p []byte) {
	if _, known := b.a.asked.Raw("model"); !known || b.judged != nil {
		_, _ = b.a.asked.Write(p) // never fails
	}
	if err := b.a.recordRequest(p); err != nil {
		b.failed.CompareAndSwap(nil, &err)
	}
}

// judge reads as much of the body as it takes to learn the model, and judges
// it, so that a request for a forbidden model never reaches upstream. A second
// model later in the same body would overrule the first at upstream: Read then
// fails before the body's end, and upstream is left without a whole request.
func (b *requestBody) judge(who developer.Identity, r *http.Request) *refusal.Refusal {
	if len(who.Policy.Models) == 0 || r.ContentLength == 0 && len(r.TransferEncoding) == 0 {
		return nil
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); strings.HasPrefix(media, "multipart/") {
		if strings.HasPrefix(apiPath(r), "/files") || strings.HasPrefix(apiPath(r), "/uploads") {
			return nil
		}
		return refusal.Request("model_not_allowed", "your team may use certain models only, and the model of a form cannot be judged. Send JSON.")
	}
	if r.Header.Get("Content-Encoding") != "" && b.decoder == nil && !b.recorded {
		return refusal.Request("model_not_allowed", "your team may use certain models only, and the model of a body in this content coding cannot be judged. Send plain JSON.")
	}
	b.judged = &who
	if b.recorded {
		return b.verdict(r)
	}
	within := judgeWithin
	if b.decoder != nil {
		within = judgeCodedWithin
	}
	buffer := make([]byte, 32<<10)
	for b.ended == nil {
		n, err := b.read(buffer)
		b.held = append(b.held, buffer[:n]...)
		b.ended = err
		if b.decoder == nil && b.refused == nil {
			if _, known := b.a.asked.Raw("model"); known {
				break
			}
		}
		if len(b.held) > within && b.ended == nil {
			return refusal.Request("model_not_allowed", fmt.Sprintf("your team may use certain models only, and this request does not name its model within its first %d MiB. Put the model first.", within>>20))
		}
	}
	if b.ended != nil && b.ended != io.EOF {
		return b.refused // nil when the client went away, which Read will tell
	}
	if b.ended == io.EOF {
		b.finishDecoding()
	}
	return b.verdict(r)
}

// verdict judges the model as far as the body is known.
func (b *requestBody) verdict(r *http.Request) *refusal.Refusal {
	_, known := b.a.asked.Raw("model")
	switch {
	case unclear(b.a.asked):
		return unclearModel()
	case known:
		return admission.Model(*b.judged, openai.ReadRequest(b.a.asked).Model)
	case strings.HasPrefix(apiPath(r), "/responses") || strings.HasSuffix(apiPath(r), "/completions") ||
		endpoint.Of(r.Method, apiPath(r)).Spends:
		return refusal.Request("model_not_allowed", "your team may use certain models only, and this request names none. Name one.")
	}
	return nil
}

// Read implements io.Reader for the transport.
func (b *requestBody) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.taken {
		return 0, errFinished
	}
	if len(b.held) > 0 {
		n := copy(p, b.held)
		b.held = b.held[n:]
		return n, nil
	}
	if b.ended != nil {
		return 0, b.ended
	}
	return b.read(p)
}

// read reads from the client, within the limits, and keeps what it read.
func (b *requestBody) read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	b.begun.Store(true)
	if err != nil {
		b.ended = err
		dropTrailers(b.trailer)
	}
	if err != nil && err != io.EOF {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errBodyIdle
			b.cancel(err)
		}
		err = fmt.Errorf("%w: %w", errClientBody, err)
		b.ended = err
		b.broken.Store(&err)
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.detached {
		return 0, errFinished
	}
	b.a.e.RequestBytes += int64(n)
	b.a.progress.request.Add(int64(n))
	if b.a.e.RequestBytes > b.limit {
		return 0, b.refuseLocked(tooLarge(b.limit))
	}
	if err := b.keep(p[:n]); err != nil {
		return 0, err
	}
	b.through = err == io.EOF || b.a.e.RequestBytes == b.length
	if b.through && !b.recorded {
		b.finishDecoding()
		if err := b.a.flushRequest(); err != nil {
			b.failed.CompareAndSwap(nil, &err)
		}
	}
	if failed := b.failed.Load(); failed != nil {
		b.cancel(*failed)
		return 0, *failed
	}
	if b.through {
		b.a.progress.named(openai.ReadRequest(b.a.asked).Model)
	}
	return n, err
}

// keep takes up the next bytes for the record and the model. The caller holds the
// lock.
func (b *requestBody) keep(p []byte) error {
	switch {
	case b.recorded:
		return nil
	case b.decoder != nil:
		_, _ = b.decoder.Write(p) // what it cannot decode shows in its Close
		return nil
	}
	b.meaning(p)
	if b.judged != nil && unclear(b.a.asked) {
		return b.refuseLocked(unclearModel())
	}
	return nil
}

// wentUp reports whether upstream may have had all of the body.
func (b *requestBody) wentUp() bool {
	if !b.reading.TryLock() {
		return false // the transport waits for more of it
	}
	defer b.reading.Unlock()
	return len(b.held) == 0 && b.isThrough()
}

// takeRest puts what is left of a body that is in memory on record, and gives the
// transport no more of it.
func (b *requestBody) takeRest() {
	b.reading.Lock()
	defer b.reading.Unlock()
	b.taken = true
	if b.recorded {
		return
	}
	for piece := make([]byte, 32<<10); b.ended == nil; {
		if _, err := b.read(piece); err != nil {
			return
		}
	}
}

// letGo forgets the source if all of it was read.
func (b *requestBody) letGo() bool {
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.isThrough() {
		return false
	}
	b.source = http.NoBody
	return true
}

// isThrough reports whether all of the body is on record.
func (b *requestBody) isThrough() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.through || b.recorded && b.taken
}

// hasBegun reports whether something of the body has come.
func (b *requestBody) hasBegun() bool { return b.begun.Load() }

// isBroken reports whether the client did not send all of the body.
func (b *requestBody) isBroken() bool { return b.broken.Load() != nil }

// endOf is endOf for an exchange that this body belongs to: what looks like a client
// that went away may be one that paused for too long.
func (b *requestBody) endOf(ctx context.Context) (outcome exchange.Outcome, origin exchange.Origin, why string, ok bool) {
	outcome, origin, why, ok = endOf(ctx)
	if ok && isClientsEnd(ctx) {
		b.reading.Lock() // over HTTP/1.1 a pause ends the context just before the read
		defer b.reading.Unlock()
	}
	if err := b.broken.Load(); err != nil && origin != exchange.OriginProxy {
		return exchange.ClientCancelled, exchange.OriginClient, (*err).Error(), true
	}
	return outcome, origin, why, ok
}

func (b *requestBody) refuseLocked(no *refusal.Refusal) error {
	b.refused = no
	b.ended = no
	return no
}

// Close implements io.Closer for the transport. The server closes the source.
func (b *requestBody) Close() error { return nil }

// detach ends the body's part in the exchange: from here on nothing more is
// kept of it, and a Read fails. It returns the refusal that the body met, if
// any.
func (b *requestBody) detach() *refusal.Refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.detached = true
	b.finishDecoding()
	return b.refused
}

// finishDecoding waits for the decoder to be through with what it was given.
func (b *requestBody) finishDecoding() {
	if b.decoder == nil {
		return
	}
	err := b.decoder.Close()
	b.decoder = nil
	if err != nil {
		b.a.g.Log.Warn("request body cannot be decoded for its record", "id", b.a.e.ID, "error", err)
		if b.a.record != nil {
			b.a.record.RequestIncomplete(err.Error())
		}
	}
}

// unclear reports whether upstream might take another model from the request
// than the one that is judged.
func unclear(asked *openai.Fields) bool {
	return asked.Repeated("model") || asked.TooLong("model") || asked.Err() != nil
}

func unclearModel() *refusal.Refusal {
	return refusal.Request("model_not_allowed", "your team may use certain models only, and this request does not name one clearly. Send a JSON object that names its model once.")
}

func tooLarge(limit int64) *refusal.Refusal {
	return refusal.Request("too_large", fmt.Sprintf("the request's body is larger than the %d MiB that the proxy lets through. Send less, for instance fewer images.", limit>>20))
}

// errClientBody marks an error of reading the client's body, as against one of
// calling upstream.
var errClientBody = errors.New("read the client's body")
