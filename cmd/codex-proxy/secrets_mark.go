package main

import (
	"errors"
	"fmt"
	"os/user"

	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

type secretsMarkCommand struct {
	Fingerprint string `arg:"" help:"The secret's fingerprint, or 8 digits or more of its beginning."`
	As          string `arg:"" help:"What it is: rotated, false-positive, or open to take a mark back." enum:"rotated,false-positive,open"`
	Note        string `help:"Why, in words." env:"-"`
}

// Help is the long form of the command's help.
func (*secretsMarkCommand) Help() string {
	return "A false positive goes on the allow-list: within seconds, conversations that begin leave it as it is. Those that run go on as they began, or OpenAI would have to read them anew."
}

func (cmd *secretsMarkCommand) Run(c *console) error {
	books, err := c.settings.openLedger(c.ctx, look)
	if err != nil {
		return err
	}
	incident, err := findIncident(c.ctx, books, cmd.Fingerprint)
	if err := errors.Join(err, books.Close()); err != nil {
		return err
	}
	mark := ledger.Mark{Fingerprint: incident.Fingerprint, As: ledger.MarkedAs(cmd.As), Note: cmd.Note, By: "command line", At: now()}
	if who, err := user.Current(); err == nil {
		mark.By += " (" + who.Username + ")"
	}
	if err := mark.Validate(); err != nil {
		return misuse("%v", err)
	}
	if err := withRegister(c, change, func(store register) error { return store.Mark(c.ctx, mark) }); err != nil {
		return err
	}
	said := "is marked " + cmd.As
	if mark.As == ledger.Open {
		said = "has no mark now"
	}
	_, err = fmt.Fprintf(c.stdout, "The secret %s %s.\n", terminal.Safe(shortFingerprint(incident.Fingerprint)), said)
	return err
}

// marksByFingerprint returns the marks that there are.
func marksByFingerprint(c *console) (map[string]ledger.Mark, error) {
	marks := map[string]ledger.Mark{}
	err := withRegister(c, look, func(store register) error {
		all, err := store.Marks(c.ctx)
		for _, m := range all {
			marks[m.Fingerprint] = m
		}
		return err
	})
	return marks, err
}

// markJSON is a mark as the commands print it in JSON.
type markJSON struct {
	As   ledger.MarkedAs `json:"as"`
	Note string          `json:"note,omitempty"`
	By   string          `json:"by"`
	At   string          `json:"at"`
}

func newMarkJSON(m ledger.Mark, marked bool) *markJSON {
	if !marked {
		return nil
	}
	return &markJSON{m.As, m.Note, m.By, m.At.UTC().Format("2006-01-02T15:04:05Z")}
}
