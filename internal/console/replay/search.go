package replay

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"codex-proxy/internal/console/figure"
	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
)

const (
	// mostSearches is how many searches run at a time: one takes every core.
	mostSearches = 2
	// mostHits ends a search, and so does searchTime.
	mostHits   = 200
	searchTime = 10 * time.Minute
	// mostQuery bounds what is searched for, in bytes.
	mostQuery = 1000
	// progressEvery is how often the page says how far it is.
	progressEvery = 500 * time.Millisecond
)

// searchPage is the form of a search, and what stands above its hits.
type searchPage struct {
	Filter     filter
	Text       string
	IgnoreCase bool
	Hidden     any
	Running    bool
	Path       string
}

// searchForm shows the form of a search.
func (v *view) searchForm() error {
	f, err := v.filter()
	if err != nil {
		return err
	}
	return v.Page("Search", "search", searchPage{Filter: f, Hidden: v.Frame.Hidden(v.R), IgnoreCase: true, Path: recordsPath + "/search"})
}

// hit is one place in which the text was found.
type hit struct {
	Exchange             exchange.Exchange
	Side                 string
	Count                int
	Before, Match, After []Span
}

// progress is how far a search is.
type progress struct {
	Searched, Hits, Unread int64
	// Withheld counts the exchanges that were left out, as the viewer may not read
	// what their developers wrote.
	Withheld int64
	At       time.Time
	Ended    bool
	Why      string
}

// search looks through the archive and writes what it finds as it finds it. What
// is searched for is content: it comes in a form, and never stands in an
// address. Whoever leaves the page ends the search.
func (v *view) search() error {
	f, err := v.form()
	if err != nil {
		return err
	}
	query := record.Query{Text: v.R.Form.Get("text"), IgnoreCase: v.R.Form.Get("case") == ""}
	done, allowed, err := v.begin(f, query)
	if !allowed {
		return err
	}
	defer done()
	page := searchPage{Filter: f, Text: query.Text, IgnoreCase: query.IgnoreCase, Hidden: v.Frame.Hidden(v.R), Running: true, Path: recordsPath + "/search"}
	return v.Layout("Search", func(w io.Writer) error {
		if err := v.Part(w, "search", page); err != nil {
			return err
		}
		v.Flush()
		end, err := v.find(f, query, func(e exchange.Exchange, found record.Hit) error {
			return v.Part(w, "hit", newHit(e, found))
		}, func(p progress) error {
			defer v.Flush()
			return v.Part(w, "progress", p)
		})
		if err != nil {
			return err
		}
		return errors.Join(v.Part(w, "progress", end), v.Part(w, "search-end", nil))
	})
}

// begin lets a search begin; done makes room for the next. If allowed is false, the
// request has been answered, or the error says what is wrong.
func (v *view) begin(f filter, query record.Query) (done func(), allowed bool, err error) {
	if query.Text == "" || len(query.Text) > mostQuery {
		return nil, false, visit.BadRequest("Search for a text of 1 to %d bytes.", mostQuery)
	}
	if f.Developer != "" {
		if allowed, err := v.allowed(f.Developer); !allowed {
			return nil, false, err
		}
	}
	select {
	case v.searching <- struct{}{}:
		return func() { <-v.searching }, true, nil
	default:
		return nil, false, visit.Problem{Status: http.StatusServiceUnavailable, Code: "busy", Text: "As many searches run as may run at a time. Try again when one has ended."}
	}
}

// find looks through the archive. It gives each hit to hit and, now and then and after
// each record with hits, how far it is to told; what it returns is how far it came.
func (v *view) find(f filter, query record.Query, hit func(exchange.Exchange, record.Hit) error, told func(progress) error) (progress, error) {
	ctx := v.R.Context()
	filter := record.Filter{
		First: f.from, Last: f.to.AddDate(0, 0, -1), Developer: f.Developer, Session: f.Session, Model: f.Model, Outcome: exchange.Outcome(f.Outcome),
	}
	readable := v.readable()
	begun, last := v.Now(), v.Now()
	p := progress{Why: "All was searched."}
	for searched, err := range record.Search(ctx, v.Archive, filter, query) {
		if ctx.Err() != nil {
			return p, ctx.Err()
		}
		if err != nil {
			p.Unread++
			v.Log.Error("a search could not read a record", "error", err)
			continue
		}
		p.At = searched.Exchange.Started
		allowed, err := readable(searched.Exchange.Developer)
		switch {
		case err != nil:
			return p, err
		case !allowed:
			p.Withheld++
			continue
		}
		p.Searched++
		for _, found := range searched.Hits {
			p.Hits++
			if err := hit(searched.Exchange, found); err != nil {
				return p, err
			}
		}
		now := v.Now()
		if now.Sub(last) >= progressEvery || len(searched.Hits) > 0 {
			last = now
			if err := told(p); err != nil {
				return p, err
			}
		}
		if p.Hits >= mostHits {
			p.Why = "It ended at so many hits: narrow the days, or search for more."
			break
		}
		if now.Sub(begun) > searchTime {
			p.Why = "It ended after " + figure.Duration(searchTime) + ": narrow the days, and search on from there."
			break
		}
	}
	p.Ended = true
	return p, nil
}

// readable remembers for one search whose words the viewer may read.
func (v *view) readable() func(developer string) (bool, error) {
	known := map[string]bool{}
	return func(developer string) (bool, error) {
		allowed, ok := known[developer]
		if ok {
			return allowed, nil
		}
		if v.Viewer.Only != "" && developer != v.Viewer.Only {
			return false, nil
		}
		allowed, err := v.Frame.MayRead(v.R.Context(), v.Viewer, developer)
		if err == nil {
			known[developer] = allowed
		}
		return allowed, err
	}
}

func newHit(e exchange.Exchange, found record.Hit) hit {
	found = found.Whole()
	var plain secretsByPlaceholder
	clean := func(text string) []Span { return plain.spans(strings.Join(strings.Fields("|"+text+"|"), " ")) }
	trim := func(spans []Span) []Span {
		if n := len(spans); n > 0 {
			spans[0].Text = strings.TrimPrefix(spans[0].Text, "|")
			spans[n-1].Text = strings.TrimSuffix(spans[n-1].Text, "|")
		}
		return spans
	}
	return hit{
		Exchange: e, Side: string(found.Side), Count: found.Count,
		Before: trim(clean(found.Before)), Match: trim(clean(found.Match)), After: trim(clean(found.After)),
	}
}
