package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/console/replay"
	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
	"codex-proxy/internal/terminal"
)

type sessionShowCommand struct {
	recordDays
	jsonFlag

	ID        string `arg:"" help:"The session's id, or 8 characters or more of its beginning or end."`
	Developer string `help:"Whose it is, where several have sessions of one id." env:"-"`
	Turn      int    `help:"Only this turn; the first is 1." env:"-" placeholder:"NUMBER"`
	All       bool   `help:"Show whole what else only its beginning is shown of: instructions, reasoning, long outputs, earlier items." env:"-"`
}

// Help is the long form of the command's help.
func (*sessionShowCommand) Help() string {
	return "The days say where a part of an id is looked for; a whole one needs none. Items of more than 16 KiB are cut: 'codex-proxy record show --all' has them whole. Of a turn's time, that with the tool or the developer is until the next turn began. JSON has a row for each turn."
}

func (cmd *sessionShowCommand) Run(c *console) error {
	days, err := cmd.filter(now())
	if err != nil {
		return err
	}
	store, err := c.settings.openLedger(c.ctx, look)
	if err != nil {
		return err
	}
	facts, truncated, err := cmd.find(c, store, days)
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	if cmd.Turn < 0 || cmd.Turn > len(facts) {
		return misuse("--turn %d: this session has the turns 1 to %d", cmd.Turn, len(facts))
	}
	archive, err := c.settings.openArchive(c.ctx, look)
	if err != nil {
		return err
	}
	first, most := 1, len(facts)
	if cmd.Turn > 0 {
		first, most = cmd.Turn, 1
	}
	width, _ := terminalWidth(c.stdout)
	out := turnPrinter(&turnText{w: c.stdout, all: cmd.All, width: width})
	if cmd.JSON {
		out = &turnJSON{w: c.stdout}
	} else if cmd.Turn == 0 {
		if err := printSessionHead(c.stdout, facts, truncated); err != nil {
			return err
		}
	}
	for turn := range replay.Turns(c.ctx, archive, facts, first, most) {
		if err := out.print(turn); err != nil {
			return err
		}
	}
	return errors.Join(c.ctx.Err(), out.end())
}

// find returns the facts of the session's exchanges.
func (cmd *sessionShowCommand) find(c *console, store books, days record.Filter) (facts []exchange.Exchange, truncated bool, err error) {
	id, developer := strings.TrimSpace(cmd.ID), folded(cmd.Developer)
	if id == "" {
		return nil, false, misuse("which session? Give its id, as 'codex-proxy session list' shows it")
	}
	facts, truncated, err = replay.Exchanges(c.ctx, store, developer, id)
	if err != nil {
		return nil, false, err
	}
	if len(facts) == 0 {
		found, err := cmd.match(c, store, days, id, developer)
		if err != nil {
			return nil, false, err
		}
		return replay.Exchanges(c.ctx, store, found.Developer, found.ID)
	}
	var whose []string
	for _, e := range facts {
		if !slices.Contains(whose, e.Developer) {
			whose = append(whose, e.Developer)
		}
	}
	if len(whose) > 1 {
		return nil, false, fmt.Errorf("%q is the id of sessions of %s: say whose with --developer", id, strings.Join(rows(whose, func(id string) string { return fmt.Sprintf("%q", id) }), " and "))
	}
	return facts, truncated, nil
}

// match returns the one session that was used last on the days and whose id begins or
// ends as the given one.
func (cmd *sessionShowCommand) match(c *console, store books, days record.Filter, id, developer string) (found ledger.Session, err error) {
	var candidates []string
	for s, err := range sessions(c.ctx, store, ledger.SessionQuery{From: days.First, To: days.Last.AddDate(0, 0, 1), Developer: developer}) {
		if err != nil {
			return found, err
		}
		if record.IsPart(id, s.ID) {
			found, candidates = s, append(candidates, fmt.Sprintf("%q of %q", s.ID, s.Developer))
		}
	}
	switch n := len(candidates); n {
	case 0:
		return found, fmt.Errorf("no session has the id %q, and none that was used last %s has an id that begins or ends so (8 characters at least): 'codex-proxy session list' shows those there are; one is listed once its first exchange has ended", id, recordPeriod(days))
	case 1:
		return found, nil
	default:
		more := when(n > 2, fmt.Sprintf(" and %d more", n-2))
		return found, fmt.Errorf("%q could be several sessions (%s, %s%s): give more of the id, or --developer", id, candidates[0], candidates[1], more)
	}
}

