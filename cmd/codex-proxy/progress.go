package main

import (
	"fmt"
	"time"
)

// progress says on a terminal how far a long look-up has come.
type progress struct {
	console *console
	verb    string
	shown   bool
	on      bool
	seen    int
	last    time.Time
}

// startProgress begins one that says "searched 12 exchanges", or what the verb is.
func startProgress(c *console, verb string) *progress {
	_, on := terminalWidth(c.stderr)
	return &progress{console: c, verb: verb, on: on, last: time.Now()}
}

// step counts a record that began at the given time.
func (p *progress) step(started time.Time) {
	p.seen++
	p.say(func() string {
		return fmt.Sprintf("%s %s, now on %s", p.verb, plural(p.seen, "exchange"), started.UTC().Format(time.DateOnly))
	})
}

// say shows how far it has come in other words.
func (p *progress) say(words func() string) {
	if !p.on || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.console.stderr, "\r\x1b[K%s", words())
}

// clear takes the progress off the terminal, for other lines to be printed.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.console.stderr, "\r\x1b[K")
		p.shown = false
	}
}
