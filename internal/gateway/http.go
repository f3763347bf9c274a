package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