// printSessionHead prints what a session adds up to.
func printSessionHead(w io.Writer, facts []exchange.Exchange, truncated bool) error {
	first, last := facts[0], facts[len(facts)-1]
	var total ledger.Counts
	var models []string
	for _, e := range facts {
		total = total.Add(ledger.Count(e))
		if e.Model != "" && !slices.Contains(models, e.Model) {
			models = append(models, e.Model)
		}
	}
	var s sheet
	s.fact("session", "%s", last.Session)
	s.fact("developer", "%s", list(last.Developer, prefixed("team ", last.Team)))
	s.fact("begun", "%s UTC, last used %s UTC", first.Started.UTC().Format(time.DateTime), last.Started.UTC().Format(time.DateTime))
	s.fact("model", "%s", strings.Join(models, ", "))
	s.fact("turns", "%s", list(grouped(total.Records), when(total.Errors > 0, plural(int(total.Errors), "error")), when(total.Refused > 0, grouped(total.Refused)+" refused")))
	if truncated {
		s.fact("", "the session has more: these are the newest, counted from 1")
	}
	s.fact("tokens", "%s, %s of input cached", tokensCell(total, total.Usage.Total), cachedShare(total.Usage.Cached, total.Usage.Input))
	s.fact("cost", "%s", sessionCost(total))
	s.fact("last", "%s", last.Outcome)
	_, err := io.WriteString(w, s.String())
	return err
}

// sessionCost is what several exchanges cost.
func sessionCost(c ledger.Counts) string {
	return list(dollars(c), when(c.Unpriced > 0 && !c.CostUnknown(), grouped(c.Unpriced)+" unpriced"))
}

// turnPrinter prints a session's turns one by one.
type turnPrinter interface {
	print(turn *replay.Turn) error
	end() error
}

// turnText prints turns as a person reads them.
type turnText struct {
	w   io.Writer
	all bool
	// width is the terminal's; 0 where there is none.
	width int
}

func (p *turnText) end() error { return nil }

func (p *turnText) print(t *replay.Turn) error {
	var s sheet
	e := t.Exchange
	fmt.Fprintf(&s, "\n━━ turn %d ━━ %s\n", t.Number, terminal.Safe(list(
		e.Started.UTC().Format(time.DateTime)+" UTC", e.Model, turnOutcome(e), when(e.Warmup, "warm-up"),
		when(t.Retry > 0, fmt.Sprintf("sends turn %d again", t.Retry)), when(t.RetriedBy > 0, fmt.Sprintf("tried again in turn %d", t.RetriedBy)),
	)))
	s.fact("record", "%s", e.ID)
	s.fact("tokens", "%s", turnTokens(e.Usage))
	s.fact("cost", "%s", list(when(e.Cost.State != exchange.CostNone, recordCost(e.Cost)), "so far "+sessionCost(t.Running)))
	s.fact("time", "%s", turnTime(t))
	if !t.Says() && (e.Error != "" || e.ErrorOrigin != "") {
		s.fact("error", "%s", strings.TrimSuffix(speaker(e)+" said: "+e.Error, " said: "))
	}
	for _, secret := range t.Beside {
		s.fact("secret", "%s", turnSecret(secret))
	}
	if t.Unread != "" {
		s.said("", "["+t.Unread+"]", false)
	}
	if n := len(t.Earlier); n > 0 && !p.all {
		s.said("", fmt.Sprintf("… %s of turns whose records are not there (--all shows them)", plural(n, "earlier item")), false)
	} else {
		p.items(&s, e.ID, t.Earlier)
	}
	p.items(&s, e.ID, t.Asked)
	p.items(&s, e.ID, t.Answered)
	if t.More > 0 {
		s.said("", fmt.Sprintf("… %s ('codex-proxy record show --all %s' shows them)", plural(t.More, "more item"), e.ID), false)
	}
	for _, why := range t.Incomplete {
		s.said("", "["+why+"]", false)
	}
	if t.Empty() {
		s.said("", "[nothing new was said]", false)
	}
	_, err := io.WriteString(p.w, s.String())
	return err
}

