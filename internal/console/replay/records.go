package replay

import (
	"cmp"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

// recordList is the page of records.
type recordList struct {
	Filter  filter
	Records []exchange.Exchange
	// Before is the exchange before which the list goes on, and Older where; empty at
	// its end.
	Before, Older  string
	Search, Origin string
}

// records shows the list of records.
func (v *view) records() error {
	list, err := v.listRecords()
	if err != nil {
		return err
	}
	return v.Page("Records", "records", list)
}

// listRecords reads the exchanges that the address asks for.
func (v *view) listRecords() (recordList, error) {
	f, err := v.filter()
	if err != nil {
		return recordList{}, err
	}
	all, err := v.Ledger.Exchanges(v.R.Context(), ledger.ExchangeQuery{
		From: f.from, To: f.to, Before: f.before, Developer: f.Developer, Team: f.Team, Session: f.Session, Model: f.Model,
		Outcome: exchange.Outcome(f.Outcome), Origin: exchange.Origin(f.Origin), Refusal: f.Refusal,
		Transport: exchange.Transport(f.Transport), Status: f.status, Secrets: f.Secrets != "",
		Token: f.Token, Client: f.Client, Tier: f.Tier, CostNanos: f.nanos, Duration: f.least, Limit: listed + 1,
	})
	if err != nil {
		return recordList{}, err
	}
	list := recordList{Filter: f, Records: all, Search: recordsPath + "/search", Origin: recordsPath + "/origin"}
	if len(all) > listed {
		list.Records = all[:listed]
		list.Before = all[listed-1].ID
		list.Older = f.older(recordsPath, list.Before)
	}
	return list, nil
}

// recordPage is the page of one record.
type recordPage struct {
	Exchange exchange.Exchange
	URI      string
	// Turn has the conversation: what is new in it, or with Whole all of it.
	Turn  *Turn
	Whole bool
	// Secrets are all findings.
	Secrets           []Secret
	Purged            []record.Purge
	Request, Response *message
	// Verdict says who said that it went wrong; nil if it went well.
	Verdict *Verdict
}

// message is one side of a record beside its body.
type message struct {
	Title           string
	Status          int
	Headers         []header
	Coding, Framing string
	Size            int
	// Raw and Body are where the body is, to be looked at and to be saved.
	Raw, Body string
}

// header is one line of a message's header.
type header struct{ Name, Value string }

// record shows one record.
func (v *view) record(e exchange.Exchange) error {
	doc, err := record.LoadWithin(v.R.Context(), v.Archive, record.Key(e), mostDocument)
	if err != nil {
		return v.Page("Record", "record", recordPage{Exchange: e, Turn: &Turn{Exchange: e, Unread: unreadable(err)}})
	}
	e.Findings = doc.Exchange.Findings
	page := recordPage{
		Exchange: e, URI: cmp.Or(doc.Request.URI, e.Path), Whole: v.R.URL.Query().Get("whole") != "",
		Purged: doc.Purged, Request: newMessage(e.ID, sideRequest, "Request", &doc.Request),
	}
	for _, f := range e.Findings {
		page.Secrets = append(page.Secrets, newSecret(&e, f))
	}
	if doc.Response != nil {
		page.Response = newMessage(e.ID, sideResponse, "Answer", doc.Response)
	}
	if found, wrong := NewVerdict(e, doc, v.Advice); wrong {
		page.Verdict = &found
	}
	page.Turn = wholeTurn(e, doc, page.Whole)
	return v.Page("Record "+e.ID, "record", page)
}

// wholeTurn lays out a record by itself: all of its request, or what the model had
// not heard before.
func wholeTurn(e exchange.Exchange, doc *record.Document, whole bool) *Turn {
	t := &Turn{Exchange: e}
	body := doc.Request.Bytes()
	request := conversation.ReadRequest(body)
	room := pageLimits.pictures
	c := composer{
		limits: pageLimits, secrets: placeholdersIn(body, e.Findings), findings: e.Findings, exchange: &e, pictures: &room,
		all: func(side string, n int) string { return itemAddress(e.ID, side, n) },
	}
	n := 0
	add := func(to *[]Item, side string, i int, entry conversation.Entry) {
		const most = 2000
		if n++; n > most {
			t.More++
			return
		}
		*to = append(*to, c.item("item-"+strconv.Itoa(n), side, i, entry))
	}
	for i, entry := range request.Entries {
		if !whole && i < request.Earlier {
			t.Repeated++
			continue
		}
		add(&t.Asked, sideRequest, i, entry)
	}
	if doc.Response != nil {
		for i, entry := range conversation.ReadResponse(doc.Response.Bytes()) {
			add(&t.Answered, sideResponse, i, entry)
		}
	}
	t.incomplete(doc)
	return t
}

// newMessage tells of one side of a record.
func newMessage(id, side, title string, m *record.Message) *message {
	told := &message{
		Title: title, Status: m.Status, Coding: m.ContentCoding, Framing: m.Framing, Size: len(m.Body) + len(m.BodyBase64),
		Raw: recordAddress(id) + "/raw?side=" + side, Body: recordAddress(id) + "/body?side=" + side,
	}
	for _, headers := range []http.Header{m.Header, m.Trailer} {
		for name, values := range headers {
			for _, value := range values {
				told.Headers = append(told.Headers, header{line(name, 200), line(value, 4000)})
			}
		}
	}
	slices.SortStableFunc(told.Headers, func(a, b header) int { return strings.Compare(a.Name, b.Name) })
	return told
}

// itemPage is the page of one item.
type itemPage struct {
	Exchange exchange.Exchange
	Item     Item
	Raw      string
}

// item shows one item of a record, whole.
func (v *view) item(e exchange.Exchange) error {
	side := v.R.URL.Query().Get("side")
	n, err := strconv.Atoi(v.R.URL.Query().Get("n"))
	if err != nil || n < 0 || side != sideRequest && side != sideResponse {
		return visit.NotFound("There is no such item.")
	}
	doc, err := record.LoadWithin(v.R.Context(), v.Archive, record.Key(e), mostDocument)
	if err != nil {
		return visit.NotFound("%s", unreadable(err))
	}
	body := doc.Request.Bytes()
	entries := conversation.ReadRequest(body).Entries
	if side == sideResponse {
		entries = nil
		if doc.Response != nil {
			entries = conversation.ReadResponse(doc.Response.Bytes())
		}
	}
	if n >= len(entries) {
		return visit.NotFound("There is no such item.")
	}
	room := wholeLimits.pictures
	raw := recordAddress(e.ID) + "/raw?side=" + side
	c := composer{
		limits: wholeLimits, secrets: placeholdersIn(body, doc.Exchange.Findings), findings: doc.Exchange.Findings, exchange: &e, pictures: &room,
		all: func(string, int) string { return raw },
	}
	item := c.item("item", side, n, entries[n])
	item.Folded = false
	return v.Page("Item of "+e.ID, "item-page", itemPage{e, item, raw})
}

// side is which side of a record the address names.
func (v *view) side() (record.Side, error) {
	switch side := record.Side(v.R.URL.Query().Get("side")); side {
	case record.SideRequest, record.SideResponse:
		return side, nil
	}
	return "", visit.NotFound("A record has a request and a response.")
}

// body gives out a body, byte for byte.
func (v *view) body(e exchange.Exchange) error {
	side, err := v.side()
	if err != nil {
		return err
	}
	out := &lateWriter{start: func() io.Writer { return v.attach(e.ID + "." + string(side)) }}
	return v.streamed(record.CopyBody(v.R.Context(), v.Archive, record.Key(e), side, out), out)
}

// download gives out the record as the archive keeps it.
func (v *view) download(e exchange.Exchange) error {
	file, err := v.Archive.Get(v.R.Context(), record.Key(e))
	if err != nil {
		return visit.NotFound("%s", unreadable(err))
	}
	defer file.Close() // only read
	out := &lateWriter{start: func() io.Writer { return v.attach(e.ID + ".json.zst") }}
	_, err = io.Copy(out, file)
	return v.streamed(err, out)
}

// attach begins an answer that a browser saves and never shows.
func (v *view) attach(name string) io.Writer {
	h := v.W.Header()
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	return v.File("application/octet-stream")
}

// streamed ends an answer that was written as it was read. One that breaks off
// within must not look whole.
func (v *view) streamed(err error, out *lateWriter) error {
	if err == nil && out.w == nil {
		out.w = out.start() // an empty body
	}
	if err != nil && out.w != nil {
		v.Log.Error("a download broke off", "path", v.R.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// lateWriter begins an answer with its first byte, so that an error before it can
// still be told.
type lateWriter struct {
	start func() io.Writer
	w     io.Writer
}

func (l *lateWriter) Write(p []byte) (int, error) {
	if l.w == nil {
		l.w = l.start()
	}
	return l.w.Write(p)
}
