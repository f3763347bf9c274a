// Command bench measures what codex-proxy costs, side by side with a bare
// httputil.ReverseProxy, with nginx where it is installed, and with no gateway
// at all.
//
// The gateway runs as a process of its own on one core; the load and the
// simulated OpenAI share the other. Gateways take turns within every round, so
// that whatever else the machine does touches all of them, and what counts is
// the ratio to the bare proxy, round by round.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	bare := flag.String("bare", "", "run the bare reverse proxy to this upstream on -listen (used by the benchmark itself)")
	listen := flag.String("listen", "", "address of the bare proxy")
	rounds := flag.Int("rounds", 5, "rounds; every gateway runs once in each")
	only := flag.String("scenario", "", "run only scenarios whose name contains this")
	out := flag.String("out", "", "also write the report to this Markdown file")
	date := flag.String("date", time.Now().UTC().Format(time.DateOnly), "date to put into the report")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	var err error
	if *bare != "" {
		err = serveBare(ctx, *listen, *bare)
	} else {
		err = run(ctx, *rounds, *only, *out, *date)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// The cores: one for the load and the simulated OpenAI, one for the gateway.
const (
	loadCore    = 0
	gatewayCore = 1
)

func run(ctx context.Context, rounds int, only, out, date string) error {
	var set unix.CPUSet
	set.Set(loadCore)
	for thread := range threads(os.Getpid()) { // threads that start later inherit it
		_ = unix.SchedSetaffinity(thread, &set)
	}
	limit := unix.Rlimit{Cur: 65536, Max: 65536}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		fmt.Fprintf(os.Stderr, "bench: open files stay limited: %v\n", err)
	}
	dir, err := os.MkdirTemp("", "codex-proxy-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "codex-proxy")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/codex-proxy")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build codex-proxy (run the benchmark from the top of the tree): %w", err)
	}

	var report report
	for _, s := range scenarios() {
		if !strings.Contains(s.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s", s.name)
		results, err := s.run(ctx, dir, binary, rounds)
		fmt.Fprintln(os.Stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		report.add(s, results)
	}
	text := report.markdown(rounds, date)
	fmt.Print(text)
	if out != "" {
		return os.WriteFile(out, []byte(text), 0o644)
	}
	return nil
}
