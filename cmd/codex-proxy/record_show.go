package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/terminal"
)

type recordShowCommand struct {
	ID       string `arg:"" help:"The exchange's id, or 8 characters or more of its beginning or end."`
	All      bool   `help:"Show earlier items of the conversation and the instructions too." env:"-"`
	Raw      bool   `help:"Print the body's very bytes instead: the request's, or with --response the answer's." env:"-"`
	JSON     bool   `help:"Print the whole record as JSON; request.body and response.body are as they travelled." env:"-"`
	Request  bool   `help:"Only the request." env:"-" xor:"side"`
	Response bool   `help:"Only the answer." env:"-" xor:"side"`
}

func (r *recordShowCommand) Run(c *console) error {
	archive, err := c.settings.openArchive(c.ctx, look)
	if err != nil {
		return err
	}
	doc, err := record.Open(c.ctx, archive, r.ID, time.Now())
	switch {
	case err != nil:
		return err
	case r.JSON:
		return printSafeJSON(c.stdout, doc)
	case r.Raw:
		return r.raw(c, doc)
	}
	page := &page{doc: doc, all: r.All}
	if !r.Request && !r.Response {
		page.facts()
	}
	if !r.Response {
		page.request()
	}
	if !r.Request {
		page.response()
	}
	_, err = io.WriteString(c.stdout, page.String())
	return err
}

// raw prints a body's very bytes, unless they would drive a terminal.
func (r *recordShowCommand) raw(c *console, doc *record.Document) error {
	message := &doc.Request
	if r.Response {
		if message = doc.Response; message == nil {
			return fmt.Errorf("exchange %s has no answer: %s", doc.Exchange.ID, doc.Exchange.Outcome)
		}
	}
	body := message.Bytes()
	if _, onTerminal := terminalWidth(c.stdout); onTerminal {
		body = []byte(terminal.SafeLines(string(body)) + "\n")
	}
	_, err := c.stdout.Write(body)
	return err
}

// page is what record show prints of one record.
type page struct {
	doc *record.Document
	all bool
	sheet
}

// facts prints all that is known of the exchange.
func (p *page) facts() {
	e := p.doc.Exchange
	p.fact("exchange", "%s", e.ID)
	p.fact("developer", "%s", list(e.Developer, prefixed("team ", e.Team), prefixed("token ", e.TokenID)))
	p.fact("session", "%s", e.Session)
	p.fact("client", "%s", e.Client)
	p.fact("when", "%s UTC%s", e.Started.UTC().Format(time.DateTime), timing(e))
	p.fact("call", "%s", list(e.Method+" "+p.uri(), string(e.Transport), when(e.Warmup, "warm-up")))
	model := e.Model
	if e.ModelAsked != "" && e.ModelAsked != e.Model {
		model = list(e.Model, "asked for "+e.ModelAsked)
	}
	p.fact("model", "%s", list(model, prefixed("tier ", e.Tier)))
	status := "no status"
	if e.Status != 0 {
		status = strings.TrimSpace(fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status)))
	}
	p.fact("outcome", "%s", list(string(e.Outcome), status, prefixed("refused as ", e.Refusal)))
	if e.Error != "" || e.ErrorOrigin != "" {
		p.fact("error", "%s", strings.TrimSuffix(speaker(e)+" said: "+e.Error, " said: "))
	}
	p.fact("usage", "%s", usageLine(e.Usage))
	cost := recordCost(e.Cost)
	if cost == "-" {
		cost = "nothing to price"
	}
	p.fact("cost", "%s", list(cost, prefixed("price book ", e.Cost.Book)))
	p.fact("sizes", "request %s, answer %s", conversation.Size(int(e.RequestBytes)), conversation.Size(int(e.ResponseBytes)))
	p.fact("upstream", "%s", prefixed("request id ", e.UpstreamRequestID))
	for _, purge := range p.doc.Purged {
		p.fact("purged", "%s UTC: placeholders were put in the place of %s", purge.At.UTC().Format(time.DateTime), plural(len(purge.Secrets), "secret"))
	}
	p.secrets()
}

// secrets prints a line for each finding, those that are new first.
func (p *page) secrets() {
	const shown = 20
	e := &p.doc.Exchange
	findings := slices.SortedStableFunc(slices.Values(e.Findings), func(a, b exchange.Finding) int {
		return strings.Compare(sent(a.New), sent(b.New))
	})
	for i, f := range findings {
		if i == shown && !p.all {
			p.fact("secrets", "… %s more (--all shows them)", thousands(int64(len(findings)-shown)))
			break
		}
		p.fact("secret", "%s", list(f.Rule+" in "+f.Path, becameWord(e.Became(f)), sent(f.New), "fingerprint "+shortFingerprint(f.Fingerprint)))
	}
	if len(findings) >= exchange.MostFindings {
		p.fact("secrets", "there may be more: a record keeps %s", thousands(exchange.MostFindings))
	}
	if n := e.UnknownPlaceholders; n > 0 {
		p.fact("unknown", "%s in the answer that stand for no secret of the conversation: left as they are", plural(n, "placeholder"))
	}
}

