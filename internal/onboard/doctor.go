package onboard

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
		if left.Place == d.Home.Auth() && settings.isBuiltIn() && settings.OpenAIBaseURL != "" {
			continue // it holds the token
		}
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
	d.examineProvider(ctx, proxy, settings, add)
	d.examineWebSocket(ctx, proxy, token, settings, add)
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
	switch {
	case base == "":
		f.Detail = fmt.Sprintf("Codex goes to OpenAI itself: %s chooses no provider with a base_url", d.Home.Config())
	case chosen.EnvKey == "" && chosen.Auth.Command == "" && !settings.isBuiltIn():
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
