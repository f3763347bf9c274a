package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"sync"
	"time"

	"codex-proxy/internal/contentcoding"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/memory"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/record"
)

// answer is the way back: upstream's bytes to the client, and what they mean to
// the record and the watcher.
type answer struct {
	a       *attempt
	w       http.ResponseWriter
	control *http.ResponseController
	decoder *contentcoding.Decoder // nil when the answer is not coded, or over
	coded   bool

	// events says that the answer is a stream of events.
	events bool
	// restored puts the secrets back into what the client gets; nil if there is
	// nothing to look for.
	restored *restoration
	// half says that upstream answered a request of which the client had not sent all.
	half bool
	// memory is the room that restored takes in the budget for what it holds.
	memory *memory.Lease
	// received is how many bytes upstream has sent.
	received int64

	mu     sync.Mutex // the decoder writes from a goroutine of its own
	failed error
	ended  bool // the watcher has seen the last event
}

// hasEnded reports whether the watcher has seen the last event.
func (an *answer) hasEnded() bool {
	an.mu.Lock()
	defer an.mu.Unlock()
	return an.ended
}

// beginAnswer passes upstream's status and header on.
func (a *attempt) beginAnswer(w http.ResponseWriter, response *http.Response) *answer {
	an := &answer{a: a, w: w, control: http.NewResponseController(w), memory: a.g.Memory.Lease()}
	a.e.Status = response.StatusCode
	a.e.UpstreamRequestID = response.Header.Get("X-Request-Id")

	coding := response.Header.Get("Content-Encoding")
	if coding != "" {
		an.decoder, an.coded = contentcoding.NewDecoder(coding, a.g.Limits.Body, a.masked(an.meaning, a.g.tellCodedKey))
	}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if coding == "" || an.decoder != nil {
		switch media {
		case "text/event-stream":
			an.events = true
			a.watch = openai.WatchEvents()
		case "application/json":
			a.watch = openai.WatchJSON()
		}
	}
	if a.record != nil {
		a.record.Answer(response.StatusCode, record.CleanHeader(response.Header))
	}
	inbound(w.Header(), response.Header)
	for name := range response.Trailer {
		w.Header().Add("Trailer", name)
		w.Header().Del("Content-Length") // HTTP/1.1 has no trailers behind a length, as HTTP/2 has
	}
	if an.restored = a.restoration(media, coding); an.restored != nil {
		w.Header().Del("Content-Length") // upstream's; what the client gets may be longer
	}
	w.WriteHeader(response.StatusCode)
	return an
}

// meaning takes the next decoded bytes of the answer.
func (an *answer) meaning(p []byte) {
	an.mu.Lock()
	defer an.mu.Unlock()
	if err := an.a.recordAnswer(p); err != nil && an.failed == nil {
		an.failed = err
	}
	if an.a.watch != nil {
		_, _ = an.a.watch.Write(p) // never fails
		an.ended = an.a.watch.Terminal()
	}
}

// errClientWrite marks an error of writing to the client, as against reading
// from upstream.
var errClientWrite = errors.New("write to the client")

// stream copies the answer, each piece as it comes and flushed at once, until
// its end. The error says why the client has not got all of it.
func (an *answer) stream(ctx context.Context, cancel context.CancelCauseFunc, response *http.Response) error {
	silence := time.AfterFunc(an.a.g.Limits.AnswerIdle, func() { cancel(errSilent) })
	defer silence.Stop()
	defer an.memory.Release()
	defer func() { _ = an.finishDecoding() }() // however it ends, or its goroutine stays
	pool := &an.a.g.buffers.small
	if !an.events && (response.ContentLength < 0 || response.ContentLength > smallBuffer) {
		pool = &an.a.g.buffers.large
	}
	buffer := pool.Get().(*[]byte)
	defer pool.Put(buffer)
	if an.events || len(response.Trailer) > 0 {
		// Codex may wait for the header; and without it an answer that has
		// trailers and no body would lose them.
		if err := an.control.Flush(); err != nil {
			return fmt.Errorf("%w: %w", errClientWrite, err)
		}
	}
	for {
		n, err := response.Body.Read(*buffer)
		if n > 0 {
			silence.Reset(an.a.g.Limits.AnswerIdle)
			if err := an.pass(ctx, cancel, (*buffer)[:n], response.ContentLength); err != nil {
				return err
			}
		}
		if err == io.EOF && ctx.Err() != nil && !an.hasEnded() && an.received != response.ContentLength {
			// Upstream noticed that it was hung up on, and ended in good order.
			err = context.Cause(ctx)
		}
		if err == io.EOF {
			return an.finish(ctx, response)
		}
		if err != nil {
			_ = an.give(an.restored.rest()) // the answer has broken off either way
			return fmt.Errorf("read upstream's answer: %w", err)
		}
	}
}

