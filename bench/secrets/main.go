// Command secrets measures what finding secrets costs, side by side with a
// plain call of gitleaks on the same bytes: with Go's regexp, and with RE2 in
// WebAssembly, which is gitleaks' build tag gore2regex.
//
// Each runs in a process of its own on one core, and they take turns within
// every round. It is a module of its own, so that gitleaks and all that it needs
// stay out of the program.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds; each detector runs once in each")
	out := flag.String("out", "", "also write the report to this Markdown file")
	date := flag.String("date", time.Now().UTC().Format(time.DateOnly), "date to put into the report")
	detector := flag.String("detector", "", "measure this detector once and print its times as JSON (used by the benchmark itself)")
	slow := flag.Bool("slow", false, "with -detector: also what takes a slow one long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	var err error
	if *detector != "" {
		err = measureOne(*detector, *slow)
	} else {
		err = run(ctx, *rounds, *out, *date)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "secrets: %v\n", err)
		os.Exit(1)
	}
}

// contender is a detector as it is built.
type contender struct {
	name, detector, tags string
	// slowRounds is in how many rounds it also takes what takes it long.
	slowRounds int
}

var contenders = []contender{
	{"codex-proxy", "codex-proxy", "", 1 << 30},
	{"gitleaks", "gitleaks", "", 1},
	{"gitleaks with RE2", "gitleaks", "gore2regex", 1},
}

// times are how long each measurement took, in nanoseconds, one a round.
type times map[string][]int64

func run(ctx context.Context, rounds int, out, date string) error {
	dir, err := os.MkdirTemp("", "codex-proxy-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binaries := make([]string, len(contenders))
	for i, c := range contenders {
		binaries[i] = filepath.Join(dir, fmt.Sprint("detector", i))
		build := exec.CommandContext(ctx, "go", "build", "-tags", c.tags, "-o", binaries[i], ".")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build the benchmark with %s (run it from bench/secrets): %w", c.name, err)
		}
	}
	results := make([]times, len(contenders))
	for i := range results {
		results[i] = times{}
	}
	for round := range rounds {
		for k := range contenders {
			i := (k + round) % len(contenders) // nobody is always first
			c := contenders[i]
			command := exec.CommandContext(ctx, binaries[i], "-detector", c.detector, fmt.Sprintf("-slow=%t", round < c.slowRounds))
			command.Env = append(os.Environ(), "GOMAXPROCS=1")
			command.Stderr = os.Stderr
			text, err := command.Output()
			if err != nil {
				return fmt.Errorf("measure %s: %w", c.name, err)
			}
			var took map[string]int64
			if err := json.Unmarshal(text, &took); err != nil {
				return fmt.Errorf("read the times of %s: %w", c.name, err)
			}
			for name, nanos := range took {
				results[i][name] = append(results[i][name], nanos)
			}
			fmt.Fprint(os.Stderr, ".")
		}
	}
	fmt.Fprintln(os.Stderr)
	text, err := report(results, rounds, date)
	if err != nil {
		return err
	}
	fmt.Print(text)
	if out != "" {
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return err
		}
		return os.WriteFile(out, []byte(text), 0o644)
	}
	return nil
}

// measureOne runs the scenarios with one detector.
func measureOne(name string, slow bool) error {
	began := time.Now()
	d, err := newDetector(name)
	if err != nil {
		return err
	}
	took := map[string]int64{startUp: int64(time.Since(began))}
	all, err := scenarios()
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.slow && !slow {
			continue
		}
		runtime.GC()
		took[s.name] = int64(s.measure(d))
	}
	return json.NewEncoder(os.Stdout).Encode(took)
}
