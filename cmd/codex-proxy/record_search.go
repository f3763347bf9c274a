package main

import (
	"fmt"
	"time"

	"codex-proxy/internal/console/replay"
	"codex-proxy/internal/record"
	"codex-proxy/internal/terminal"
)

type recordSearchCommand struct {
	recordDays
	jsonFlag

	Text       string `arg:"" help:"What to look for, as a person reads it: it is also found where JSON escapes it."`
	Developer  string `help:"Only this developer's exchanges." env:"-"`
	IgnoreCase bool   `help:"Take upper and lower case for the same." env:"-" short:"i"`
}

// searchHit is a hit as record search prints it.
type searchHit struct{ replay.HitJSON }

func (r *recordSearchCommand) Run(c *console) error {
	if r.Text == "" {
		return misuse("there is no text to search for")
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
	found, unread := []searchHit{}, 0
	progress := startProgress(c, "searched")
	for searched, err := range record.Search(c.ctx, archive, filter, record.Query{Text: r.Text, IgnoreCase: r.IgnoreCase}) {
		if c.ctx.Err() != nil {
			progress.clear()
			return c.ctx.Err()
		}
		if err != nil {
			unread++
			progress.clear()
			warn(c, err)
			continue
		}
		progress.step(searched.Exchange.Started)
		for _, hit := range searched.Hits {
			h := searchHit{replay.NewHitJSON(searched.Exchange, hit)}
			found = append(found, h)
			if !r.JSON {
				progress.clear()
				if _, err := fmt.Fprint(c.stdout, h.text()); err != nil {
					return err
				}
			}
		}
	}
	progress.clear()
	if r.JSON {
		if err := printSafeJSON(c.stdout, found); err != nil {
			return err
		}
	}
	if err := unreadError(unread); err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("nothing found: no body of the %s %s has %q (--from DAY looks further back)",
			plural(progress.seen, "exchange"), recordPeriod(filter), shorten(r.Text, 100))
	}
	return nil
}

// text is a hit for people: where it is, and the line that holds it.
func (h searchHit) text() string {
	const beside = 40 // characters shown on either side
	before, after := []rune(oneLine("|"+h.Before+"|")), oneLine("|"+h.After+"|")
	before = before[1 : len(before)-1]
	after = after[1 : len(after)-1]
	context := string(before[max(0, len(before)-beside):]) + "⟦" + shorten(oneLine(h.Match), 2*beside) + "⟧" + shorten(after, beside)
	more := ""
	if h.Count > 1 {
		more = fmt.Sprintf(" (the first of %s)", thousands(int64(h.Count)))
	}
	return fmt.Sprintf("%s  %s  %s  %s%s\n    %s\n",
		terminal.Safe(h.ID), h.Started.UTC().Format(time.DateTime), h.Where, terminal.Safe(h.Developer), more, terminal.Safe(context))
}
