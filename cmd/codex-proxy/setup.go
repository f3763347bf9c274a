package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"codex-proxy/internal/onboard"
	"codex-proxy/internal/onboard/signin"
	"codex-proxy/internal/terminal"

	"golang.org/x/term"
)

type setupCommand struct {
	URL       string `name:"url" help:"The proxy's address. By default the one that this machine is set up for." placeholder:"URL"`
	Token     string `help:"Your token. Without it, setup asks, and shows nothing of what you type." placeholder:"TOKEN"`
	SignIn    bool   `help:"Use short-lived tokens of your organisation's sign-in, and sign in first if you are not." env:"-" xor:"sign-in"`
	Device    bool   `help:"With --sign-in: show a code to type in on another machine, instead of opening the browser here." env:"-"`
	NoKeyring bool   `help:"With --sign-in: keep the sign-in in a file, and not in this machine's keyring." env:"-"`
	DryRun    bool   `help:"Show what would change, as a diff, and change nothing." env:"-" xor:"dry-run"`
	Uninstall bool   `help:"Take back what setup did, on this machine." env:"-" xor:"uninstall,sign-in"`
	Print     bool   `help:"Print the blocks for managed machines (MDM) instead: /etc/codex, macOS profile." env:"-" xor:"dry-run,uninstall"`
}

// Help is the long form of the command's help.
func (*setupCommand) Help() string {
	return `Makes the Codex of this machine use the proxy: checks the token, writes two files in ~/.codex (or $CODEX_HOME), and ends with one real request. All else in config.toml stays as it is, and is backed up. Run it again for a new token or another address.`
}

func (cmd *setupCommand) Run(c *console) error {
	home, err := onboard.FindHome(os.Getenv)
	if err != nil {
		return err
	}
	if cmd.Uninstall {
		return cmd.uninstall(c, home)
	}
	address, err := findAddress(home, cmd.URL, "setup")
	if err != nil {
		return err
	}
	proxy := onboard.NewProxy(address)
	if cmd.Print {
		offer, err := proxy.Offer(c.ctx)
		if err != nil {
			return fmt.Errorf("%w. The blocks say what the proxy serves, so it is asked", bare(err))
		}
		return onboard.PrintManaged(c.stdout, address, offer, cmd.SignIn)
	}
	provider, token, err := cmd.provider(c, home, address, proxy)
	if err != nil {
		return fmt.Errorf("%w. Nothing was changed", bare(err))
	}
	offer, err := proxy.Offer(c.ctx)
	if err != nil {
		return fmt.Errorf("%w. Nothing was changed", bare(err))
	}
	provider.Name, provider.BaseURL, provider.WebSocket = offer.ProviderName, address.BaseURL(), offer.WebSocket
	kept := token
	if cmd.SignIn {
		kept = ""
	}
	change, err := onboard.PlanSetup(home, provider, kept)
	if err != nil {
		return fmt.Errorf("%w. Nothing was changed", bare(err))
	}
	if cmd.DryRun {
		printLeftovers(c, home)
		if cmd.SignIn {
			return showChange(c, home, change, "removed, as it is not needed")
		}
		return showChange(c, home, change, "written")
	}
	backup, err := change.Apply(time.Now())
	if err != nil {
		return fmt.Errorf("%w. Nothing was changed", err)
	}
	if backup != "" {
		fmt.Fprintf(c.stdout, "Your config.toml as it was is kept as %s.\n", backup)
	}
	fmt.Fprintf(c.stdout, "Codex on this machine now uses %s.\n", address)
	printLeftovers(c, home)
	return cmd.ask(c, home, proxy, token)
}

// provider finds out whose the token is that Codex is to use, and how Codex gets
// it.
func (cmd *setupCommand) provider(c *console, home onboard.Home, address onboard.Address, proxy *onboard.Proxy) (provider onboard.Provider, token string, err error) {
	if cmd.SignIn {
		return cmd.signIn(c, address)
	}
	if token, err = cmd.token(c); err != nil {
		return provider, "", err
	}
	who, err := proxy.Whoami(c.ctx, token)
	if err != nil {
		return provider, "", err
	}
	fmt.Fprintf(c.stdout, "This token belongs to %s (team %s).\n", terminal.Safe(who.Developer), terminal.Safe(who.Team))
	return onboard.Provider{TokenCommand: onboard.PrintCommand(home.TokenFile())}, token, nil
}

// signIn signs the developer in, unless they are, and finds out how Codex gets a
// token of that.
func (cmd *setupCommand) signIn(c *console, address onboard.Address) (provider onboard.Provider, token string, err error) {
	program, err := os.Executable()
	if err != nil {
		return provider, "", fmt.Errorf("find this program's path: %w", err)
	}
	provider = onboard.SignInProvider(program, address)
	if cmd.DryRun {
		return provider, "", nil
	}
	client, err := signInClient(address)
	if err != nil {
		return provider, "", err
	}
	token, err = client.Token(c.ctx)
	if errors.Is(err, signin.ErrSignInNeeded) {
		if err := signIn(c, client, c.stdout, cmd.Device, cmd.NoKeyring); err != nil {
			return provider, "", err
		}
		token, err = client.Token(c.ctx)
	}
	return provider, token, err
}

