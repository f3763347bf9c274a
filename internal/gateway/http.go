package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
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

	a := &attempt{g: g, e: e, began: began, asked: openai.NewRequestFields(), talk: talk, memory: g.Memory.Lease()}
	defer a.memory.Release()
	a.progress = g.live.enter(&a.e, "", cancel)
	defer g.live.leave(e.ID)
	held, no, unread := a.redactBody(ctx, w, r, who)
	request := requestMessage(r)
	request.ContentCoding = r.Header.Get("Content-Encoding")
	no = cmp.Or(no, a.openRecord(context.WithoutCancel(ctx), request, held.decoded())) // also of one whose client has gone
	a.readRequest(held.decoded(), len(who.Policy.Models) > 0)
	whole := true
	switch {
	case no != nil:
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

// readRequest reads what a buffered body says of itself: up to its model, or, where the
// model is to be judged, all of it.
func (a *attempt) readRequest(body []byte, judged bool) {
	for piece := range slices.Chunk(body, 32<<10) {
		if _, known := a.asked.Raw("model"); known && !judged {
			return
		}
		_, _ = a.asked.Write(piece) // never fails
	}
}

// breakOff notes that the client's body did not come whole. What came of it was
// not searched, so it is not recorded either.
func (a *attempt) breakOff(ctx context.Context, err error) {
	outcome, origin, why, ended := endOf(ctx)
	if !ended || errors.Is(err, errBodyIdle) { // over HTTP/1.1 the pause ends the context too
		outcome, origin, why = exchange.ClientCancelled, exchange.OriginClient, err.Error()
	}
	a.ended(outcome, origin, why)
}

// admit asks the desk; a ledger that cannot answer is an outage, not a no.
func (g *Gateway) admit(ctx context.Context, who developer.Identity, e exchange.Exchange) *refusal.Refusal {
	admit := g.Desk.Admit
	if e.Warmup {
		admit = g.Desk.AdmitWarmup
	}
	no, err := admit(ctx, who)
	if err != nil {
		g.Log.ErrorContext(ctx, "budget cannot be checked; the request is refused with 503", "id", e.ID, "error", err)
		return refusal.Unavailable("the ledger cannot answer just now, so your budget could not be checked. Try again soon.")
	}
	return no
}

// forward sends the request upstream and streams the answer back. It reports
// whether the client has a whole answer, be it upstream's or a refusal.
func (a *attempt) forward(ctx context.Context, cancel context.CancelCauseFunc, w http.ResponseWriter, r *http.Request, target *url.URL, who developer.Identity, held *heldBody) (whole bool) {
	body := newRequestBody(a, r, cancel, held)
	if no := body.judge(who, r); no != nil {
		body.detach()
		a.refuse(no)
		a.answerRefusal(w, r, no)
		return true
	}

	called := a.g.Now()
	a.e.AddedMicros = called.Sub(a.began).Microseconds()
	c := &call{a: a, w: w, r: r, target: target, body: body, held: held}
	response, err := c.do(ctx)
	if err != nil {
		return a.unanswered(ctx, w, r, body, err)
	}
	a.g.Meter.UpstreamAnswered(a.g.since(called))
	defer response.Body.Close()
	c.letGo()

	answer := a.beginAnswer(w, response)
	answer.half = body.isBroken() // upstream may answer what it has of it
	err = answer.stream(ctx, cancel, response)
	a.conclude(ctx, response, answer, body, err)
	return err == nil || isStopped(ctx) && answer.sayStopped() == nil
}

// unanswered ends an exchange that upstream gave no answer to. It reports whether
// the client has one, which is the proxy's.
func (a *attempt) unanswered(ctx context.Context, w http.ResponseWriter, r *http.Request, body *requestBody, err error) bool {
	if no := body.detach(); no != nil {
		a.refuse(no)
		a.answerRefusal(w, r, no)
		return true
	}
	if outcome, origin, why, ended := body.endOf(ctx); ended {
		if isStopped(ctx) {
			stop := stopRefusal()
			a.e.Status = stop.Status
			a.answerRefusal(w, r, stop)
		}
		a.ended(outcome, origin, why)
		return isStopped(ctx)
	}
	a.g.Log.ErrorContext(ctx, "upstream was not reached", "id", a.e.ID, "error", err)
	no := upstreamRefusal(a.g.Upstream.Host, err)
	a.refuse(no)
	a.answerRefusal(w, r, no)
	switch {
	case errors.Is(err, errSwitched):
		a.lost = body.wentUp()
		a.ended(exchange.UpstreamError, exchange.OriginOpenAI, err.Error())
	case no.Status == http.StatusBadGateway:
		a.ended(exchange.UpstreamError, exchange.OriginProxy, "upstream unreachable: "+err.Error())
		a.lost = body.wentUp()
	}
	return true
}
