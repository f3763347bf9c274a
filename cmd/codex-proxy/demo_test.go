package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
)

// printed reads what a command prints as JSON.
func printed[T any](s *server, args ...string) (value T) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.command(append(args, "--json")...)), &value); err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return value
}

// TestTheDemo looks at one demo, as its samples take a while under the race detector.
func TestTheDemo(t *testing.T) {
	data := filepath.Join(t.TempDir(), "demo")
	began := time.Now()
	s := startServer(t, data, "demo", "--pace", "0s")
	samples := func(s *server) []recordRow {
		return slices.DeleteFunc(printed[[]recordRow](s, "record", "list", "--limit", "0"), func(e recordRow) bool { return e.Started.After(began) })
	}
	all := samples(s)
	t.Run("is the whole product", func(t *testing.T) { demoIsTheWholeProduct(t, s) })
	t.Run("has samples as Codex sends them", func(t *testing.T) { samplesAreWhatCodexSends(t, all) })
	t.Run("has what the console shows", func(t *testing.T) { samplesHaveWhatTheConsoleShows(t, s) })
	t.Run("has developers who go on working until it ends", func(t *testing.T) { developersGoOnWorking(t, s, began) })

	again := startServer(t, data, "demo", "--pace", "0s", "--no-traffic")
	if n := len(samples(again)); n != len(all) {
		t.Errorf("%d exchanges of the past, and after a second start %d", len(all), n)
	}
}

func demoIsTheWholeProduct(t *testing.T, s *server) {
	report := s.command("usage", time.Now().UTC().AddDate(0, 0, -7).Format(time.DateOnly), time.Now().UTC().Format(time.DateOnly))
	for _, want := range []string{"alice@example.com", "bob@example.com", "carol@example.com", "gpt-5.1-codex", "records processed"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %s:\n%s", want, report)
		}
	}
	token := regexp.MustCompile(`codexproxy_\w+`).FindString(s.out.String())
	if response := s.ask(http.DefaultClient, "http", token); response.StatusCode != http.StatusOK {
		t.Errorf("the printed token got %s", response.Status)
	}
	if found := s.command("secrets", "list"); !strings.Contains(found, "aws-access-key-id") {
		t.Errorf("no secret was found in the samples: %s", found)
	}
	if rebuilt := s.command("usage", "rebuild"); !strings.Contains(rebuilt, "Rebuilt") {
		t.Errorf("rebuild said %s", rebuilt)
	}
}

func samplesAreWhatCodexSends(t *testing.T, all []recordRow) {
	if len(all) < 250 || len(all) > 600 {
		t.Errorf("%d exchanges", len(all))
	}
	outcomes, refusals, statuses := map[exchange.Outcome]int{}, map[string]int{}, map[int]int{}
	var input, cached, reasoning int64
	sessions, begun := map[string]bool{}, time.Now().AddDate(0, 0, -demoDays-1)
	for _, e := range all {
		outcomes[e.Outcome]++
		refusals[e.Refusal]++
		statuses[e.Status]++
		input, cached, reasoning = input+e.Usage.Input, cached+e.Usage.Cached, reasoning+e.Usage.Reasoning
		sessions[e.Session] = true
		if at, err := exchange.IDTime(e.Session); err != nil || at.After(e.Started) {
			t.Errorf("%s: its session %q began later, or has no time: %v", e.ID, e.Session, err)
		}
		if e.Started.Before(begun) || e.Ended.After(time.Now()) || !e.Ended.After(e.Started) {
			t.Errorf("%s was from %s to %s", e.ID, e.Started, e.Ended)
		}
		if e.Outcome != exchange.Completed {
			continue
		}
		// Waiting for OpenAI is a second at the least, and none of it is the proxy's.
		if waited := e.FirstByteMicros - e.AddedMicros; waited < 1e6 {
			t.Errorf("%s: the first byte came %d µs after the proxy was through", e.ID, waited)
		}
		if wrote := e.DurationMicros - e.FirstByteMicros; wrote < 1e6 {
			t.Errorf("%s: it was answered within %d µs", e.ID, wrote)
		}
	}
	if time.Since(all[0].Started) > time.Hour {
		t.Errorf("the last exchange was at %s", all[0].Started)
	}
	if cached < input/2 || cached >= input {
		t.Errorf("%d of %d input tokens were cached", cached, input)
	}
	if reasoning == 0 {
		t.Error("nobody reasoned")
	}
	if len(sessions) < 40 {
		t.Errorf("%d sessions", len(sessions))
	}
	for _, outcome := range []exchange.Outcome{exchange.Failed, exchange.UpstreamError, exchange.ClientCancelled, exchange.Refused} {
		if n := outcomes[outcome]; n == 0 || n > len(all)/20 {
			t.Errorf("%d of %d exchanges ended as %s", n, len(all), outcome)
		}
	}
	if refusals["model_not_allowed"] == 0 || statuses[429] == 0 || statuses[500] == 0 {
		t.Errorf("refusals %v, statuses %v", refusals, statuses)
	}
}

