package onboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// examineToken looks at where Codex finds its token, and returns it.
func (d *Doctor) examineToken(ctx context.Context, settings Settings, add func(Finding)) string {
	chosen := settings.chosen()
	file, isFile := chosen.tokenFile(d.Home)
	var f Finding
	var token string
	switch {
	case settings.isBuiltIn() && settings.OpenAIBaseURL != "":
		token, f = d.examineLogin()
	case chosen.EnvKey != "" && chosen.Auth.Command == "":
		token, f = d.examineVariable(chosen.EnvKey)
	case isFile:
		token, f = examineTokenFile(file)
	default:
		token, f = d.examineTokenCommand(ctx, settings)
	}
	add(f)
	return token
}

// tokenFile is the file that a provider's command prints; ok is false when the
// command does something else.
func (u Upstream) tokenFile(home Home) (file string, ok bool) {
	command := append([]string{u.Auth.Command}, u.Auth.Args...)
	last := command[len(command)-1]
	switch {
	case u.Auth.Command == "", slices.Equal(command, unixTokenCommand), slices.Equal(command, windowsTokenCommand):
		return home.TokenFile(), true
	case filepath.IsAbs(last) && slices.Equal(command, PrintCommand(last)):
		return last, true
	}
	return "", false
}

// examineLogin looks at the token that Codex was logged in with, as its built-in
// provider takes it.
func (d *Doctor) examineLogin() (token string, f Finding) {
	var login struct {
		Key string `json:"OPENAI_API_KEY"`
	}
	raw, err := os.ReadFile(d.Home.Auth())
	if err == nil {
		err = json.Unmarshal(raw, &login)
	}
	if err != nil || login.Key == "" {
		return "", Finding{
			Check: "login", Verdict: Warn, Detail: "Codex takes the token from its login, and none is in " + d.Home.Auth(),
			Fix: "unless Codex keeps it in a keyring: printenv CODEX_PROXY_TOKEN | codex login --with-api-key",
		}
	}
	f = Finding{Check: "login", Verdict: OK, Detail: "Codex takes the token from its login, " + d.Home.Auth()}
	return login.Key, f
}

// examineVariable looks at a token in the environment.
func (d *Doctor) examineVariable(name string) (token string, f Finding) {
	if token = strings.TrimSpace(d.Getenv(name)); token == "" {
		return "", Finding{
			Check: "token file", Verdict: Fail,
			Detail: "Codex takes the token from " + name + ", which is not set in this environment",
			Fix:    "set it, or run 'codex-proxy setup'",
		}
	}
	return token, Finding{
		Check: "token file", Verdict: Warn,
		Detail: "Codex takes the token from the variable " + name + ", which every program sees",
		Fix:    "run 'codex-proxy setup', which keeps it in a file for you alone",
	}
}

// examineTokenFile looks at a file that holds the token.
func examineTokenFile(file string) (token string, f Finding) {
	f = Finding{Check: "token file", Verdict: Fail, Fix: "run 'codex-proxy setup'"}
	raw, err := os.ReadFile(file)
	if err != nil {
		f.Detail = err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			f.Detail = "there is no " + file
		}
		return "", f
	}
	info, err := os.Stat(file)
	if err != nil {
		f.Detail = err.Error()
		return "", f
	}
	switch token = strings.TrimSpace(string(raw)); {
	case token == "":
		f.Detail = file + " is empty"
	case !IsPrivate(info):
		f.Verdict, f.Fix = Warn, "chmod 600 "+file
		f.Detail = fmt.Sprintf("%s has the mode %04o: others on this machine can read your token", file, info.Mode().Perm())
	default:
		f = Finding{Check: "token file", Verdict: OK, Detail: file}
	}
	return token, f
}

// examineTokenCommand gets a token as Codex does: of a sign-in, or by a command that
// somebody else has made.
func (d *Doctor) examineTokenCommand(ctx context.Context, settings Settings) (token string, f Finding) {
	chosen := settings.chosen()
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	began := d.Now()
	out, err := exec.CommandContext(ctx, chosen.Auth.Command, chosen.Auth.Args...).Output()
	token = strings.TrimSpace(string(out))

	f = Finding{Check: "token command", Verdict: OK, Detail: fmt.Sprintf("'%s' gives one", chosen.Auth.Command)}
	again := "mend the command in [model_providers." + settings.ModelProvider + ".auth], or run 'codex-proxy setup'"
	missing := again
	if address, ok := chosen.SignInAddress(); ok {
		f.Check, f.Detail = "sign-in", "gives a token of "+address.String()
		again = "run 'codex-proxy login --url " + address.String() + "'"
		missing = "run 'codex-proxy setup --sign-in' anew, as the program has moved"
	}
	f.Millis = millis(d.Now().Sub(began))
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		f.Verdict, f.Detail, f.Fix = Fail, strings.TrimSpace(string(failed.Stderr)), again
	case err != nil:
		f.Verdict, f.Fix = Fail, missing
		f.Detail = fmt.Sprintf("Codex gets its token by '%s', which does not run: %v", chosen.Auth.Command, err)
	case token == "":
		f.Verdict, f.Detail, f.Fix = Fail, fmt.Sprintf("'%s' prints no token", chosen.Auth.Command), again
	}
	return token, f
}