// pass keeps one piece and then gives it to the client. When it is the last one,
// the record is handed to the operating system first.
func (an *answer) pass(ctx context.Context, cancel context.CancelCauseFunc, p []byte, length int64) error {
	if an.decoder != nil {
		_, _ = an.decoder.Write(p) // what it cannot decode shows in its Close
		an.a.progress.answered(len(p), openai.Answer{})
	} else {
		wasEnded := an.ended
		an.meaning(p)
		if an.failed != nil {
			cancel(an.failed)
			return an.failed
		}
		an.progressed(len(p))
		an.received += int64(len(p))
		if an.ended && !wasEnded || an.received == length {
			an.a.secure(ctx)
		}
	}
	whole := an.restored.piece(p)
	if err := an.hold(ctx); err != nil {
		cancel(err)
		return err
	}
	return an.give(whole)
}

// errNoRoom ends an answer of which a part must be held that there is no room for.
var errNoRoom = errors.New("the proxy had no room in memory for a part of the answer that it must hold")

// hold takes room for what is held of the answer.
func (an *answer) hold(ctx context.Context) error {
	size := an.restored.size()
	if size <= uncounted {
		size = 0
	}
	err := an.memory.Resize(ctx, int64(size))
	if noRoom(err) != nil {
		return fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return err
}

// give sends the client its next bytes, flushed.
func (an *answer) give(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := an.w.Write(p)
	if err == nil {
		err = an.control.Flush()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errClientWrite, err)
	}
	if an.a.e.ResponseBytes == 0 {
		an.a.e.FirstByteMicros = an.a.g.since(an.a.began).Microseconds()
	}
	an.a.e.ResponseBytes += int64(len(p))
	return nil
}

// finish gives the client what was held, and passes the trailers on. What is
// recorded is handed over before that.
func (an *answer) finish(ctx context.Context, response *http.Response) error {
	failed := an.finishDecoding()
	if an.a.record != nil && len(response.Trailer) > 0 {
		an.a.record.SetTrailer(record.CleanHeader(response.Trailer))
	}
	if response.ContentLength < 0 && !an.hasEnded() {
		an.a.secure(ctx)
	}
	if err := an.give(an.restored.rest()); err != nil {
		return err
	}
	for name, values := range response.Trailer {
		an.w.Header()[name] = values
	}
	return failed
}

func (an *answer) finishDecoding() error {
	if an.decoder == nil {
		return nil
	}
	err := an.decoder.Close()
	an.decoder = nil
	if err != nil {
		an.a.g.Log.Warn("answer cannot be decoded for its record", "id", an.a.e.ID, "error", err)
		if an.a.record != nil {
			an.a.record.ResponseIncomplete(err.Error())
		}
	}
	an.mu.Lock()
	defer an.mu.Unlock()
	return an.failed
}

// conclude tells how the exchange ended.
func (a *attempt) conclude(ctx context.Context, response *http.Response, an *answer, body *requestBody, err error) {
	no := body.detach()
	var said openai.Answer
	if a.watch != nil {
		said = a.watch.Answer()
	}
	switch outcome, origin, why, endedHere := body.endOf(ctx); {
	case no != nil: // the body broke a rule after upstream had begun to answer
		a.refuse(no)
	case errors.Is(err, errNotOnDisk):
		a.ended(exchange.Interrupted, exchange.OriginProxy, err.Error())
	case an.half && !an.hasEnded():
		a.ended(outcome, origin, why)
	case err == nil && response.StatusCode >= 400, said.Failed() && an.hasEnded():
		a.ended(exchange.Failed, exchange.OriginOpenAI, failure(response, said))
	case an.hasEnded(): // Codex hangs up as soon as it has the last event
		a.ended(exchange.Completed, "", "")
	case errors.Is(err, errClientWrite) && errors.Is(err, os.ErrDeadlineExceeded) && origin != exchange.OriginProxy:
		a.ended(exchange.ClientCancelled, exchange.OriginClient, "the client took no more of the answer for longer than the limit")
	case endedHere:
		a.ended(outcome, origin, why)
	case errors.Is(err, errClientWrite):
		a.ended(exchange.ClientCancelled, exchange.OriginClient, "the client stopped reading")
	case err != nil:
		a.ended(exchange.UpstreamError, exchange.OriginOpenAI, "upstream's answer broke off: "+reasonOf(err))
	case an.events && said.ID != "":
		a.ended(exchange.UpstreamError, exchange.OriginOpenAI, "upstream's stream ended without its last event")
	default:
		a.ended(exchange.Completed, "", "")
	}
}

// failure is upstream's own account of what went wrong.
func failure(response *http.Response, said openai.Answer) string {
	text := said.ErrorMessage
	if code := said.ErrorCode + said.ErrorType; code != "" {
		kind := said.ErrorCode
		if kind == "" {
			kind = said.ErrorType
		}
		text = kind + ": " + text
	}
	if text == "" && response.StatusCode >= 400 {
		text = response.Status
	}
	return text
}

// Buffers of streams are small, as thousands are open at once; those of other
// answers are large, as they come in bulk. Sizes are bytes.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

// buffers lends the memory that an answer passes through.
type buffers struct{ small, large sync.Pool }

func newBuffers() *buffers {
	lend := func(size int) sync.Pool {
		return sync.Pool{New: func() any { b := make([]byte, size); return &b }}
	}
	return &buffers{small: lend(smallBuffer), large: lend(largeBuffer)}
}
