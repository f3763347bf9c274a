package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"codex-proxy/internal/onboard"
	"codex-proxy/internal/terminal"
)

type doctorCommand struct {
	Client bool   `help:"Check the developer's side instead: Codex on this machine, and its way to the proxy." env:"-"`
	URL    string `name:"url" help:"With --client: the proxy's address, if not the one in config.toml." placeholder:"URL"`
	upstreamSettings
	jsonFlag
}

// Help is the long form of the command's help.
func (*doctorCommand) Help() string {
	return "Checks every part of a server as the settings name them: data directory and spool, developers and ledger, archive, OpenAI's key and address, prices, rules for secrets, and what went wrong lately. It may run beside the server, with the same settings and variables. What it writes, it removes. With --client it checks a developer's machine. Exit code 1 when something fails."
}

func (cmd *doctorCommand) Run(c *console) error {
	if !cmd.Client {
		return cmd.report(c, func(tell func(onboard.Finding)) error {
			examineServer(c, func(c *console) (proxyOptions, error) {
				return cmd.upstreamSettings.open(c, slog.New(slog.DiscardHandler))
			}, tell)
			return nil
		})
	}
	return cmd.report(c, func(tell func(onboard.Finding)) error { return cmd.examineClient(c, tell) })
}

// examineClient tells what keeps Codex from working on this machine.
func (cmd *doctorCommand) examineClient(c *console, tell func(onboard.Finding)) error {
	home, err := onboard.FindHome(os.Getenv)
	if err != nil {
		return err
	}
	doctor := onboard.Doctor{Home: home, System: onboard.SystemDirectory(os.Getenv), Getenv: os.Getenv, Codex: "codex", Now: time.Now}
	if cmd.URL != "" {
		address, err := onboard.ParseAddress(cmd.URL)
		if err != nil {
			return misuse("%v", err)
		}
		doctor.Address = &address
	}
	doctor.Examine(c.ctx, tell)
	return nil
}

// report prints what is found, one thing after the other.
func (cmd *doctorCommand) report(c *console, examine func(tell func(onboard.Finding)) error) error {
	findings := []onboard.Finding{}
	failed := false
	err := examine(func(f onboard.Finding) {
		failed = failed || f.Verdict == onboard.Fail
		findings = append(findings, f)
		if !cmd.JSON {
			printFinding(c, f)
		}
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		if err := printSafeJSON(c.stdout, findings); err != nil {
			return err
		}
	}
	if failed {
		return errSilent
	}
	return nil
}

func printFinding(c *console, f onboard.Finding) {
	fmt.Fprintf(c.stdout, "%-4s  %-10s  %s", f.Verdict, f.Check, terminal.Safe(f.Detail))
	if f.Millis > 0 {
		fmt.Fprintf(c.stdout, " (%.0f ms)", f.Millis)
	}
	fmt.Fprintln(c.stdout)
	if f.Fix != "" {
		fmt.Fprintf(c.stdout, "%-16s  -> %s\n", "", terminal.Safe(f.Fix))
	}
}
