package replay

import (
	"strings"
	"time"

	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
)

// Verdict is what is known of an exchange that went wrong: who said so, what Codex made
// of it, and what to do.
type Verdict struct {
	Exchange exchange.Exchange
	// Shown is what Codex printed; nil if it is not known.
	Shown  *conversation.Shown
	Advice string
	// said is what the errors in the answer say.
	said string
}

// NewVerdict judges an exchange by its record; false if it went well. advice may be nil.
func NewVerdict(e exchange.Exchange, doc *record.Document, advice func(exchange.Exchange) string) (Verdict, bool) {
	v := Verdict{Exchange: e}
	if e.ErrorOrigin == "" && e.Outcome == exchange.Completed {
		return v, false
	}
	var body []byte
	promo := ""
	if doc.Response != nil {
		body, promo = doc.Response.Bytes(), doc.Response.Header.Get("X-Codex-Promo-Message")
	}
	broken := e.Outcome == exchange.UpstreamError || e.Outcome == exchange.Interrupted
	if shown, ok := conversation.Show(e.Status, promo, body, broken); ok {
		v.Shown = &shown
	}
	for _, entry := range conversation.ReadResponse(body) {
		if entry.Kind == conversation.Failure || entry.Kind == conversation.Note {
			v.said += entry.Name + "\n" + entry.Text + "\n"
		}
	}
	if advice != nil {
		v.Advice = advice(e)
	}
	return v, true
}

// Says reports whether a text that someone saw is what was said, or what Codex made of
// it.
func (v Verdict) Says(text string) bool {
	if v.Shown != nil && v.Shown.Says(text) {
		return true
	}
	for _, said := range []string{v.Exchange.Error, v.Exchange.Refusal, v.said} {
		if (conversation.Shown{Text: said}).Says(text) {
			return true
		}
	}
	return false
}

// Names reports whether a text holds an id of the exchange, or a part of one is the
// text.
func Names(text string, e exchange.Exchange) bool {
	const enough = 8
	text = strings.TrimSpace(text)
	for _, id := range []string{e.ID, e.UpstreamRequestID} {
		if len(id) >= enough && (strings.Contains(text, id) || len(text) >= enough && strings.Contains(id, text)) {
			return true
		}
	}
	return false
}

// VerdictJSON is a Verdict as programs are told it, by the API and by the command line.
type VerdictJSON struct {
	ID        string           `json:"id"`
	Developer string           `json:"developer"`
	Started   time.Time        `json:"started"`
	Session   string           `json:"session"`
	SaidBy    exchange.Origin  `json:"said_by"`
	Status    int              `json:"status"`
	Outcome   exchange.Outcome `json:"outcome"`
	Refusal   string           `json:"refusal,omitempty"`
	// Error is what was said, Shown what Codex made of it; WordedByCodex tells that the
	// words are Codex's own.
	Error             string `json:"error,omitempty"`
	Shown             string `json:"shown,omitempty"`
	WordedByCodex     bool   `json:"worded_by_codex"`
	Cause             string `json:"cause,omitempty"`
	UpstreamRequestID string `json:"upstream_request_id,omitempty"`
	Advice            string `json:"advice"`
}

// JSON returns the verdict as programs are told it.
func (v Verdict) JSON() VerdictJSON {
	e := v.Exchange
	told := VerdictJSON{
		ID: e.ID, Developer: e.Developer, Started: e.Started, Session: e.Session, SaidBy: e.ErrorOrigin, Status: e.Status, Outcome: e.Outcome,
		Refusal: e.Refusal, Error: e.Error, UpstreamRequestID: e.UpstreamRequestID, Advice: v.Advice,
	}
	if v.Shown != nil {
		told.Shown, told.Cause, told.WordedByCodex = v.Shown.Text, v.Shown.Cause, v.Shown.Own != ""
	}
	return told
}
