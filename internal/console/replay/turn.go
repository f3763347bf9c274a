package replay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"time"

	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

// The sides of a record, as addresses name them.
const (
	sideRequest  = string(record.SideRequest)
	sideResponse = string(record.SideResponse)
)

const (
	// lookBack is how many turns before the first of a page are read to know
	// what that one repeats.
	lookBack = 4
	// mostDocument bounds a record that is laid out, in bytes, uncompressed.
	mostDocument = 64 << 20
	// mostItems bounds the items of one turn on a page.
	mostItems = 300
)

// Turn is one exchange of a session, as the page shows it: what is new in it
// against the turns before.
type Turn struct {
	// Number counts the session's exchanges from 1.
	Number   int
	Exchange exchange.Exchange
	// Earlier are items of turns whose records are not there: they stand in this
	// one alone.
	Earlier []Item
	// Repeated is how many items the request sent again.
	Repeated int
	// Asked and Answered are what the two sides said anew.
	Asked, Answered []Item
	// More is how many items are not on the page.
	More int
	// Beside are the secrets that stand in no item, such as those of headers.
	Beside []Secret
	// Unread says why the record cannot be shown; empty when it can.
	Unread string
	// Incomplete says which body is not whole on record, and why.
	Incomplete []string
	// Retry is the number of the turn whose request this one sends again, and
	// RetriedBy the one that sends this again; 0 for none.
	Retry, RetriedBy int
	// Running is what the session adds up to, with this turn.
	Running ledger.Counts
	Bar     Bar
}

// Dim says that the turn matters little to who reads the conversation.
func (t *Turn) Dim() bool { return t.Exchange.Warmup || t.RetriedBy > 0 }

// Says reports whether the answer's own text tells of an error.
func (t *Turn) Says() bool {
	return slices.ContainsFunc(t.Answered, func(i Item) bool { return i.Kind == string(conversation.Failure) })
}

// Calls says that the answer called a tool, so that what follows is the tool's time.
func (t *Turn) Calls() bool {
	return slices.ContainsFunc(t.Answered, func(i Item) bool { return i.Kind == string(conversation.Call) })
}

// Used says that the exchange used tokens, or may have.
func (t *Turn) Used() bool { return t.Exchange.Usage.State != exchange.UsageNone }

// Empty says that the turn says nothing.
func (t *Turn) Empty() bool {
	return t.Unread == "" && len(t.Earlier)+len(t.Asked)+len(t.Answered) == 0
}

// Turns yields the turns of a session from the given number on, at most so many.
// facts are the session's exchanges in the order in which they began. It holds
// two records at a time.
func Turns(ctx context.Context, archive record.Source, facts []exchange.Exchange, first, most int) iter.Seq[*Turn] {
	return func(yield func(*Turn) bool) {
		first = max(1, first)
		end := min(len(facts), first-1+most)
		room := pageLimits.pictures
		var known seen
		var running ledger.Counts
		var held *Turn // until the next turn has told whether it is the same again
		for i, e := range facts[:max(0, end)] {
			running = running.Add(ledger.Count(e))
			number := i + 1
			if number < first-lookBack {
				continue
			}
			if ctx.Err() != nil {
				return
			}
			turn := &Turn{Number: number, Exchange: e, Running: running, Bar: newBar(facts, i)}
			again := turn.read(ctx, archive, &known, &room, number >= first)
			if held != nil && again && held.Exchange.Outcome != exchange.Completed {
				turn.Retry, held.RetriedBy = held.Number, number
			}
			if held != nil && held.Number >= first && !yield(held) {
				return
			}
			held = turn
		}
		if held != nil && held.Number >= first {
			yield(held)
		}
	}
}

