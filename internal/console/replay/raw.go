package replay

import (
	"net/url"
	"strconv"
	"unicode/utf8"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
)

// rawOnPage is how many bytes of a body a page has.
const rawOnPage = 64 << 10

// rawPage is a page of a body as it travelled.
type rawPage struct {
	Exchange exchange.Exchange
	Side     string
	Spans    []Span
	// From and To are which bytes are shown; Size is the body's.
	From, To, Size int64
	First, Back    string
	Next, Last     string
}

// raw shows a part of a body as it travelled.
func (v *view) raw(e exchange.Exchange) error {
	side, err := v.side()
	if err != nil {
		return err
	}
	at, err := strconv.ParseInt(v.R.URL.Query().Get("at"), 10, 64)
	if err != nil || at < 0 {
		at = 0
	}
	window := &window{from: at, most: rawOnPage + utf8.UTFMax}
	err = record.CopyBody(v.R.Context(), v.Archive, record.Key(e), side, window)
	if err != nil {
		return visit.NotFound("%s", unreadable(err))
	}
	// A page ends with a whole character, so that the next one begins with one.
	text := wholeCharacters(window.kept, rawOnPage)
	page := rawPage{Exchange: e, Side: string(side), From: at, To: at + int64(len(text)), Size: window.passed}
	page.Spans = secretsByPlaceholder{}.spans(string(text))
	address := func(at int64) string {
		return recordAddress(e.ID) + "/raw?" + url.Values{"side": {string(side)}, "at": {strconv.FormatInt(at, 10)}}.Encode()
	}
	if at > 0 {
		page.First, page.Back = address(0), address(max(0, at-rawOnPage))
	}
	if page.To < page.Size {
		page.Next, page.Last = address(page.To), address(max(0, page.Size-rawOnPage))
	}
	return v.Page("Raw "+string(side)+" of "+e.ID, "raw", page)
}

// wholeCharacters is the beginning of text, at most so many bytes, that ends with
// a whole character.
func wholeCharacters(text []byte, most int) []byte {
	if len(text) <= most {
		return text
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// window keeps a part of what is written to it, and counts all of it.
type window struct {
	from   int64
	most   int
	kept   []byte
	passed int64
}

func (w *window) Write(p []byte) (int, error) {
	begin := max(0, w.from-w.passed)
	w.passed += int64(len(p))
	if begin < int64(len(p)) && len(w.kept) < w.most {
		part := p[begin:]
		w.kept = append(w.kept, part[:min(len(part), w.most-len(w.kept))]...)
	}
	return len(p), nil
}
