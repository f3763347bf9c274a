package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"time"

	"codex-proxy/internal/contentcoding"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
	"codex-proxy/internal/upstream"
)

// serveHTTP carries one exchange over HTTP.
func (g *Gateway) serveHTTP(w http.ResponseWriter, r *http.Request, target *url.URL, who developer.Identity, talk *redaction.Conversation, e exchange.Exchange, began time.Time) {
	leave, no := g.Desk.Connect(who)
	if no != nil {
		g.turnAway(w, r, e, began, no)
		return
	}
	defer leave()
	if no := g.admit(r.Context(), who, e); no != nil {
		g.turnAway(w, r, e, began, no)
		return
	}
	if r.ContentLength > g.Limits.Body {
		g.turnAway(w, r, e, began, tooLarge(g.Limits.Body))
		return
	}

	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(errFinished)
	defer g.running.begin(who, cancel)()
	defer g.Meter.Opened(exchange.HTTP)()

	a := &attempt{g: g, e: e, began: began, asked: openai.NewRequestFields(), talk: talk}
	a.progress = g.live.enter(&a.e, "", cancel)
	defer g.live.leave(e.ID)
	held, no, unread := a.redactBody(ctx, w, r, who)
	request := requestMessage(r)
	request.ContentCoding = r.Header.Get("Content-Encoding")
	no = cmp.Or(no, a.openRecord(context.WithoutCancel(ctx), request)) // also of one whose client has gone
	whole := true
	switch {
	case no != nil:
		a.keepRefused(held)
		a.refuse(no)
		a.answerRefusal(w, r, no)
	case unread != nil:
		a.breakOff(ctx, unread)
		whole = false
	default:
		whole = a.forward(ctx, cancel, w, r, target, who, held)
	}
	if held != nil {
		a.e.RequestBytes = held.received
	}
	a.close()
	if !whole {
		// The client must see that its answer broke off, as it did upstream.
		panic(http.ErrAbortHandler)
	}
}

// keepRefused records the body of a request that goes no further.
func (a *attempt) keepRefused(held *heldBody) {
	if held != nil {
		_, _ = a.asked.Write(held.text) // never fails
		_ = a.recordRequest(held.text)  // logged there; the refusal is given either way
	}
}

// breakOff notes that the client's body did not come whole. What came of it was
// not searched, so it is not recorded either.
func (a *attempt) breakOff(ctx context.Context, err error) {
	if outcome, origin, why, ended := endOf(ctx); ended {
		a.ended(outcome, origin, why)
		return
	}
	a.ended(exchange.ClientCancelled, exchange.OriginClient, err.Error())
}

// admit asks the desk; a ledger that cannot answer is an outage, not a no.
func (g *Gateway) admit(ctx context.Context, who developer.Identity, e exchange.Exchange) *refusal.Refusal {
	no, err := g.Desk.Admit(ctx, who)
	if err != nil {
		g.Log.ErrorContext(ctx, "budget cannot be checked; the request is refused with 503", "id", e.ID, "error", err)
		return refusal.Unavailable("the ledger cannot answer just now, so your budget could not be checked. Try again soon.")
	}
	return no
}

// forward sends the request upstream and streams the answer back. It reports
// whether the client has a whole answer, be it upstream's or a refusal.
func (a *attempt) forward(ctx context.Context, cancel context.CancelCauseFunc, w http.ResponseWriter, r *http.Request, target *url.URL, who developer.Identity, held *heldBody) (whole bool) {
	body := newRequestBody(a, w, r, cancel, held != nil)
	refuse := func(no *refusal.Refusal) bool {
		a.refuse(no)
		a.answerRefusal(w, r, no)
		return true
	}
	if no := body.judge(who, r); no != nil {
		body.detach()
		return refuse(no)
	}

	called := a.g.Now()
	a.e.AddedMicros = called.Sub(a.began).Microseconds()
	response, err := a.call(ctx, w, r, target, body, held)
	if err != nil {
		no := body.detach()
		if no != nil {
			return refuse(no)
		}
		if outcome, origin, why, ended := endOf(ctx); ended {
			if isStopped(ctx) {
				stop := stopRefusal()
				a.e.Status = stop.Status
				a.answerRefusal(w, r, stop)
			}
			a.ended(outcome, origin, why)
			return isStopped(ctx)
		}
		if errors.Is(err, errClientBody) {
			a.ended(exchange.ClientCancelled, exchange.OriginClient, err.Error())
			return false
		}
		a.g.Log.ErrorContext(ctx, "upstream cannot be reached", "id", a.e.ID, "error", err)
		refuse(refusal.UpstreamUnreachable(fmt.Sprintf("OpenAI (%s) could not be reached: %s. Your request was not answered; try again.", target.Host, reasonOf(err))))
		a.ended(exchange.UpstreamError, exchange.OriginProxy, "upstream unreachable: "+err.Error())
		return true
	}
	a.g.Meter.UpstreamAnswered(a.g.since(called))
	defer response.Body.Close()

	answer := a.beginAnswer(w, response)
	err = answer.stream(ctx, cancel, response)
	no := body.detach()
	a.conclude(ctx, response, answer, err, no)
	return err == nil || isStopped(ctx) && answer.sayStopped() == nil
}

