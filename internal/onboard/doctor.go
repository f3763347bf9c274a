package onboard

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Verdict is how a check ended.
type Verdict string

// The verdicts, from good to bad. Only Fail keeps Codex from working.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn"
	Fail Verdict = "FAIL"
)

// Finding is what one check found.
type Finding struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	// Detail is what was found.
	Detail string `json:"detail"`
	// Fix is what to do about it; empty when all is well.
	Fix string `json:"fix,omitempty"`
	// Millis is how long the check's leg took, in milliseconds; 0 where nothing was
	// sent.
	Millis float64 `json:"ms,omitempty"`
}

// KnownVersions are the beginnings of the versions of Codex with which the whole
// way through the proxy has been tried.
var KnownVersions = []string{"0.169."}

// Doctor examines one developer's machine.
type Doctor struct {
	Home Home
	// System is the directory of the machine's own configuration of Codex.
	System string
	Getenv func(string) string
	// Address overrides the one in config.toml, when not nil.
	Address *Address
	// Codex is the command to ask for its version.
	Codex string
	Now   func() time.Time
	// RootCAs are the authorities to trust; nil stands for this machine's.
	RootCAs *x509.CertPool
}

// Examine runs all checks, and tells each finding as it is made.
func (d *Doctor) Examine(ctx context.Context, tell func(Finding)) {
	add := tell
	settings, address := d.examineConfig(add)
	token := d.examineToken(ctx, settings, add)
	d.examineCodex(ctx, add)
	for _, left := range FindLeftovers(d.Home, d.Getenv) {
		add(Finding{Check: "leftover", Verdict: Warn, Detail: left.Place, Fix: left.Why})
	}
	if address == nil {
		return
	}
	proxy := NewProxy(*address)
	proxy.trust(d.RootCAs)
	if !d.examineReach(ctx, proxy, add) || token == "" {
		return
	}
	_, isSignIn := settings.chosen().SignInAddress()
	d.examineWhoami(ctx, proxy, token, isSignIn, add)
	d.examineWebSocket(ctx, proxy, token, settings.Proxy().SupportsWebSockets, add)
	d.examineAnswer(ctx, proxy, token, settings.Model, add)
}

// examineConfig looks at config.toml and finds the address.
func (d *Doctor) examineConfig(add func(Finding)) (Settings, *Address) {
	f := Finding{Check: "config", Verdict: Fail, Fix: "run 'codex-proxy setup --url URL'"}
	defer func() { add(f) }()
	settings, from, err := d.readLayers()
	if err != nil {
		f.Detail, f.Fix = err.Error(), "mend that file; a config.toml.backup-… may be beside it"
		return settings, d.Address
	}
	chosen := settings.chosen()
	base := chosen.BaseURL
	if settings.ModelProvider == "" || settings.ModelProvider == "openai" {
		base = settings.OpenAIBaseURL
	}
	switch {
	case base == "":
		f.Detail = fmt.Sprintf("Codex goes to OpenAI itself: %s chooses no provider with a base_url", d.Home.Config())
	case chosen.EnvKey == "" && chosen.Auth.Command == "" && settings.OpenAIBaseURL == "":
		f.Detail, f.Fix = fmt.Sprintf("the provider %q has no auth command and no env_key, so Codex sends no token", settings.ModelProvider), "run 'codex-proxy setup'"
	default:
		f = Finding{Check: "config", Verdict: OK, Detail: fmt.Sprintf("%s leads to %s", from, base)}
	}
	if d.Address != nil {
		if f.Verdict == OK && d.Address.BaseURL() != strings.TrimSuffix(base, "/") {
			f.Verdict, f.Detail = Warn, f.Detail+", which is not the address to check, "+d.Address.BaseURL()
			f.Fix = "run 'codex-proxy setup --url " + d.Address.String() + "'"
		}
		return settings, d.Address
	}
	if base == "" {
		return settings, nil
	}
	address, err := ParseAddress(base)
	if err != nil {
		f = Finding{Check: "config", Verdict: Fail, Detail: err.Error(), Fix: "run 'codex-proxy setup --url URL'"}
		return settings, nil
	}
	return settings, &address
}

