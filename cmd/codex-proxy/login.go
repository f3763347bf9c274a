package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"codex-proxy/internal/onboard"
	"codex-proxy/internal/onboard/signin"
	"codex-proxy/internal/terminal"
)

type loginCommand struct {
	URL       string `name:"url" help:"The proxy's address. By default the one that this machine is set up for." placeholder:"URL"`
	Device    bool   `help:"Show a code to type in on another machine, instead of opening the browser here." env:"-"`
	NoKeyring bool   `help:"Keep the sign-in in a file that only you can read, and not in this machine's keyring." env:"-"`
}

// Help is the long form of the command's help.
func (*loginCommand) Help() string {
	return `Signs in with your organisation's account, where the proxy offers that, so that 'codex-proxy token get' can give Codex a token that soon ends. 'codex-proxy setup --sign-in' does this and sets up Codex in one go.`
}

func (cmd *loginCommand) Run(c *console) error {
	home, err := onboard.FindHome(os.Getenv)
	if err != nil {
		return err
	}
	address, err := findAddress(home, cmd.URL, "login")
	if err != nil {
		return err
	}
	client, err := signInClient(address)
	if err != nil {
		return err
	}
	return signIn(c, client, c.stdout, cmd.Device, cmd.NoKeyring)
}

// signIn signs the developer in, and says what was done.
func signIn(c *console, client *signin.Client, w io.Writer, device, noKeyring bool) error {
	done, err := client.Login(c.ctx, signin.LoginOptions{
		Device: device, IsHeadless: isHeadless(os.Getenv), NoKeyring: noKeyring, Open: openBrowser, Tell: w,
	})
	if err != nil {
		return bare(err)
	}
	fmt.Fprintf(w, "You are signed in as %s (team %s).\n", terminal.Safe(done.Developer), terminal.Safe(done.Team))
	switch {
	case done.Place == "":
		_, err = fmt.Fprintf(w, "The issuer gave nothing to renew that with, so it ends at %s: whoever runs the proxy can let it give refresh tokens (offline_access).\n", moment(done.Expires))
	case done.Hindrance != nil:
		_, err = fmt.Fprintf(w, "The sign-in is kept in %s, which only you can read, as the keyring cannot be used: %s.\n", done.Place, terminal.Safe(done.Hindrance.Error()))
	default:
		_, err = fmt.Fprintf(w, "The sign-in is kept in %s.\n", done.Place)
	}
	return err
}

type logoutCommand struct {
	URL string `name:"url" help:"Only the sign-in at this proxy. By default all of this machine are ended." placeholder:"URL" env:"-"`
}

func (cmd *logoutCommand) Run(c *console) error {
	proxies := []string{cmd.URL}
	if cmd.URL == "" {
		keep, err := openKeep()
		if err != nil {
			return err
		}
		if proxies, err = keep.Proxies(); err != nil {
			return err
		}
	}
	var errs []error
	ended := 0
	for _, proxy := range proxies {
		address, err := onboard.ParseAddress(proxy)
		if err != nil {
			return misuse("%v", err)
		}
		was, err := signOut(c, address)
		errs = append(errs, err)
		if was {
			ended++
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if ended == 0 {
		_, err := fmt.Fprintln(c.stdout, "You are not signed in on this machine: there is nothing to end.")
		return err
	}
	return nil
}

// signOut ends the sign-in at one proxy, if there is one.
func signOut(c *console, address onboard.Address) (was bool, err error) {
	client, err := signInClient(address)
	if err != nil {
		return false, err
	}
	was, revoke, err := client.Logout(c.ctx)
	if err != nil || !was {
		return was, err
	}
	fmt.Fprintf(c.stdout, "The sign-in at %s is removed from this machine. A token that Codex holds ends by itself, soon.\n", address)
	if revoke != nil {
		fmt.Fprintf(c.stderr, "codex-proxy: the issuer could not be told (%s): end the session there, too, if this machine is not yours any more.\n", terminal.Safe(revoke.Error()))
	}
	return true, nil
}

type tokenGetCommand struct {
	URL string `name:"url" help:"The proxy's address. By default the one that this machine is signed in at." placeholder:"URL" env:"-"`
}

// Help is the long form of the command's help.
func (*tokenGetCommand) Help() string {
	return `Prints the token and nothing else, as Codex's [model_providers.….auth] takes it. When it cannot be had without you, it says so on standard error and exits with 1.`
}

func (cmd *tokenGetCommand) Run(c *console) error {
	keep, err := openKeep()
	if err != nil {
		return err
	}
	url := cmd.URL
	if url == "" {
		proxies, err := keep.Proxies()
		switch {
		case err != nil:
			return err
		case len(proxies) == 0:
			return errors.New("you are not signed in on this machine: run 'codex-proxy login --url https://codex-proxy.example.com'")
		case len(proxies) > 1:
			return misuse("you are signed in at %d proxies: name one with --url", len(proxies))
		}
		url = proxies[0]
	}
	address, err := onboard.ParseAddress(url)
	if err != nil {
		return misuse("%v", err)
	}
	client, err := signInClient(address)
	if err != nil {
		return err
	}
	token, err := client.Token(c.ctx)
	if err != nil {
		return bare(err)
	}
	_, err = fmt.Fprintln(c.stdout, token)
	return err
}

func openKeep() (*signin.Keep, error) {
	dir, err := signin.DefaultDir()
	if err != nil {
		return nil, err
	}
	return signin.NewKeep(dir), nil
}

func signInClient(address onboard.Address) (*signin.Client, error) {
	keep, err := openKeep()
	if err != nil {
		return nil, err
	}
	return &signin.Client{Address: address, Keep: keep, Now: now}, nil
}

// isHeadless tells whether a browser that is opened here would be seen by nobody:
// over SSH, or without a display.
func isHeadless(getenv func(string) string) bool {
	if getenv("SSH_CONNECTION") != "" || getenv("SSH_TTY") != "" {
		return true
	}
	return runtime.GOOS != "windows" && runtime.GOOS != "darwin" && getenv("DISPLAY") == "" && getenv("WAYLAND_DISPLAY") == ""
}

// openBrowser shows an address in the developer's browser, by what the operating
// system opens addresses with.
func openBrowser(address string) error {
	opener := []string{"xdg-open", address}
	switch runtime.GOOS {
	case "darwin":
		opener = []string{"open", address}
	case "windows":
		opener = []string{"rundll32", "url.dll,FileProtocolHandler", address}
	}
	// It goes on when the sign-in is over.
	run := exec.CommandContext(context.Background(), opener[0], opener[1:]...)
	if err := run.Start(); err != nil {
		return err
	}
	go func() { _ = run.Wait() }() // whatever it says, the address is on the screen
	return nil
}
