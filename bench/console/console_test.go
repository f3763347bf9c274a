// Package console measures how long the pages of the console take over a million
// exchanges of ten thousand developers, as a browser waits for them:
//
//	go test ./bench/console -run '^$' -bench . -benchtime 10x
package console

import (
	"bufio"
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

	"codex-proxy/internal/simulated"
)

// fill makes a directory of data of a large organisation.
func fill(b *testing.B, data string) {
	b.Helper()
	if out, err := exec.Command("go", "run", "../organisation", "-data", data, "-exchanges", "1000000", "-developers", "10000").CombinedOutput(); err != nil {
		b.Fatalf("fill %s: %v\n%s", data, err, out)
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
	const who = "developer-00077@example.com"
	data := b.TempDir()
	fill(b, data)
	address, browser := serve(b, data)
	for _, page := range []string{
		"overview", "overview?range=today", "overview?range=30d", "overview?range=30d&by=developer", "overview?range=30d&by=model&metric=tokens", "overview?range=90d", "overview?range=30d&zone=Asia/Tokyo",
		"overview?range=30d&team=team-007", "overview?range=30d&developer=" + who, "live",
		"sessions", "sessions?developer=" + who, "sessions?team=team-007", "sessions?model=gpt-5.2&outcome=failed",
		"records", "records?developer=" + who, "records?team=team-007", "records?outcome=failed", "records?origin=openai&status=500", "records?secrets=1", "records?session=session-049000", "records?refusal=nothing",
		"findings", "findings?range=90d", "findings/" + fmt.Sprintf("%032x", 7), "developers", "developers?find=team-007&order=cost", "developers/" + who, "access",
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