func (p *page) uri() string {
	if p.doc.Request.URI != "" {
		return p.doc.Request.URI
	}
	return p.doc.Exchange.Path
}

// speaker names who said the error of an exchange.
func speaker(e exchange.Exchange) string {
	switch e.ErrorOrigin {
	case exchange.OriginOpenAI:
		return "OpenAI"
	case exchange.OriginProxy:
		return "the proxy"
	case exchange.OriginClient:
		return "the client"
	case "":
		return "someone unknown"
	}
	return string(e.ErrorOrigin)
}

func timing(e exchange.Exchange) string {
	parts := ""
	if e.DurationMicros > 0 {
		parts += ", took " + duration(e.DurationMicros)
	}
	if e.FirstByteMicros > 0 {
		parts += ", first byte after " + duration(e.FirstByteMicros)
	}
	if e.AddedMicros > 0 {
		parts += ", the proxy's part " + duration(e.AddedMicros)
	}
	return parts
}

// duration is a time in microseconds for people.
func duration(micros int64) string {
	d := time.Duration(micros) * time.Microsecond
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(micros)/1e3)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func usageLine(u exchange.Usage) string {
	switch u.State {
	case exchange.UsageMissing:
		return "unknown: the answer does not say"
	case exchange.UsageExact, exchange.UsageEstimated:
		estimated := when(u.State == exchange.UsageEstimated, ", estimated")
		return fmt.Sprintf("%s tokens: input %s (cached %s), output %s (reasoning %s)%s",
			thousands(u.Total), thousands(u.Input), thousands(u.Cached), thousands(u.Output), thousands(u.Reasoning), estimated)
	}
	return "none"
}

// request prints what was asked: what is new in it, unless all is wanted.
func (p *page) request() {
	asked := conversation.ReadRequest(p.doc.Request.Bytes())
	entries := asked.Entries
	if !p.all && asked.Earlier > 0 {
		fmt.Fprintf(p, "\n… %s (--all shows them)\n", plural(asked.Earlier, "earlier item"))
		entries = entries[asked.Earlier:]
	}
	for _, entry := range entries {
		p.entry(entry)
	}
	p.incomplete("request", p.doc.Request.Incomplete)
}

// response prints what was answered.
func (p *page) response() {
	answer := p.doc.Response
	if answer == nil {
		fmt.Fprintf(p, "\n[no answer]\n")
		return
	}
	entries := conversation.ReadResponse(answer.Bytes())
	if len(entries) == 0 {
		fmt.Fprintf(p, "\n[an answer without a body]\n")
	}
	for _, entry := range entries {
		p.entry(entry)
	}
	p.incomplete("answer", answer.Incomplete)
}

func (p *page) incomplete(side, reason string) {
	if reason != "" {
		fmt.Fprintf(p, "\n[the %s is not whole on record: %s]\n", side, terminal.Safe(reason))
	}
}

// entry prints one item of the conversation under a line that names it.
func (p *page) entry(entry conversation.Entry) {
	title := string(entry.Kind)
	if entry.Name != "" {
		title += " " + entry.Name
	}
	if entry.Kind == conversation.Note {
		title = entry.Name
	}
	text := strings.TrimRight(entry.Text, "\n")
	if entry.Kind == conversation.Instructions && !p.all {
		text = beginning(text)
	}
	p.said(title, text, entry.Cut && entry.Kind != conversation.Note)
}

// beginning is how a long text begins.
func beginning(text string) string {
	const shownLines, shownCharacters = 3, 300
	lines := strings.SplitAfter(text, "\n")
	shown := shorten(strings.Join(lines[:min(shownLines, len(lines))], ""), shownCharacters)
	shown = strings.TrimRight(shown, "\n")
	if shown == text {
		return text
	}
	return fmt.Sprintf("%s\n… %s in all (--all shows them)", strings.TrimSuffix(shown, "…"), conversation.Size(len(text)))
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(int64(n)) + " " + thing + "s"
}

// list joins the words that are not empty.
func list(words ...string) string {
	var kept []string
	for _, word := range words {
		if word != "" {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, ", ")
}

// prefixed is text with its prefix, or empty where text is.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// when is the word where the condition holds.
func when(condition bool, word string) string {
	if condition {
		return word
	}
	return ""
}
