// Command codex-proxy stands between OpenAI's Codex and OpenAI: it gives each
// developer a token of their own, keeps the organisation's key inside, and
// authenticates, records, counts and prices every exchange.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes, the same for every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitMisuse = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, lambdaArguments(os.Args[1:]), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// commands is the command line: one field a command, each in a file of its own.
type commands struct {
	Settings

	Serve     serveCommand     `cmd:"" help:"Run the proxy."`
	Demo      demoCommand      `cmd:"" help:"Run the whole product against a simulated OpenAI, without a key."`
	Developer developerCommand `cmd:"" help:"Add, list, change, disable and remove developers."`
	Token     tokenCommand     `cmd:"" help:"Issue, list, revoke, rotate and import developers' tokens."`
	Team      teamCommand      `cmd:"" help:"Set, list and remove teams: which models, what budgets, what limits."`
	Import    importCommand    `cmd:"" help:"Take over developers and tokens from another installation."`
	Record    recordCommand    `cmd:"" help:"Look up what was sent and answered: list, show, search, origin."`
	Session   sessionCommand   `cmd:"" help:"Look up conversations: list, show."`

	Secrets secretsCommands `cmd:"" help:"Look up the secrets that were found, and find those in files: list, show, scan."`
	Setup   setupCommand    `cmd:"" help:"Make the Codex of this machine use the proxy, or take that back."`
	Login   loginCommand    `cmd:"" help:"Sign in with your organisation's account, where the proxy offers that."`
	Logout  logoutCommand   `cmd:"" help:"Remove your sign-in from this machine, and end it at the issuer."`
	Doctor  doctorCommand   `cmd:"" help:"Check every part of a server, or with --client a developer's machine, and say how to mend what fails."`

	Console consoleCommand `cmd:"" help:"Who may use the console, and who has read what developers wrote."`
	Live    liveCommand    `cmd:"" help:"Show what runs now in a server, and end it, by the server's API."`
	Usage   usageCommand   `cmd:"" help:"Report tokens and cost by developer, team, model, day or session."`
	Price   priceCommand   `cmd:"" help:"Show and change what tokens cost."`
	Migrate migrateCommand `cmd:"" help:"Bring the databases in --data up to this version's tables, while no server runs."`
	Lambda  lambdaCommand  `cmd:"" hidden:"" help:"Run the proxy as a function of AWS Lambda."`
	Version versionCommand `cmd:"" help:"Print the version, the commit and its date, and the toolchain that built it."`
	AWS     awsCommand     `cmd:"" name:"aws" help:"Make, show, check and remove an installation on AWS: deploy, status, smoke, destroy."`
}

// console is what a command talks through: its streams and the settings that
// all commands share.
type console struct {
	ctx      context.Context
	settings *Settings
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
}

// run is the whole program but for the process: it parses args, runs one
// command and returns the exit code. Tests call it as main does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var cli commands
	exit := -1
	parser, err := kong.New(&cli,
		kong.Name("codex-proxy"),
		kong.Description("A proxy between Codex and OpenAI: one token per developer, every exchange on record, counted and priced."),
		kong.Writers(stdout, stderr),
		kong.Vars{"data": defaultData},
		kong.Exit(func(code int) { exit = code }),
		kong.DefaultEnvars("CODEX_PROXY"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintf(stderr, "codex-proxy: %v\n", err)
		return exitFailed
	}
	if err := useSettingsFile(parser, &cli.Settings, args); err != nil {
		fmt.Fprintf(stderr, "codex-proxy: %v\n", err)
		return exitMisuse
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 { // --help has printed all there is to say
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "codex-proxy: %v\nRun 'codex-proxy --help' to see the commands and flags.\n", err)
		return exitMisuse
	}
	err = parsed.Run(&console{ctx: ctx, settings: &cli.Settings, stdin: stdin, stdout: stdout, stderr: stderr})
	var misuse *misuseError
	switch {
	case errors.As(err, &misuse):
		fmt.Fprintf(stderr, "codex-proxy: %v\n", err)
		return exitMisuse
	case errors.Is(err, errSilent):
		return exitFailed
	case err != nil:
		fmt.Fprintf(stderr, "codex-proxy: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// errSilent fails a command that has already printed why.
var errSilent = errors.New("failed")

// misuseError is an error of the caller's: arguments that cannot be meant.
type misuseError struct{ reason string }

func (e *misuseError) Error() string { return e.reason }

// misuse returns an error that exits with code 2.
func misuse(format string, args ...any) error {
	return &misuseError{reason: fmt.Sprintf(format, args...)}
}
