package refusal

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// TestEveryRefusalShowsItsRequestID looks where Codex takes what it prints from:
// the plain body, the error's message, or the promo header of a usage limit.
func TestEveryRefusalShowsItsRequestID(t *testing.T) {
	const id = "01a209ca-fbac-700f-ae47-d260e01215c3"
	for _, no := range []*Refusal{
		Token("token_unknown", "this token is not known."),
		UsageLimit("budget_exceeded", "your budget is spent.", time.Now().Add(time.Hour), "ops@example.com"),
		UsageLimit("rate_limited", "too many requests.", time.Time{}, ""),
		Request("model_not_allowed", "not that model."),
		Unavailable("the ledger cannot answer."),
		UpstreamUnreachable("OpenAI could not be reached."),
		WebSocketUnavailable("plain HTTP works."),
		{Reason: "origin_refused", Status: 403, Message: "no web pages."},
	} {
		for _, toCodex := range []bool{true, false} {
			w := httptest.NewRecorder()
			body := string(no.Answer(w, id, toCodex))
			said := gjson.Get(body, "error.message").String()
			if no.Status == 400 && toCodex {
				said = body
			}
			if !strings.HasSuffix(said, "(request "+id+")") {
				t.Errorf("%s says %q", no.Reason, said)
			}
			if promo := w.Header().Get("X-Codex-Promo-Message"); no.Status == 429 && !strings.Contains(promo, id) {
				t.Errorf("%s is shown as %q", no.Reason, promo)
			}
			if w.Header().Get("X-Request-Id") != id || w.Header().Get(Header) != no.Reason {
				t.Errorf("%s has the headers %v", no.Reason, w.Header())
			}
		}
		if frame := string(no.Frame(id)); strings.Count(frame, id) == 0 || no.Status == 429 && !strings.Contains(gjson.Get(frame, "headers.X-Codex-Promo-Message").String(), id) {
			t.Errorf("%s has the frame %s", no.Reason, frame)
		}
	}
}
