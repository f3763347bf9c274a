package replay

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"

	"codex-proxy/internal/console/visit"
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

// originForm shows the form.
func (v *view) originForm() error {
	f, err := v.filter()
	if err != nil {
		return err
	}
	return v.Page("Who said it?", "origin", originPage{Filter: f, Hidden: v.Frame.Hidden(v.R), Path: v.R.URL.Path})
}

// origin looks for what a developer saw among the exchanges that went wrong.
func (v *view) origin() error {
	f, err := v.form()
	if err != nil {
		return err
	}
	text := strings.TrimSpace(v.R.Form.Get("text"))
	wrong, allowed, err := v.suspects(f, text)
	if !allowed {
		return err
	}
	page := originPage{Filter: f, Text: text, Hidden: v.Frame.Hidden(v.R), Running: true, Path: v.R.URL.Path}
	return v.Layout("Who said it?", func(w io.Writer) error {
		if err := v.Part(w, "origin", page); err != nil {
			return err
		}
		v.Flush()
		end, err := v.origins(wrong, text, func(found Verdict) error {
			defer v.Flush()
			return v.Part(w, "origin-hit", found)
		})
		if err != nil {
			return err
		}
		return v.Part(w, "origin-end", end)
	})
}

// suspects are the exchanges that may have said a text. If allowed is false, the
// request has been answered, or the error says what is wrong.
func (v *view) suspects(f filter, text string) (wrong []exchange.Exchange, allowed bool, err error) {
	if text == "" || len(text) > mostQuery {
		return nil, false, visit.BadRequest("Give what the developer saw, or a part of it, in 1 to %d bytes.", mostQuery)
	}
	if f.Developer != "" {
		if allowed, err := v.allowed(f.Developer); !allowed {
			return nil, false, err
		}
	}
	if wrong, err = v.Ledger.Exchanges(v.R.Context(), ledger.ExchangeQuery{ID: text, Developer: f.Developer, Limit: 1}); len(wrong) == 0 && err == nil {
		wrong, err = v.wentWrong(v.R.Context(), f) // it is no exchange's own id
	}
	return wrong, err == nil, err
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

// looked counts the exchanges that a question was about.
type looked struct {
	// Looked were looked at, and Named said it.
	Looked, Named int64
	// Withheld were left out, as the viewer may not read what their developers wrote.
	Withheld int64
	// Unread have a record that could not be read.
	Unread int64
}

// origins gives which of the exchanges said a text to said.
func (v *view) origins(wrong []exchange.Exchange, text string, said func(Verdict) error) (end looked, err error) {
	readable := v.readable()
	for _, e := range wrong {
		if err := v.R.Context().Err(); err != nil {
			return end, err
		}
		allowed, err := readable(e.Developer)
		if err != nil {
			return end, err
		}
		if !allowed {
			end.Withheld++
			continue
		}
		doc, err := record.LoadWithin(v.R.Context(), v.Archive, record.Key(e), mostDocument)
		if err != nil {
			end.Unread++
			doc = &record.Document{} // its facts may tell enough
		}
		end.Looked++
		if found, _ := NewVerdict(e, doc, v.Advice); Names(text, e) || found.Says(text) {
			end.Named++
			if err := said(found); err != nil {
				return end, err
			}
		}
		if end.Named == mostOrigins {
			break
		}
	}
	return end, nil
}

// form reads a form that was posted.
func (v *view) form() (filter, error) {
	const most = 64 << 10
	v.R.Body = http.MaxBytesReader(v.W, v.R.Body, most)
	if err := v.R.ParseForm(); err != nil {
		return filter{}, visit.BadRequest("The form could not be read.")
	}
	return v.filter()
}
