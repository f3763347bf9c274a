// Package refusal is what the proxy itself says when it says no.
//
// Codex shows some answers verbatim, hides others behind a sentence of its own,
// and repeats a third kind for half a minute. The forms here were chosen by
// watching the real Codex: a refusal that will not change is shown at once and
// word for word, and one that may pass is ridden out. Every refusal names the
// proxy, says what happened and what to do, ends with the request's id, and
// carries the header that no upstream answer can carry.
package refusal

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"codex-proxy/internal/openai"
)

// Header is the response header that marks an answer as the proxy's own. It is
// removed from whatever upstream sends.
const Header = "X-Codex-Proxy-Refusal"

// Refusal is one "no".
type Refusal struct {
	// Reason is the machine's word for it, as in the Header: "budget_exceeded".
	Reason string
	// Status is the HTTP status it is answered with.
	Status int
	// Message is one or two sentences for the developer, without the request id.
	Message string
	// ResetsAt is when trying again can help. Only for a 429.
	ResetsAt time.Time
	// Contact says whom to ask. Only for a 429; may be empty.
	Contact string
}

// Error makes a Refusal an error, for the steps that return one.
func (r *Refusal) Error() string { return r.Reason + ": " + r.Message }

// Token refuses a bearer: 401, the one status that means just that.
func Token(reason, message string) *Refusal {
	return &Refusal{Reason: reason, Status: http.StatusUnauthorized, Message: message}
}

// UsageLimit refuses until resetsAt: a budget that is spent, a rate that is
// exceeded. Codex shows whom to ask, and when to try again.
func UsageLimit(reason, message string, resetsAt time.Time, contact string) *Refusal {
	return &Refusal{
		Reason: reason, Status: http.StatusTooManyRequests, Message: message,
		ResetsAt: resetsAt, Contact: contact,
	}
}

// Request refuses a request that will be no better the next time.
func Request(reason, message string) *Refusal {
	return &Refusal{Reason: reason, Status: http.StatusBadRequest, Message: message}
}

// Unavailable says that a part of the proxy cannot serve just now. Codex tries
// again for about 25 seconds.
func Unavailable(message string) *Refusal {
	return &Refusal{Reason: "proxy_unavailable", Status: http.StatusServiceUnavailable, Message: message}
}

// UpstreamUnreachable says that upstream did not answer the proxy.
func UpstreamUnreachable(message string) *Refusal {
	return &Refusal{Reason: "upstream_unreachable", Status: http.StatusBadGateway, Message: message}
}

// WebSocketUnavailable sends Codex to plain HTTP, which it then uses at once.
func WebSocketUnavailable(message string) *Refusal {
	return &Refusal{Reason: "websocket_unavailable", Status: http.StatusUpgradeRequired, Message: message}
}

// Text is the whole sentence that the developer reads.
func (r *Refusal) Text(requestID string) string {
	return fmt.Sprintf("codex-proxy: %s (request %s)", r.Message, requestID)
}

// Answer writes the refusal as an HTTP answer. A request error goes to Codex as
// plain text, which it prints as it stands; other clients get the JSON error
// that OpenAI's libraries read.
func (r *Refusal) Answer(w http.ResponseWriter, requestID string, toCodex bool) (body []byte) {
	header := w.Header()
	header.Set(Header, r.Reason)
	header.Set("X-Request-Id", requestID)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.Status == http.StatusBadRequest && toCodex:
		header.Set("Content-Type", "text/plain; charset=utf-8")
		body = []byte(r.Text(requestID))
	case r.Status == http.StatusTooManyRequests:
		header.Set("Content-Type", "application/json")
		header.Set("X-Codex-Promo-Message", r.promo(requestID))
		body = openai.UsageLimitBody(r.Text(requestID), r.ResetsAt)
	default:
		header.Set("Content-Type", "application/json")
		body = openai.ErrorBody(r.errorType(), r.Reason, r.Text(requestID))
	}
	if r.Status == http.StatusUpgradeRequired {
		header.Set("Upgrade", "h2c, HTTP/1.1")
		header.Set("Connection", "close")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(r.Status)
	_, _ = w.Write(body) // the refused client may be gone; there is nobody else to tell
	return body
}

// Frame is the refusal as a WebSocket event. Codex reads an error event with a
// status as it reads an HTTP answer, but prints a 400's raw JSON; a failed
// response with the code invalid_prompt is shown word for word instead.
func (r *Refusal) Frame(requestID string) []byte {
	switch r.Status {
	case http.StatusBadRequest:
		return openai.FailedFrame("invalid_prompt", r.Text(requestID))
	case http.StatusTooManyRequests:
		return openai.ErrorFrame(r.Status, map[string]string{
			Header: r.Reason, "X-Request-Id": requestID, "X-Codex-Promo-Message": r.promo(requestID),
		}, openai.UsageLimitBody(r.Text(requestID), r.ResetsAt))
	default:
		return openai.ErrorFrame(r.Status, map[string]string{Header: r.Reason, "X-Request-Id": requestID},
			openai.ErrorBody(r.errorType(), r.Reason, r.Text(requestID)))
	}
}

// promo is what Codex prints between "You've hit your usage limit." and the
// time to try again, so it must end without a full stop.
func (r *Refusal) promo(requestID string) string {
	text := r.Text(requestID)
	if r.Contact != "" {
		text += " Ask " + r.Contact
	}
	return headerText(strings.TrimRight(text, ". "))
}

// headerText makes any text fit for a header's value: one line of visible
// ASCII. What it cannot carry becomes a question mark.
func headerText(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, text)
}

func (r *Refusal) errorType() string {
	switch r.Status {
	case http.StatusUnauthorized:
		return "invalid_request_error"
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		return "proxy_error"
	default:
		return "invalid_request_error"
	}
}