// read fills a turn from its record, and reports whether its request is the last
// one's.
func (t *Turn) read(ctx context.Context, archive record.Source, known *seen, room *int, shown bool) (again bool) {
	doc, err := record.LoadWithin(ctx, archive, record.Key(t.Exchange), mostDocument)
	if err != nil {
		t.Unread = unreadable(err)
		return false
	}
	t.Exchange.Findings = doc.Exchange.Findings
	body := doc.Request.Bytes()
	request := conversation.ReadRequest(body)
	var answer []conversation.Entry
	id := ""
	if doc.Response != nil {
		answered := doc.Response.Bytes()
		answer, id = conversation.ReadResponse(answered), conversation.AnswerID(answered)
	}
	known.name(request.Entries)
	known.name(answer)
	begins := known.turns == 0 && request.Previous == ""
	fresh := known.turn(request, answer, id)
	if !shown {
		return fresh.again
	}
	c := composer{
		limits: pageLimits, secrets: placeholdersIn(body, doc.Exchange.Findings), pictures: room,
		findings: doc.Exchange.Findings, exchange: &t.Exchange,
		all: func(side string, n int) string { return itemAddress(t.Exchange.ID, side, n) },
	}
	n := 0
	add := func(to *[]Item, side string, i int, entry conversation.Entry) {
		if n++; n > mostItems {
			t.More++
			return
		}
		*to = append(*to, c.item(itemAnchor(t.Number, n), side, i, entry))
	}
	for i, entry := range request.Entries {
		switch {
		case !fresh.is[i]:
			t.Repeated++
		case begins && i < request.Earlier && !preamble(entry):
			add(&t.Earlier, sideRequest, i, entry)
		default:
			add(&t.Asked, sideRequest, i, entry)
		}
	}
	for i, entry := range answer {
		add(&t.Answered, sideResponse, i, entry)
	}
	t.Beside = besideItems(&t.Exchange, request.Entries, &c)
	t.incomplete(doc)
	return fresh.again
}

// preamble reports whether an entry stands before a conversation's first word.
func preamble(entry conversation.Entry) bool {
	return entry.Kind == conversation.Instructions || entry.Kind == conversation.Note || isContext(entry)
}

// besideItems are the secrets that stand in no item of the request.
func besideItems(e *exchange.Exchange, entries []conversation.Entry, c *composer) []Secret {
	inItems := map[string]bool{}
	for _, entry := range entries {
		for _, s := range c.secretsAt(sideRequest, entry.Place) {
			inItems[s.Path] = true
		}
	}
	var all []Secret
	for _, f := range e.Findings {
		if !inItems[f.Path] {
			all = append(all, newSecret(e, f))
		}
	}
	return all
}

func (t *Turn) incomplete(doc *record.Document) {
	if why := doc.Request.Incomplete; why != "" {
		t.Incomplete = append(t.Incomplete, "The request is not whole on record: "+line(why, 200))
	}
	if doc.Response != nil && doc.Response.Incomplete != "" {
		t.Incomplete = append(t.Incomplete, "The answer is not whole on record: "+line(doc.Response.Incomplete, 200))
	}
}

// unreadable says why a record cannot be shown.
func unreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "This exchange's record is not in the archive: it was erased, is kept elsewhere by now, or has not arrived yet."
	case errors.Is(err, record.ErrTooLarge):
		return fmt.Sprintf("This exchange's record is larger than %s, too large to lay out: look at it raw, or download it.", conversation.Size(mostDocument))
	}
	return "This exchange's record cannot be read: " + line(err.Error(), 300)
}

// itemAddress is where the whole of an item is.
func itemAddress(id, side string, n int) string {
	return recordAddress(id) + "/item?" + url.Values{"side": {side}, "n": {strconv.Itoa(n)}}.Encode()
}

// recordAddress is where a record is.
func recordAddress(id string) string { return recordsPath + "/" + url.PathEscape(id) }

// Bar is how a turn's time went: until the first byte of the answer, until its
// end, and until the next request, which is the developer's side. X and Width of
// the parts are of a bar that is 1000 wide.
type Bar struct {
	Wait, Generate, Gap time.Duration
	Parts               []BarPart
	// Long says that the gap is longer than it is drawn.
	Long bool
}

// BarPart is one part of a bar.
type BarPart struct {
	Class    string
	X, Width int
}

// newBar draws the time of the i-th exchange of a session.
func newBar(facts []exchange.Exchange, i int) Bar {
	e := facts[i]
	whole := time.Duration(e.DurationMicros) * time.Microsecond
	b := Bar{Wait: whole}
	if first := time.Duration(e.FirstByteMicros) * time.Microsecond; first > 0 && first <= whole {
		b.Wait, b.Generate = first, whole-first
	}
	if i+1 < len(facts) {
		b.Gap = max(0, facts[i+1].Started.Sub(e.Started)-whole)
	}
	drawn := min(b.Gap, 2*whole)
	b.Long = drawn < b.Gap
	total := b.Wait + b.Generate + drawn
	if total <= 0 {
		return b
	}
	const width = 1000
	x := 0
	for _, part := range []struct {
		class string
		time  time.Duration
	}{{"wait", b.Wait}, {"generate", b.Generate}, {"gap", drawn}} {
		if w := int(int64(part.time) * width / int64(total)); w > 0 {
			b.Parts = append(b.Parts, BarPart{part.class, x, w})
			x += w
		}
	}
	return b
}
