package onboard

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TriedVersions are the versions of Codex with which the whole way through the proxy
// has been tried, the oldest first.
var TriedVersions = []string{"0.169.0", "0.171.0"}

// examineCodex asks Codex for its version.
func (d *Doctor) examineCodex(ctx context.Context, add func(Finding)) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.Codex, "--version").Output()
	if err != nil {
		add(Finding{
			Check: "codex", Verdict: Fail, Detail: fmt.Sprintf("'%s --version' does not run: %v", d.Codex, err),
			Fix: "install it: npm install -g @openai/codex",
		})
		return
	}
	version := ""
	if fields := strings.Fields(string(out)); len(fields) > 0 {
		version = fields[len(fields)-1]
	}
	add(judgeVersion(version))
}

// judgeVersion says what is known of a version of Codex. A newer one than was tried
// is no fault: Codex moves faster than the proxy, which passes on what it does not
// know.
func judgeVersion(version string) Finding {
	tried, last := strings.Join(TriedVersions, ", "), TriedVersions[len(TriedVersions)-1]
	oldest, _ := parseVersion(TriedVersions[0])
	newest, _ := parseVersion(last)
	at, ok := parseVersion(version)
	f := Finding{Check: "codex", Verdict: OK}
	switch {
	case slices.Contains(TriedVersions, version):
		f.Detail = "version " + version + ", known to work"
	case !ok:
		f.Verdict, f.Detail = Warn, fmt.Sprintf("version %q is not understood (%s was tried)", version, last)
		f.Fix = "none is needed if Codex works"
	case slices.Compare(at, oldest) < 0:
		f.Verdict, f.Detail = Warn, fmt.Sprintf("version %s is older than what was tried (%s)", version, tried)
		f.Fix = "update it: npm install -g @openai/codex"
	case slices.Compare(at, newest) > 0:
		f.Detail = fmt.Sprintf("version %s, newer than what was tried (%s), expected to work", version, last)
	default:
		f.Detail = fmt.Sprintf("version %s, expected to work as those that were tried (%s)", version, tried)
	}
	return f
}

// parseVersion reads a version's three numbers; what follows them is passed over.
func parseVersion(version string) (numbers []int, ok bool) {
	plain, _, _ := strings.Cut(version, "-")
	plain, _, _ = strings.Cut(plain, "+")
	for part := range strings.SplitSeq(strings.TrimPrefix(plain, "v"), ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil, false
		}
		numbers = append(numbers, n)
	}
	return numbers, len(numbers) == 3
}

// examineProvider looks at whether Codex takes the proxy for what is behind it, as
// that decides what Codex asks for.
func (d *Doctor) examineProvider(ctx context.Context, proxy *Proxy, settings Settings, add func(Finding)) {
	offer, err := proxy.Offer(ctx)
	if err != nil || offer.ProviderName == "" {
		return // no proxy, which is said elsewhere; or an older one, which does not know
	}
	name, want := settings.chosen().Name, offer.ProviderName
	f := Finding{Check: "provider", Verdict: OK, Detail: fmt.Sprintf("Codex calls it %q", name)}
	switch {
	case want == openAI && name != openAI:
		f.Verdict, f.Fix = Warn, settings.mend(fmt.Sprintf("name = %q", want))
		f.Detail += fmt.Sprintf(", and offers web search and OpenAI's own compaction only where it is %q", openAI)
	case want != openAI && name == openAI:
		f.Verdict, f.Fix = Warn, settings.mend(fmt.Sprintf("name = %q", want))
		f.Detail += ", but OpenAI is not behind it: web search, and the compaction of long sessions, may fail"
	}
	add(f)
}

// mend says how a line of the chosen provider is put right.
func (s Settings) mend(line string) string {
	if s.isBuiltIn() || s.ModelProvider == providerKey {
		return "run 'codex-proxy setup'; on managed machines, roll out what 'codex-proxy setup --print' prints"
	}
	return fmt.Sprintf("set %s in [model_providers.%s]", line, s.ModelProvider)
}
