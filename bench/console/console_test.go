// Package console measures how long the pages of the console take over a million
// exchanges of ten thousand developers, as a browser waits for them:
//
//	go test ./bench/console -run '^$' -bench . -benchtime 10x
package console

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/sqlite"
)

const (
	exchanges  = 1_000_000
	turns      = 20 // of a session
	developers = 10_000
	days       = 90
	secrets    = 400
)

func who(n int) string { return fmt.Sprintf("developer-%05d@example.com", n%developers) }

func team(n int) string { return fmt.Sprintf("team-%03d", n%developers%120) }

// fill writes what a large organisation has after three months: the ledger, and its
// developers, each with a token.
func fill(b *testing.B, data string) {
	b.Helper()
	ctx, now := b.Context(), time.Now().UTC()
	ledger, err := sqlite.OpenLedger(ctx, filepath.Join(data, "ledger.db"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := ledger.Rebuild(ctx, func(yield func(exchange.Exchange, error) bool) {
		const sessions = exchanges / turns
		for n := range exchanges {
			session, turn := n/turns, n%turns
			at := now.Add(-time.Duration(sessions-session)*days*24*time.Hour/sessions + time.Duration(turn)*2*time.Minute - time.Hour)
			e := exchange.Exchange{
				ID: exchange.NewID(at), Started: at, Ended: at.Add(9 * time.Second), Developer: who(session), Team: team(session),
				Session: fmt.Sprintf("session-%06d", session), Client: "codex_cli_rs/0.169.0", Model: []string{"gpt-5.1-codex", "gpt-5.2", "gpt-6.1-sol"}[session%3],
				Method: http.MethodPost, Path: "/v1/responses", Transport: exchange.HTTP, Status: 200, Outcome: exchange.Completed,
				Usage: exchange.Usage{State: exchange.UsageExact, Usage: openai.Usage{Input: 40_000, Cached: 32_000, Output: 900, Reasoning: 300, Total: 40_900}},
				Cost:  exchange.Cost{State: exchange.CostPriced, Nanos: 21_000_000}, RequestBytes: 180_000, ResponseBytes: 30_000,
				FirstByteMicros: 2_000_000, DurationMicros: 9_000_000, AddedMicros: 900,
			}
			if n%40 == 0 {
				e.Outcome, e.Status, e.ErrorOrigin, e.Error = exchange.Failed, 500, exchange.OriginOpenAI, "The server had an error"
			}
			if n%50 == 0 {
				e.Findings = []exchange.Finding{{Rule: "github-token", Fingerprint: fmt.Sprintf("%016x", n/50%secrets), Mode: exchange.Redacted, Path: "input[3].output", New: true}}
			}
			if !yield(e, nil) {
				return
			}
		}
	}); err != nil {
		b.Fatal(err)
	}
	store, err := sqlite.OpenDevelopers(ctx, filepath.Join(data, "developers.db"))
	if err != nil {
		b.Fatal(err)
	}
	for n := range developers {
		one, err := developer.New(who(n), fmt.Sprintf("Developer %d", n), team(n), now.AddDate(0, -3, 0))
		if err != nil {
			b.Fatal(err)
		}
		_, credential, err := developer.Issue(rand.Reader, one.ID, "laptop", now.AddDate(0, -3, 0), time.Time{})
		if err == nil {
			err = store.AddDeveloper(ctx, one, credential)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for _, err := range []error{ledger.Close(), store.Close()} {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// serve starts the real program, and signs in to its console.
func serve(b *testing.B, data string) (address string, browser *http.Client) {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "codex-proxy")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/codex-proxy").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	out, err := exec.Command(binary, "console", "reset-admin", "--json", "--data", data).Output()
	var made struct{ Credential string }
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil {
		b.Fatal(err)
	}
	model := simulated.New(simulated.Options{})
	upstream := httptest.NewServer(model)
	b.Cleanup(func() { model.Close(); upstream.Close() })
	process := exec.Command(binary, "serve", "--data", data, "--listen", "127.0.0.1:0", "--upstream", upstream.URL+"/v1")
	process.Env = append(os.Environ(), "OPENAI_API_KEY=sk-of-the-benchmark")
	log, err := process.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	listening := regexp.MustCompile(`serving" address=(\S+)`)
	for lines := bufio.NewScanner(log); address == "" && lines.Scan(); {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			address = "http://" + m[1]
		}
	}
	go func() { _, _ = io.Copy(io.Discard, log) }() // until the process ends
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	browser = &http.Client{Jar: jar}
	response, err := browser.PostForm(address+"/console/sign-in", url.Values{"credential": {made.Credential}})
	if err != nil {
		b.Fatal(err)
	}
	response.Body.Close()
	return address, browser
}

func BenchmarkPagesOverAMillionExchanges(b *testing.B) {
	data := b.TempDir()
	fill(b, data)
	address, browser := serve(b, data)
	for _, page := range []string{
		"overview", "overview?range=today", "overview?range=30d", "overview?range=30d&by=developer", "overview?range=30d&by=model&metric=tokens", "overview?range=90d", "overview?range=30d&zone=Asia/Tokyo",
		"overview?range=30d&team=team-007", "overview?range=30d&developer=" + who(77), "live",
		"sessions", "sessions?developer=" + who(77), "sessions?team=team-007", "sessions?model=gpt-5.2&outcome=failed",
		"records", "records?developer=" + who(77), "records?team=team-007", "records?outcome=failed", "records?origin=openai&status=500", "records?secrets=1", "records?session=session-049000", "records?refusal=nothing",
		"findings", "findings?range=90d", "findings/" + fmt.Sprintf("%016x", 7), "developers", "developers?find=team-007&order=cost", "developers/" + who(77), "access",
	} {
		b.Run(strings.ReplaceAll(page, "/", ":"), func(b *testing.B) {
			bytes := int64(0)
			for b.Loop() {
				response, err := browser.Get(address + "/console/" + page)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK {
					b.Fatal(response.Status, err)
				}
				bytes += n
			}
			b.ReportMetric(float64(bytes)/float64(b.N)/1000, "KB/page")
		})
	}
}