func samplesHaveWhatTheConsoleShows(t *testing.T, s *server) {
	for what, text := range map[string]string{
		"a picture": "data:image/png;base64,", "a patch": "*** Begin Patch", "a diff": "diff --git a/",
		"a command": "tools.exec_command", "a function's call": "function_call_output", "encrypted reasoning": "encrypted_content", "a placeholder": "__SECRET_github_token_",
	} {
		if hits := printed[[]searchHit](s, "record", "search", text); len(hits) == 0 {
			t.Errorf("no record has %s", what)
		}
	}
	for _, made := range secretWords {
		for _, word := range made {
			if !strings.HasPrefix(word, "AKIA") {
				continue
			}
			var out, errs bytes.Buffer
			if run(t.Context(), []string{"record", "search", word, "--data", s.data}, strings.NewReader(""), &out, &errs) == 0 || out.Len() > 0 {
				t.Error("a key that is to be redacted is on record")
			}
		}
	}
	type incident struct {
		Rules              []string
		Reported, Redacted int
	}
	left, redacted := map[string]int{}, map[string]int{}
	for _, i := range printed[[]incident](s, "secrets", "list") {
		left[i.Rules[0]] += i.Reported
		redacted[i.Rules[0]] += i.Redacted
	}
	for _, rule := range []string{"aws-access-key-id", "aws-secret-access-key", "github-token", "url-credentials"} {
		if redacted[rule] == 0 || left[rule] > 0 {
			t.Errorf("%s: %d were redacted and %d left", rule, redacted[rule], left[rule])
		}
	}
	if left["generic-password"] == 0 {
		t.Error("no finding was only reported")
	}
	team := printed[struct {
		Models []string
		Budget float64 `json:"team_budget_usd_per_month"`
	}](s, "team", "show", "payments")
	if len(team.Models) == 0 || team.Budget == 0 {
		t.Errorf("the team with a policy has %+v", team)
	}
	usage := printed[struct{ Rows []struct{ Developer string } }](s, "usage",
		time.Now().UTC().AddDate(0, 0, -demoDays).Format(time.DateOnly), time.Now().UTC().Format(time.DateOnly))
	if len(usage.Rows) != len(demoDevelopers) {
		t.Errorf("%d developers used it", len(usage.Rows))
	}
}

// developersGoOnWorking ends the demo.
func developersGoOnWorking(t *testing.T, s *server, began time.Time) {
	waitFor(t, "both of them have an answer", func() bool {
		at := map[string]bool{}
		for _, e := range printed[[]recordRow](s, "record", "list") {
			if e.Started.After(began) && e.Outcome == exchange.Completed {
				at[e.Developer] = true
			}
		}
		return at[demoWorkers()[0].id] && at[demoWorkers()[1].id]
	})
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "msg=exchange") && !strings.Contains(line, "developer="+demoDevelopers[0].id) {
			t.Errorf("the log is filled with what nobody asked for: %s", line)
		}
	}
	s.stop()
	code := <-s.exit
	s.exit <- code
	if code != 0 {
		t.Errorf("it exited with %d:\n%s", code, s.log.String())
	}
}

func TestTheDemosSessionsFitAnyDay(t *testing.T) {
	for _, now := range []string{"2026-11-29T00:05:00Z", "2026-12-02T12:00:00Z", "2026-12-04T23:50:00Z", "2027-03-01T08:00:00Z"} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		all := appointments(at)
		who := map[string]bool{}
		for _, a := range all {
			who[a.who.id] = true
			if a.at.After(at.Add(-20*time.Minute)) || a.at.Before(at.AddDate(0, 0, -demoDays-1)) {
				t.Errorf("at %s there is a session at %s", now, a.at)
			}
		}
		if len(all) < 45 || len(all) > 100 || len(who) != len(demoDevelopers) {
			t.Errorf("at %s there are %d sessions of %d developers", now, len(all), len(who))
		}
		if !slices.IsSortedFunc(all, func(a, b appointment) int { return a.at.Compare(b.at) }) {
			t.Error("they are not in order")
		}
	}
}
