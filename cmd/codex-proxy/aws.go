package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"codex-proxy/internal/awsdeploy"
	"codex-proxy/internal/onboard"
	"codex-proxy/internal/terminal"
)

// awsCommand is an installation on Lambda, DynamoDB and S3.
type awsCommand struct {
	Deploy  awsDeployCommand  `cmd:"" help:"Make an installation, or bring one up to date. May be run again at any time."`
	Status  awsStatusCommand  `cmd:"" help:"Show an installation: its stack, its address, alarms and last errors."`
	Smoke   awsSmokeCommand   `cmd:"" help:"Try from here what only a real installation can answer."`
	Destroy awsDestroyCommand `cmd:"" help:"Remove an installation. Tables, records and the key stay unless told otherwise."`
}

// awsSettings say which installation is meant, and whose credentials are used.
type awsSettings struct {
	Name    string `help:"The installation: it begins the names of all that belongs to it." default:"codex-proxy" placeholder:"NAME"`
	Region  string `help:"Region; by default the one of the profile or of AWS_REGION." env:"-" placeholder:"REGION"`
	Profile string `help:"Profile of ~/.aws to use; by default that of AWS_PROFILE." env:"-" placeholder:"NAME"`
}

// load finds the credentials and the region as every tool of AWS's does.
func (s *awsSettings) load(ctx context.Context) (sdk.Config, error) {
	loaded, err := config.LoadDefaultConfig(ctx, config.WithRegion(s.Region), config.WithSharedConfigProfile(s.Profile))
	if err != nil {
		return loaded, fmt.Errorf("load the settings of AWS: %w", err)
	}
	return loaded, nil
}

// connect signs in and says where.
func (s *awsSettings) connect(c *console) (*awsdeploy.Cloud, error) {
	loaded, err := s.load(c.ctx)
	if err != nil {
		return nil, err
	}
	cloud, err := awsdeploy.Connect(c.ctx, loaded, func(line string) { fmt.Fprintln(c.stderr, line) })
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c.stderr, "Account %s, region %s, as %s.\n", cloud.Account.ID, cloud.Account.Region, terminal.Safe(cloud.Account.Caller))
	return cloud, nil
}

type awsStatusCommand struct {
	awsSettings
	JSON bool `name:"json" help:"Print as JSON." env:"-"`
}

func (cmd *awsStatusCommand) Run(c *console) error {
	cloud, err := cmd.connect(c)
	if err != nil {
		return err
	}
	status, err := cloud.Status(c.ctx, cmd.Name, time.Now())
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = json.NewEncoder(c.stdout).Encode(status)
	} else {
		err = printStatus(c.stdout, status)
	}
	if err == nil && !status.Good {
		return errSilent
	}
	return err
}

func printStatus(w io.Writer, s awsdeploy.Status) error {
	fmt.Fprintf(w, "stack    %s\naddress  %s\n", s.Stack, terminal.Safe(s.Outputs["Url"]))
	if setup := s.Outputs["SetupUrl"]; setup != "" {
		fmt.Fprintf(w, "setup    %s\n", terminal.Safe(setup))
	}
	fmt.Fprintf(w, "archive  %s\ntables   %s, %s\nlog      %s\n\n", terminal.Safe(s.Outputs["Archive"]),
		terminal.Safe(s.Outputs["TokensTable"]), terminal.Safe(s.Outputs["UsageTable"]), terminal.Safe(s.Outputs["LogGroup"]))
	err := printColumns(w, []column[awsdeploy.Alarm]{
		{title: "ALARM", cell: func(a awsdeploy.Alarm) string { return a.Name }},
		{title: "STATE", cell: func(a awsdeploy.Alarm) string { return a.State }},
		{title: "SINCE (UTC)", cell: func(a awsdeploy.Alarm) string { return a.Since.UTC().Format(time.DateTime) }},
		{title: "MEANS", least: 20, cell: func(a awsdeploy.Alarm) string { return a.Means }},
	}, s.Alarms)
	if err != nil {
		return err
	}
	if len(s.Errors) == 0 {
		_, err := fmt.Fprintln(w, "\nNo errors in the log of the last 24 hours.")
		return err
	}
	fmt.Fprintln(w, "\nLast errors (UTC):")
	for _, line := range s.Errors {
		fmt.Fprintf(w, "%s  %s\n", line.Time.Format(time.DateTime), terminal.Safe(strings.TrimSpace(line.Text)))
	}
	return nil
}

type awsSmokeCommand struct {
	URL   string `arg:"" help:"The proxy's address, as 'aws status' shows it." placeholder:"URL"`
	Token string `help:"A developer's token. Without it, what needs one is skipped." placeholder:"TOKEN"`
	Model string `help:"Model to ask, three times, some 200 tokens each; by default the one that setup asks." env:"-" placeholder:"MODEL"`
	JSON  bool   `name:"json" help:"Print as JSON, one line a check." env:"-"`
}

func (cmd *awsSmokeCommand) Run(c *console) error {
	smoke, err := awsdeploy.NewSmoke(cmd.URL)
	if err != nil {
		return misuse("%v", err)
	}
	smoke.Token, smoke.Model = strings.TrimSpace(cmd.Token), cmp.Or(cmd.Model, onboard.DefaultModel)
	passed := smoke.Run(c.ctx, func(check awsdeploy.Check) {
		if cmd.JSON {
			_ = json.NewEncoder(c.stdout).Encode(check) // the same writer as below
			return
		}
		fmt.Fprintf(c.stdout, "%-4s  %-27s  %s\n      %s\n", check.Result, check.Name, check.Saw, check.Means)
	})
	if !passed {
		return errSilent
	}
	return nil
}

type awsDestroyCommand struct {
	awsSettings
	DeleteData bool `help:"Delete what was kept, too, for good: developers, tokens, usage and all records. The key can be restored for 7 days." env:"-"`
	Yes        bool `help:"Do not ask." env:"-"`
}

func (cmd *awsDestroyCommand) Run(c *console) error {
	cloud, err := cmd.connect(c)
	if err != nil {
		return err
	}
	what := "The function and its address are removed; Codex stops working for everybody who uses it. Tables, records and the key stay, and a later deployment takes them over."
	if cmd.DeleteData {
		what = "The function is removed, and with it, FOR GOOD, all developers, tokens, usage and records. Codex stops working for everybody who uses it."
	}
	if !cmd.Yes {
		fmt.Fprintf(c.stderr, "%s\nType the installation's name, %s, to go on: ", what, cmd.Name)
		typed, err := bufio.NewReader(c.stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the answer: %w", err)
		}
		if strings.TrimSpace(typed) != cmd.Name {
			return misuse("that is not %q: nothing was removed", cmd.Name)
		}
	}
	if err := cloud.Destroy(c.ctx, cmd.Name); err != nil {
		return err
	}
	if cmd.DeleteData {
		if err := cloud.DeleteData(c.ctx, cmd.Name); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(c.stdout, "The installation %s is removed.\n", cmd.Name)
	return err
}

// readKeyFile reads OpenAI's key from a file.
func readKeyFile(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	return string(content), nil
}
