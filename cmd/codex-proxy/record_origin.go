package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"codex-proxy/internal/console/replay"
	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/terminal"
)

type recordOriginCommand struct {
	recordDays
	jsonFlag

	Text      string `arg:"" help:"What the developer saw, or a part of it, or a request id."`
	Developer string `help:"Only this developer's exchanges." env:"-"`
	Limit     int    `help:"How many exchanges to name at most, the newest; 0 names all." env:"-" default:"10"`
}

// originHit is an exchange in which the text was said.
type originHit struct {
	replay.VerdictJSON
	// named says that the text holds an id of this very exchange.
	named bool
}

func (r *recordOriginCommand) Run(c *console) error {
	if strings.TrimSpace(r.Text) == "" {
		return misuse("there is no text to look for")
	}
	if r.Limit < 0 {
		return misuse("--limit %d is negative: 0 names all", r.Limit)
	}
	filter, err := r.filter(time.Now())
	if err != nil {
		return err
	}
	filter.Developer = r.Developer
	archive, err := c.settings.openArchive(c.ctx, look)
	if err != nil {
		return err
	}
	hits, unread, err := r.errors(c, archive, filter)
	if err == nil && len(hits) == 0 {
		hits, err = r.conversations(c, archive, filter)
	}
	if err != nil {
		return err
	}
	if r.JSON {
		err = printSafeJSON(c.stdout, hits[:r.bounded(len(hits))])
	} else {
		err = r.print(c, hits)
	}
	if err != nil {
		return err
	}
	if err := unreadError(unread); err != nil {
		return err
	}
	if len(hits) == 0 {
		return fmt.Errorf("no exchange %s said it: it did not come through this proxy, or it was said earlier (--from DAY looks further back)", recordPeriod(filter))
	}
	return nil
}

// bounded is how many of n hits are named.
func (r *recordOriginCommand) bounded(n int) int {
	if r.Limit == 0 {
		return n
	}
	return min(n, r.Limit)
}

// errors looks for the text among the exchanges that went wrong: in what was
// said, and in what Codex made of it. Where the text holds the id of an
// exchange, that one alone is meant.
func (r *recordOriginCommand) errors(c *console, archive record.Source, filter record.Filter) (hits []originHit, unread int, err error) {
	hits = []originHit{}
	progress := startProgress(c, "searched")
	defer progress.clear()
	named := false
	for e, err := range record.Exchanges(c.ctx, archive, filter) {
		if c.ctx.Err() != nil {
			return nil, unread, c.ctx.Err()
		}
		hit, found := originHit{}, false
		if err == nil {
			progress.step(e.Started)
			hit, found, err = r.inError(c, archive, e)
		}
		if err != nil {
			unread++
			progress.clear()
			warn(c, err)
			continue
		}
		if hit.named && !named {
			named, hits = true, hits[:0]
		}
		if found && hit.named == named {
			hits = append(hits, hit)
		}
	}
	return hits, unread, nil
}

// inError reports whether an exchange said the text when it went wrong.
func (r *recordOriginCommand) inError(c *console, archive record.Source, e exchange.Exchange) (originHit, bool, error) {
	named := replay.Names(r.Text, e)
	wrong := e.ErrorOrigin != "" || e.Outcome != exchange.Completed
	if !wrong {
		return originHit{replay.Verdict{Exchange: e, Advice: originAdvice(e)}.JSON(), named}, named, nil
	}
	doc, err := record.Load(c.ctx, archive, record.Key(e))
	if err != nil {
		return originHit{}, false, err
	}
	verdict, _ := replay.NewVerdict(e, doc, originAdvice)
	return originHit{verdict.JSON(), named}, named || verdict.Says(r.Text), nil
}

