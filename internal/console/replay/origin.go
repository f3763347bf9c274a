package replay

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

const (
	// mostErrors is how many of the exchanges that ended in one way are looked
	// at, the newest, and mostOrigins how many are named.
	mostErrors  = 300
	mostOrigins = 30
)

// originPage is the form that asks who said something, and what stands above the
// answer.
type originPage struct {
	Filter  filter
	Text    string
	Hidden  any
	Running bool
	Path    string
}

// verdict is what is known of an exchange that went wrong.
type verdict struct {
	Exchange exchange.Exchange
	// Shown is what Codex printed; nil if it is not known.
	Shown  *conversation.Shown
	Advice string
}

// verdict says who said that an exchange went wrong, and what it means; false if
// it went well.
func (p *pages) verdict(e exchange.Exchange, doc *record.Document) (verdict, bool) {
	found := verdict{Exchange: e}
	if e.ErrorOrigin == "" && e.Outcome == exchange.Completed {
		return found, false
	}
	var body []byte
	promo := ""
	if doc.Response != nil {
		body, promo = doc.Response.Bytes(), doc.Response.Header.Get("X-Codex-Promo-Message")
	}
	broken := e.Outcome == exchange.UpstreamError || e.Outcome == exchange.Interrupted
	if shown, ok := conversation.Show(e.Status, promo, body, broken); ok {
		found.Shown = &shown
	}
	if p.Advice != nil {
		found.Advice = p.Advice(e)
	}
	return found, true
}

// says reports whether a text that someone saw is what was said, or what Codex
// made of it, or holds the id of the exchange.
func (v verdict) says(text string) bool {
	for _, id := range []string{v.Exchange.ID, v.Exchange.UpstreamRequestID} {
		if id != "" && strings.Contains(text, id) {
			return true
		}
	}
	said := conversation.Shown{Text: v.Exchange.Error}
	return said.Says(text) || v.Shown != nil && v.Shown.Says(text)
}

// originForm shows the form.
func (v *view) originForm() error {
	f, err := v.filter()
	if err != nil {
		return err
	}
	return v.page("Who said it?", "origin", originPage{Filter: f, Hidden: v.Frame.Hidden(v.r), Path: v.r.URL.Path})
}

// origin looks for what a developer saw among the exchanges that went wrong.
func (v *view) origin() error {
	f, err := v.form()
	if err != nil {
		return err
	}
	text := strings.TrimSpace(v.r.Form.Get("text"))
	if text == "" || len(text) > mostQuery {
		return badRequest("Give what the developer saw, or a part of it, in 1 to %d bytes.", mostQuery)
	}
	if f.Developer != "" {
		if allowed, err := v.allowed(f.Developer); !allowed {
			return err
		}
	}
	wrong, err := v.wentWrong(v.r.Context(), f)
	if err != nil {
		return err
	}
	page := originPage{Filter: f, Text: text, Hidden: v.Frame.Hidden(v.r), Running: true, Path: v.r.URL.Path}
	return v.layout("Who said it?", func(w io.Writer) error {
		if err := v.part(w, "origin", page); err != nil {
			return err
		}
		v.flush()
		return v.origins(w, wrong, text)
	})
}

// wentWrong are the exchanges of the filter's days that went wrong, the newest
// first.
func (v *view) wentWrong(ctx context.Context, f filter) (all []exchange.Exchange, err error) {
	for _, o := range []exchange.Outcome{exchange.Failed, exchange.UpstreamError, exchange.ClientCancelled, exchange.Interrupted, exchange.Refused} {
		some, err := v.Ledger.Exchanges(ctx, ledger.ExchangeQuery{From: f.from, To: f.to, Developer: f.Developer, Outcome: o, Limit: mostErrors})
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b exchange.Exchange) int { return cmp.Compare(b.ID, a.ID) })
	return all, nil
}

// origins writes which of the exchanges said a text.
func (v *view) origins(w io.Writer, wrong []exchange.Exchange, text string) error {
	readable := v.readable()
	var end struct{ Looked, Named, Withheld, Unread int64 }
	for _, e := range wrong {
		if err := v.r.Context().Err(); err != nil {
			return err
		}
		allowed, err := readable(e.Developer)
		if err != nil {
			return err
		}
		if !allowed {
			end.Withheld++
			continue
		}
		doc, err := record.LoadWithin(v.r.Context(), v.Archive, record.Key(e), mostDocument)
		if err != nil {
			end.Unread++
			doc = &record.Document{} // its facts may tell enough
		}
		end.Looked++
		if found, _ := v.verdict(e, doc); found.says(text) {
			end.Named++
			if err := v.part(w, "origin-hit", found); err != nil {
				return err
			}
			v.flush()
		}
		if end.Named == mostOrigins {
			break
		}
	}
	return v.part(w, "origin-end", end)
}

// form reads a form that was posted.
func (v *view) form() (filter, error) {
	const most = 64 << 10
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, most)
	if err := v.r.ParseForm(); err != nil {
		return filter{}, badRequest("The form could not be read.")
	}
	return v.filter()
}
