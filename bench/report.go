package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// report gathers the tables.
type report struct{ tables []string }

// add adds the table of a scenario: medians over the rounds, and the ratio to
// the bare proxy, taken round by round.
func (r *report) add(s scenario, results map[string]result) {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", s.name)
	if s.goal != "" {
		fmt.Fprintf(&b, "Goal: %s.\n\n", s.goal)
	}
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(s.numbers, " | "), strings.Repeat("---:|", len(s.numbers)))
	for _, kind := range s.kinds {
		numbers, ok := results[kind]
		if !ok {
			fmt.Fprintf(&b, "| %s | not installed |\n", kind)
			continue
		}
		cells := make([]string, len(s.numbers))
		for i, name := range s.numbers {
			cells[i] = cell(name, numbers[name], results["bare proxy"][name], kind)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", kind, strings.Join(cells, " | "))
	}
	r.tables = append(r.tables, b.String())
}

// cell prints a median, and how it compares with the bare proxy: as a ratio for
// what is used, as a difference for waiting.
func cell(name string, values, bare []float64, kind string) string {
	if kind == "direct" && strings.HasPrefix(name, "CPU") {
		return "-"
	}
	text := fmt.Sprintf("%.3g", median(values))
	if kind == "direct" || kind == "bare proxy" || name == "lost" {
		return text
	}
	compared := make([]float64, min(len(values), len(bare)))
	waiting := strings.HasSuffix(name, " ms") && strings.Contains(name, " p")
	for i := range compared {
		if compared[i] = values[i] / bare[i]; waiting {
			compared[i] = values[i] - bare[i]
		}
	}
	if waiting {
		return fmt.Sprintf("%s (%+.2f)", text, median(compared))
	}
	return fmt.Sprintf("%s (%.2fx, %.2f to %.2f)", text, median(compared), slices.Min(compared), slices.Max(compared))
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

func (r *report) markdown(rounds int, date string) string {
	machine := "unknown processor"
	if out, err := exec.Command("sh", "-c", "grep -m1 'model name' /proc/cpuinfo | cut -d: -f2").Output(); err == nil {
		machine = strings.TrimSpace(string(out))
	}
	return fmt.Sprintf(`# Performance

Measured on %s on a machine of %d cores (%s), %s, in %d rounds. Everything is on in codex-proxy: token
look-up, search for secrets, durable record, usage, cost, archive and ledger. The gateway has one core; the load and the simulated OpenAI share the
other. Numbers are medians over the rounds; in brackets the ratio to (or, for waiting, the difference from) the bare
httputil.ReverseProxy of the same round, median and range. "With background work" includes settling: archive, ledger and their disk
flushes. Reproduce with:

    go run ./bench -rounds %d -out docs/performance.md

%s`, date, runtime.NumCPU(), machine, runtime.Version(), rounds, rounds, strings.Join(r.tables, "\n"))
}
