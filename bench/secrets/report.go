package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// report writes the table: medians over the rounds, and how many times as long
// each takes as codex-proxy does.
func report(results []times, rounds int, date string) (string, error) {
	all, err := scenarios()
	if err != nil {
		return "", err
	}
	all = append(all, scenario{name: startUp, goal: "≤ 50 ms"})
	var b strings.Builder
	b.WriteString("| | bytes | goal |")
	for _, c := range contenders {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---|---:|---|" + strings.Repeat("---:|", len(contenders)) + "\n")
	for _, s := range all {
		size := ""
		if s.size > 0 {
			size = fmt.Sprintf("%.2f MB", float64(s.size)/(1<<20))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", s.name, size, s.goal)
		ours := median(results[0][s.name])
		for i := range contenders {
			took := median(results[i][s.name])
			fmt.Fprintf(&b, " %s", milliseconds(took))
			if s.size > 0 {
				fmt.Fprintf(&b, ", %s MB/s", number(float64(s.size)/(1<<20)/(took/1e9)))
			}
			if i > 0 {
				fmt.Fprintf(&b, " (%sx)", number(took/ours))
			}
			b.WriteString(" |")
		}
		b.WriteByte('\n')
	}
	return fmt.Sprintf(`# Performance of finding secrets

Measured on %s on a machine of %d cores (%s), %s, in %d rounds. Each detector runs in a process of its own on one core; they
take turns in every round. The numbers are medians over the rounds; what takes gitleaks long it does once. In brackets: how many
times as long as codex-proxy.

codex-proxy does all that an exchange needs: it reads the JSON, decodes its strings, finds, and replaces, with the installation's
cache of items that it has seen. gitleaks (%s, its default rules) is one plain call, DetectString, on the same body; it does not
decode, and replaces nothing. "With RE2" is gitleaks built with its tag gore2regex. The bodies are the source of net/http as tools
print it, as JSON in JSON strings, with a few secrets. Reproduce with:

    go run -C bench/secrets . -rounds %d -out ../../docs/secrets-performance.md

%s`, date, runtime.NumCPU(), processor(), runtime.Version(), rounds, gitleaksVersion, rounds, b.String()), nil
}

// gitleaksVersion is the one in go.mod.
const gitleaksVersion = "8.30.1"

func milliseconds(nanos float64) string { return number(nanos/1e6) + " ms" }

// number prints three digits, and all that a large number has.
func number(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

func median(values []int64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return float64(sorted[n/2-1]+sorted[n/2]) / 2
	}
	return float64(sorted[len(sorted)/2])
}

func processor() string {
	out, err := exec.Command("sh", "-c", "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2").Output()
	if err != nil {
		return "unknown processor"
	}
	return strings.TrimSpace(string(out))
}
