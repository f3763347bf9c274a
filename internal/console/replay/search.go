package replay

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"codex-proxy/internal/console/figure"
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
	return v.page("Search", "search", searchPage{Filter: f, Hidden: v.Frame.Hidden(v.r), IgnoreCase: true, Path: recordsPath + "/search"})
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
	text := v.r.Form.Get("text")
	if text == "" || len(text) > mostQuery {
		return badRequest("Search for a text of 1 to %d bytes.", mostQuery)
	}
	if f.Developer != "" {
		if allowed, err := v.allowed(f.Developer); !allowed {
			return err
		}
	}
	select {
	case v.searching <- struct{}{}:
		defer func() { <-v.searching }()
	default:
		return failure{http.StatusServiceUnavailable, "As many searches run as may run at a time. Try again when one has ended."}
	}
	page := searchPage{Filter: f, Text: text, IgnoreCase: v.r.Form.Get("case") == "", Hidden: v.Frame.Hidden(v.r), Running: true, Path: recordsPath + "/search"}
	return v.layout("Search", func(w io.Writer) error {
		if err := v.part(w, "search", page); err != nil {
			return err
		}
		v.flush()
		return v.hits(w, f, record.Query{Text: text, IgnoreCase: page.IgnoreCase})
	})
}

// hits writes what a search finds.
func (v *view) hits(w io.Writer, f filter, query record.Query) error {
	ctx := v.r.Context()
	filter := record.Filter{
		First: f.from, Last: f.to.AddDate(0, 0, -1), Developer: f.Developer, Session: f.Session, Model: f.Model, Outcome: exchange.Outcome(f.Outcome),
	}
	readable := v.readable()
	begun, told := v.Now(), v.Now()
	p := progress{Why: "All was searched."}
	for searched, err := range record.Search(ctx, v.Archive, filter, query) {
		if ctx.Err() != nil {
			return ctx.Err()
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
			return err
		case !allowed:
			p.Withheld++
			continue
		}
		p.Searched++
		for _, found := range searched.Hits {
			p.Hits++
			if err := v.part(w, "hit", newHit(searched.Exchange, found)); err != nil {
				return err
			}
		}
		now := v.Now()
		if now.Sub(told) >= progressEvery || len(searched.Hits) > 0 {
			told = now
			if err := v.part(w, "progress", p); err != nil {
				return err
			}
			v.flush()
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
	return errors.Join(v.part(w, "progress", p), v.part(w, "search-end", nil))
}

// readable remembers for one search whose words the viewer may read.
func (v *view) readable() func(developer string) (bool, error) {
	known := map[string]bool{}
	return func(developer string) (bool, error) {
		allowed, ok := known[developer]
		if ok {
			return allowed, nil
		}
		if v.viewer.Only != "" && developer != v.viewer.Only {
			return false, nil
		}
		allowed, err := v.Frame.MayRead(v.r.Context(), v.viewer, developer)
		if err == nil {
			known[developer] = allowed
		}
		return allowed, err
	}
}

func newHit(e exchange.Exchange, found record.Hit) hit {
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
		Before: trim(clean(wholeStart(found.Before))), Match: trim(clean(found.Match)), After: trim(clean(wholeEnd(found.After))),
	}
}

// wholeStart drops the rest of a character that text begins within.
func wholeStart(text string) string {
	for i := 0; i < utf8.UTFMax-1 && text != "" && !utf8.RuneStart(text[0]); i++ {
		text = text[1:]
	}
	return text
}

// wholeEnd drops the part of a character that text ends within.
func wholeEnd(text string) string {
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if end := text[len(text)-i:]; utf8.RuneStart(end[0]) {
			if !utf8.FullRuneInString(end) {
				return text[:len(text)-i]
			}
			return text
		}
	}
	return text
}