// call sends the request upstream, and again when upstream refuses the key, there
// is another one by now, and all of the body is at hand: a developer never learns
// that the key was replaced.
func (a *attempt) call(ctx context.Context, w http.ResponseWriter, r *http.Request, target *url.URL, body *requestBody, held *heldBody) (*http.Response, error) {
	key := a.g.Key()
	response, err := a.g.Transport.RoundTrip(a.upstreamRequest(ctx, w, r, target, body, key))
	if err != nil || !a.g.isReplaced(ctx, key, response) {
		return response, err
	}
	var again io.ReadCloser
	switch {
	case held != nil:
		// Upstream may have said so before it had read all of the body.
		if body.takeRest(); !body.isThrough() {
			return response, nil
		}
		again = io.NopCloser(bytes.NewReader(held.outgoing))
	case !isEmpty(r) || r.ContentLength < 0:
		return response, nil
	}
	_ = response.Body.Close() // what it says is about the key from before
	return a.g.Transport.RoundTrip(a.upstreamRequest(ctx, w, r, target, again, a.g.Key()))
}

// isReplaced reports whether upstream refused the key and there is another one now.
func (g *Gateway) isReplaced(ctx context.Context, key upstream.Key, response *http.Response) bool {
	return response != nil && response.StatusCode == http.StatusUnauthorized && g.KeyRefused != nil && g.KeyRefused(ctx, key)
}

// isEmpty reports whether a request has no body.
func isEmpty(r *http.Request) bool { return r.ContentLength == 0 || r.Body == http.NoBody }

// upstreamRequest builds the request that upstream gets: the client's, but for
// the address, the connection's own headers, and the credential.
func (a *attempt) upstreamRequest(ctx context.Context, w http.ResponseWriter, r *http.Request, target *url.URL, body io.ReadCloser, key upstream.Key) *http.Request {
	trace := &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if code != http.StatusContinue { // the server sends that one itself, when the body is read
				inbound(w.Header(), http.Header(header))
				w.WriteHeader(code)
				clear(w.Header())
			}
			return nil
		},
	}
	dropTrailers(r.Trailer)
	out := &http.Request{
		Method:        r.Method,
		URL:           target,
		Host:          target.Host,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        outbound(r.Header, key),
		ContentLength: r.ContentLength,
		Trailer:       r.Trailer,
		Body:          body,
	}
	if a.talk != nil && a.talk.Restores() {
		out.Header["Accept-Encoding"] = []string{"identity"} // placeholders in a coded answer would stay
	}
	if isEmpty(r) {
		out.Body, out.ContentLength = nil, 0
		if r.ContentLength < 0 {
			out.Body, out.ContentLength = body, -1
		}
	}
	return out.WithContext(httptrace.WithClientTrace(ctx, trace))
}

// answer is the way back: upstream's bytes to the client, and what they mean to
// the record and the watcher.
type answer struct {
	a       *attempt
	w       http.ResponseWriter
	control *http.ResponseController
	decoder *contentcoding.Decoder

	// events says that the answer is a stream of events.
	events bool
	// restored puts the secrets back into what the client gets; nil if there is
	// nothing to look for.
	restored *restoration
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
	an := &answer{a: a, w: w, control: http.NewResponseController(w)}
	a.e.Status = response.StatusCode
	a.e.UpstreamRequestID = response.Header.Get("X-Request-Id")

	coding := response.Header.Get("Content-Encoding")
	if coding != "" {
		an.decoder, _ = contentcoding.NewDecoder(coding, a.g.Limits.Body, a.masked(an.meaning, a.g.tellCodedKey))
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
		if err == io.EOF {
			return an.finish(ctx, response)
		}
		if err != nil {
			_ = an.finishDecoding()
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
	return an.give(an.restored.piece(p))
}

// give sends the client its next bytes, flushed.
func (an *answer) give(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_ = an.control.SetWriteDeadline(time.Now().Add(an.a.g.Limits.Write)) // not every connection has one
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
	if err := an.decoder.Close(); err != nil {
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
func (a *attempt) conclude(ctx context.Context, response *http.Response, an *answer, err error, no *refusal.Refusal) {
	var said openai.Answer
	if a.watch != nil {
		said = a.watch.Answer()
	}
	switch outcome, origin, why, endedHere := endOf(ctx); {
	case no != nil: // the body broke a rule after upstream had begun to answer
		a.refuse(no)
	case errors.Is(err, errNotOnDisk):
		a.ended(exchange.Interrupted, exchange.OriginProxy, err.Error())
	case err == nil && response.StatusCode >= 400, said.Failed() && an.hasEnded():
		a.ended(exchange.Failed, exchange.OriginOpenAI, failure(response, said))
	case an.hasEnded(): // Codex hangs up as soon as it has the last event
		a.ended(exchange.Completed, "", "")
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

// reasonOf is the innermost words of a transport error, without addresses and
// URLs that say no more.
func reasonOf(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
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