// ask ends a setup with a real request.
func (cmd *setupCommand) ask(c *console, home onboard.Home, proxy *onboard.Proxy, token string) error {
	settings, err := readSettings(home)
	if err != nil {
		return err
	}
	reply, err := proxy.Ask(c.ctx, token, settings.Model)
	if err != nil {
		return fmt.Errorf("%w. Codex is set up, but a request through the proxy fails; 'codex-proxy doctor --client' looks into it, 'codex-proxy setup --uninstall' takes the setup back", bare(err))
	}
	_, err = fmt.Fprintf(c.stdout, "Asked for a hello, the model says: %s\n", terminal.Safe(reply.Line))
	if _, missing := exec.LookPath("codex"); missing != nil {
		fmt.Fprintf(c.stderr, "codex-proxy: there is no 'codex' in the PATH: 'npm install -g @openai/codex' installs it\n")
	}
	return err
}

func (cmd *setupCommand) uninstall(c *console, home onboard.Home) error {
	settings, err := readSettings(home)
	if err != nil {
		return fmt.Errorf("%w. Nothing was changed", bare(err))
	}
	change, err := onboard.PlanUninstall(home)
	if err != nil {
		return fmt.Errorf("%w. Nothing was changed", bare(err))
	}
	if change.IsEmpty() {
		_, err := fmt.Fprintln(c.stdout, "Codex is not set up for codex-proxy on this machine: there is nothing to take back.")
		return err
	}
	if cmd.DryRun {
		return showChange(c, home, change, "removed")
	}
	if _, err := change.Apply(time.Now()); err != nil {
		return err
	}
	if address, ok := settings.Proxy().SignInAddress(); ok {
		if _, err := signOut(c, address); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.stdout, "Codex is as it was before setup.")
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "Codex is as it was before setup. The token is removed from %s; it stays valid until it is revoked.\n", home.TokenFile())
	return err
}

// showChange prints what would be changed, and what would become of the token file.
func showChange(c *console, home onboard.Home, change *onboard.Change, what string) error {
	diff := change.Diff()
	if diff == "" {
		diff = home.Config() + " would stay as it is.\n"
	}
	_, err := fmt.Fprintf(c.stdout, "%s%s would be %s. Nothing was changed.\n", terminal.SafeLines(strings.ReplaceAll(diff, "\r\n", "\n")), home.TokenFile(), what)
	return err
}

// findAddress is the proxy's: the one named, else the one that Codex uses already.
func findAddress(home onboard.Home, text, command string) (onboard.Address, error) {
	if text == "" {
		settings, err := readSettings(home)
		if err != nil {
			return onboard.Address{}, err
		}
		text = settings.Proxy().BaseURL
	}
	if text == "" {
		return onboard.Address{}, misuse("which proxy? Give its address: codex-proxy %s --url https://codex-proxy.example.com", command)
	}
	address, err := onboard.ParseAddress(text)
	if err != nil {
		return address, misuse("%v", err)
	}
	return address, nil
}

// readSettings reads the developer's config.toml.
func readSettings(home onboard.Home) (onboard.Settings, error) {
	config, err := home.ReadConfig()
	if err != nil {
		return onboard.Settings{}, err
	}
	settings, err := onboard.ReadSettings(config)
	if err != nil {
		return settings, fmt.Errorf("%s: %w", home.Config(), err)
	}
	return settings, nil
}

// token is the developer's: given, or asked for.
func (cmd *setupCommand) token(c *console) (string, error) {
	token := strings.TrimSpace(cmd.Token)
	if token == "" {
		input, ok := c.stdin.(*os.File)
		if !ok || !term.IsTerminal(int(input.Fd())) {
			return "", misuse("there is no token and no terminal to ask for one: put it in CODEX_PROXY_TOKEN, or give --token")
		}
		fmt.Fprint(c.stderr, "Your token (it is not shown): ")
		typed, err := readHidden(c.ctx, input)
		fmt.Fprintln(c.stderr)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		token = strings.TrimSpace(typed)
	}
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", misuse("that is no token: it is empty, or has blanks or other characters that a token cannot have")
	}
	return token, nil
}

// readHidden reads a line from a terminal that shows nothing of it. Who
// interrupts it finds the terminal as it was.
func readHidden(ctx context.Context, input *os.File) (string, error) {
	fd := int(input.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	type line struct {
		text []byte
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		typed <- line{text, err}
	}()
	select {
	case got := <-typed:
		return string(got.text), got.err
	case <-ctx.Done(): // the read goes on until the process ends, which is now
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}

func printLeftovers(c *console, home onboard.Home) {
	for _, left := range onboard.FindLeftovers(home, os.Getenv) {
		fmt.Fprintf(c.stderr, "codex-proxy: warning: %s.\n", terminal.Safe(left.String()))
	}
}

// bare is an error whose sentence goes on, so without its full stop, and safe to
// print, as it may hold what a server said.
func bare(err error) error {
	return &bareError{err}
}

type bareError struct{ error }

func (e *bareError) Error() string {
	return strings.TrimSuffix(terminal.Safe(e.error.Error()), ".")
}

func (e *bareError) Unwrap() error { return e.error }
