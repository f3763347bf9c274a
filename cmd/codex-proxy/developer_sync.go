package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/roster"
)

type developerSyncCommand struct {
	rosterFlags
	Yes       bool `help:"Do it without asking." env:"-"`
	Enable    bool `help:"Also let those in again whom a person disabled, and not only those whom an earlier sync did." env:"-"`
	AllowMany bool `help:"Disable even more than a third of the developers." env:"-"`
}

// Help is the long form of the command's help.
func (*developerSyncCommand) Help() string {
	return `The file is the whole roster. Who is new in it is added; names and teams become those of the file; who is missing is disabled: their next request is refused, and those that run end within 5 seconds. Nobody is removed. The plan is shown first, and done when you agree.

` + rosterHelp
}

func (cmd *developerSyncCommand) Run(c *console) error {
	if cmd.JSON && !cmd.Yes && !cmd.DryRun {
		return misuse("--json leaves no room for a question: add --dry-run to see the plan, --yes to do it")
	}
	return cmd.run(c, func(list roster.Roster, existing []developer.Developer) roster.Plan {
		return roster.PlanSync(list, existing, cmd.Enable, now())
	}, func(plan roster.Plan) error { return cmd.agree(c, plan) })
}

// agree returns nil when the plan may be done.
func (cmd *developerSyncCommand) agree(c *console, plan roster.Plan) error {
	if !cmd.JSON {
		if err := printSteps(c, plan, roster.Add, roster.Update, roster.Enable, roster.Disable); err != nil {
			return err
		}
	}
	if plan.CutsOffMany() && !cmd.AllowMany {
		return fmt.Errorf("%d of %s who may use the proxy would be disabled, more than a third, as they are not in %s: is it whole? If so, add --allow-many. Nothing was changed",
			plan.Count(roster.Disable), plural(plan.Enabled, "developer"), cmd.File)
	}
	if batch := plan.Batch(); cmd.Yes || len(batch.Add)+len(batch.Change) == 0 {
		return nil
	}
	input, ok := c.stdin.(*os.File)
	if !ok || cmd.File == "-" || !term.IsTerminal(int(input.Fd())) {
		return misuse("there is no terminal to ask whether to do this: add --yes. Nothing was changed")
	}
	fmt.Fprintf(c.stderr, "%s. Do it? [y/N] ", planSummary(plan, false))
	answer, err := readLine(c.ctx, input)
	if err != nil {
		return fmt.Errorf("read the answer: %w. Nothing was changed", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	fmt.Fprintln(c.stderr, "codex-proxy: nothing was changed")
	return errSilent
}

// readLine reads a line that a person types; the end of ctx ends the wait.
func readLine(ctx context.Context, input io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(input).ReadString('\n')
		typed <- line{text, err}
	}()
	select {
	case got := <-typed:
		return got.text, got.err
	case <-ctx.Done(): // the read goes on until the process ends, which is now
		return "", ctx.Err()
	}
}