// items adds what was said to a sheet.
func (p *turnText) items(s *sheet, id string, items []replay.Item) {
	for _, item := range items {
		title, text := item.Title, strings.TrimRight(itemText(item.Shown), "\n")
		if item.Kind == string(conversation.Call) && title != "Tool call" {
			title = "Call of " + title
		}
		rest := strings.TrimRight(itemText(item.Rest), "\n")
		switch {
		case p.all && rest != "":
			text = itemText(item.Shown) + rest
		case p.all:
		case item.Folded && oneLine(text) != item.Summary:
			title, text = fmt.Sprintf("%s, %s (--all shows it)", title, conversation.Size(item.Size)), item.Summary
			if p.width > 0 {
				text = shorten(text, p.width)
			}
		case rest != "":
			text += fmt.Sprintf("\n… %s (--all shows them)", plural(item.RestLines, "more line"))
		}
		if item.Left > 0 && (p.all || !item.Folded) {
			text += fmt.Sprintf("\n… %s more ('codex-proxy record show --all %s' shows them)", conversation.Size(item.Left), id)
		}
		s.said(title, text, item.Cut)
		for _, secret := range item.Secrets {
			s.WriteString("[secret: " + terminal.Safe(turnSecret(secret)) + "]\n")
		}
	}
}

// itemText is the text of runs.
func itemText(runs []replay.Run) string {
	var text strings.Builder
	for _, run := range runs {
		for _, span := range run.Spans {
			text.WriteString(span.Text)
		}
	}
	return text.String()
}

func turnOutcome(e exchange.Exchange) string {
	if e.Status == 0 || e.Status == http.StatusOK || e.Status == http.StatusSwitchingProtocols {
		return string(e.Outcome)
	}
	return list(string(e.Outcome), strings.TrimSpace(fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status))), prefixed("refused as ", e.Refusal))
}

func turnTokens(u exchange.Usage) string {
	switch u.State {
	case exchange.UsageMissing:
		return "unknown: the answer does not say"
	case exchange.UsageExact, exchange.UsageEstimated:
		return fmt.Sprintf("%s in (%s cached, %s), %s out (%s reasoning)%s", grouped(u.Input), grouped(u.Cached), cachedShare(u.Cached, u.Input),
			grouped(u.Output), grouped(u.Reasoning), when(u.State == exchange.UsageEstimated, ", estimated"))
	}
	return "none used"
}

// turnTime says where a turn's time went: until the answer began, until it ended, and
// until the next turn.
func turnTime(t *replay.Turn) string {
	took := func(d time.Duration, what string) string {
		if d <= 0 {
			return ""
		}
		return duration(d.Microseconds()) + " " + what
	}
	return list(took(t.Bar.Wait, "waiting"), took(t.Bar.Generate, "generating"),
		took(t.Bar.Gap, "with the "+map[bool]string{true: "tool", false: "developer"}[t.Calls()]))
}

func turnSecret(s replay.Secret) string {
	return list(s.Rule+" in "+s.Path, s.Became, sent(s.New), "fingerprint "+shortFingerprint(s.Fingerprint))
}

// turnJSON prints turns as the rows of one JSON list, each as it comes.
type turnJSON struct {
	w       io.Writer
	printed int
}

func (p *turnJSON) print(t *replay.Turn) error {
	text, err := safeJSON(replay.NewTurnJSON(t), "  ")
	if err != nil {
		return err
	}
	before := ",\n  "
	if p.printed == 0 {
		before = "[\n  "
	}
	p.printed++
	_, err = io.WriteString(p.w, before+text)
	return err
}

func (p *turnJSON) end() error {
	text := "\n]\n"
	if p.printed == 0 {
		text = "[]\n"
	}
	_, err := io.WriteString(p.w, text)
	return err
}