// conversations looks for the text in what was answered, else in what was sent,
// for a text that was no error's. A request repeats the conversation so far, so
// where the model said it, that is the origin.
func (r *recordOriginCommand) conversations(c *console, archive record.Source, filter record.Filter) ([]originHit, error) {
	answered, sent := []originHit{}, []originHit{}
	progress := startProgress(c, "searched")
	defer progress.clear()
	for searched, err := range record.Search(c.ctx, archive, filter, record.Query{Text: r.Text, IgnoreCase: true}) {
		if c.ctx.Err() != nil {
			return nil, c.ctx.Err()
		}
		if err != nil { // said already, when the errors were looked through
			continue
		}
		e := searched.Exchange
		progress.step(e.Started)
		for _, found := range searched.Hits {
			hit := originHit{VerdictJSON: replay.Verdict{Exchange: e, Advice: originAdvice(e)}.JSON()}
			hit.Error, hit.Refusal = "", "" // which is not what was asked for
			if found.Side == record.SideResponse {
				hit.SaidBy, hit.Cause = exchange.OriginOpenAI, "it is part of the model's answer, not an error"
				answered = append(answered, hit)
			} else {
				hit.SaidBy, hit.Cause = exchange.OriginClient, "it is part of what the client sent: the developer's words, a file, a tool's output"
				sent = append(sent, hit)
			}
		}
	}
	if len(answered) > 0 {
		return answered, nil
	}
	return sent, nil
}

// print prints the hits for people.
func (r *recordOriginCommand) print(c *console, hits []originHit) error {
	var out strings.Builder
	if worded, ok := conversation.Worded(r.Text); ok {
		fmt.Fprintf(&out, "Codex words this itself: %q\nIt prints that for %s.\n", worded.Own, worded.Cause)
		if len(hits) > 0 {
			out.WriteString("Who gave such an answer:\n")
		}
		out.WriteString("\n")
	}
	counts := map[exchange.Origin]int{}
	for i, hit := range hits {
		counts[hit.SaidBy]++
		if i < r.bounded(len(hits)) {
			out.WriteString(hit.text() + "\n")
		}
	}
	if len(hits) > 0 {
		var parts []string
		for _, origin := range []exchange.Origin{exchange.OriginOpenAI, exchange.OriginProxy, exchange.OriginClient, ""} {
			if counts[origin] > 0 {
				parts = append(parts, fmt.Sprintf("%s %s", originName(origin), thousands(int64(counts[origin]))))
			}
		}
		fmt.Fprintf(&out, "%s: %s.\n", plural(len(hits), "exchange"), strings.Join(parts, ", "))
		if shown := r.bounded(len(hits)); shown < len(hits) {
			fmt.Fprintf(&out, "The newest %d are shown; --limit 0 shows all.\n", shown)
		}
	}
	_, err := fmt.Fprint(c.stdout, out.String())
	return err
}

func (h originHit) text() string {
	var out strings.Builder
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&out, "  %-8s%s\n", name, terminal.Safe(shorten(oneLine(text), 400)))
		}
	}
	fmt.Fprintf(&out, "%s  %s  %s\n", h.Started.UTC().Format(time.DateTime), terminal.Safe(h.Developer), terminal.Safe(h.ID))
	status := ""
	if h.Status != 0 {
		status = strings.TrimSpace(fmt.Sprintf("status %d %s", h.Status, http.StatusText(h.Status)))
	}
	line("said by", list(originName(h.SaidBy), status, string(h.Outcome), h.Refusal))
	line("said", h.Error)
	if h.Shown != "" && h.Shown != h.Error {
		line("shown", h.Shown)
	}
	if h.WordedByCodex {
		line("why", "the words are Codex's own, for "+h.Cause)
	} else {
		line("why", h.Cause)
	}
	line("ask", prefixed("OpenAI knows it as request id ", h.UpstreamRequestID))
	line("do", h.Advice)
	return out.String()
}

func originName(origin exchange.Origin) string {
	return speaker(exchange.Exchange{ErrorOrigin: origin})
}
