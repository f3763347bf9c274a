package main

import (
	"fmt"
	"os"
	"time"

	"codex-proxy/internal/onboard"
	"codex-proxy/internal/terminal"
)

type doctorCommand struct {
	Client bool   `help:"Check the developer's side: Codex on this machine, and its way to the proxy." required:"" env:"-"`
	URL    string `name:"url" help:"The proxy's address, if not the one in config.toml." placeholder:"URL"`
	jsonFlag
}

func (cmd *doctorCommand) Run(c *console) error {
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
	findings := []onboard.Finding{}
	failed := false
	doctor.Examine(c.ctx, func(f onboard.Finding) {
		failed = failed || f.Verdict == onboard.Fail
		findings = append(findings, f)
		if !cmd.JSON {
			printFinding(c, f)
		}
	})
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