// examineToken looks at where Codex finds its token, and returns it.
func (d *Doctor) examineToken(ctx context.Context, settings Settings, add func(Finding)) string {
	if address, ok := settings.chosen().SignInAddress(); ok {
		return d.examineSignIn(ctx, settings.chosen(), address, add)
	}
	f := Finding{Check: "token file", Verdict: Fail, Fix: "run 'codex-proxy setup'"}
	defer func() { add(f) }()
	chosen := settings.chosen()
	if chosen.EnvKey != "" && chosen.Auth.Command == "" {
		token := strings.TrimSpace(d.Getenv(chosen.EnvKey))
		if token == "" {
			f.Detail, f.Fix = "Codex takes the token from "+chosen.EnvKey+", which is not set in this environment", "set it, or run 'codex-proxy setup'"
			return ""
		}
		f = Finding{Check: "token file", Verdict: Warn, Detail: "Codex takes the token from the variable " + chosen.EnvKey + ", which every program sees", Fix: "run 'codex-proxy setup', which keeps it in a file for you alone"}
		return token
	}
	file := d.Home.TokenFile()
	if args := chosen.Auth.Args; len(args) > 0 && filepath.IsAbs(args[len(args)-1]) {
		file = args[len(args)-1]
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		f.Detail = err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			f.Detail = "there is no " + file
		}
		return ""
	}
	info, err := os.Stat(file)
	if err != nil {
		f.Detail = err.Error()
		return ""
	}
	token := strings.TrimSpace(string(raw))
	switch {
	case token == "":
		f.Detail = file + " is empty"
	case !IsPrivate(info):
		f = Finding{Check: "token file", Verdict: Warn, Detail: fmt.Sprintf("%s has the mode %04o: others on this machine can read your token", file, info.Mode().Perm()), Fix: "chmod 600 " + file}
	default:
		f = Finding{Check: "token file", Verdict: OK, Detail: file}
	}
	return token
}

// examineSignIn gets a token as Codex does, and returns it.
func (d *Doctor) examineSignIn(ctx context.Context, chosen Upstream, address Address, add func(Finding)) string {
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	began := d.Now()
	out, err := exec.CommandContext(ctx, chosen.Auth.Command, chosen.Auth.Args...).Output()
	f := Finding{Check: "sign-in", Verdict: OK, Detail: "gives a token of " + address.String(), Millis: millis(d.Now().Sub(began))}
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		f.Verdict, f.Detail = Fail, strings.TrimSpace(string(failed.Stderr))
		f.Fix = "run 'codex-proxy login --url " + address.String() + "'"
	case err != nil:
		f.Verdict, f.Detail = Fail, fmt.Sprintf("Codex gets its token by '%s token get', which does not run: %v", chosen.Auth.Command, err)
		f.Fix = "run 'codex-proxy setup --sign-in' anew, as the program has moved"
	}
	add(f)
	return strings.TrimSpace(string(out))
}

// examineCodex asks Codex for its version.
func (d *Doctor) examineCodex(ctx context.Context, add func(Finding)) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.Codex, "--version").Output()
	if err != nil {
		add(Finding{Check: "codex", Verdict: Fail, Detail: fmt.Sprintf("'%s --version' does not run: %v", d.Codex, err), Fix: "install it: npm install -g @openai/codex"})
		return
	}
	fields := strings.Fields(string(out))
	version := ""
	if len(fields) > 0 {
		version = fields[len(fields)-1]
	}
	for _, known := range KnownVersions {
		if strings.HasPrefix(version, known) {
			add(Finding{Check: "codex", Verdict: OK, Detail: "version " + version + ", known to work"})
			return
		}
	}
	add(Finding{
		Check: "codex", Verdict: Warn, Detail: fmt.Sprintf("version %q has not been tried with this codex-proxy (%sx has)", version, strings.Join(KnownVersions, "x, ")),
		Fix: "if something fails, try a version that has: npm install -g @openai/codex@" + KnownVersions[len(KnownVersions)-1] + "0",
	})
}

// readLayers reads what Codex reads, the weaker first: the machine's defaults, the
// developer's config.toml, and what is forced upon the machine. From is the file
// that chooses the provider.
func (d *Doctor) readLayers() (effective Settings, from string, err error) {
	effective.ModelProviders = map[string]Upstream{}
	from = d.Home.Config()
	for _, file := range []string{
		filepath.Join(d.System, "config.toml"), d.Home.Config(),
		filepath.Join(d.System, "managed_config.toml"), filepath.Join(d.System, "requirements.toml"),
	} {
		raw, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return effective, from, err
		}
		layer, err := ReadSettings(raw)
		if err != nil {
			return effective, from, fmt.Errorf("%s: %w", file, err)
		}
		if layer.ModelProvider != "" {
			effective.ModelProvider, from = layer.ModelProvider, file
		}
		if layer.Model != "" {
			effective.Model = layer.Model
		}
		if layer.OpenAIBaseURL != "" {
			effective.OpenAIBaseURL = layer.OpenAIBaseURL
		}
		for name, provider := range layer.ModelProviders {
			if provider.BaseURL != "" {
				effective.ModelProviders[name] = provider
			}
		}
	}
	return effective, from, nil
}
