package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
	"codex-proxy/internal/standin"
	"codex-proxy/internal/terminal"
)

// TestRecordCommands runs the look-ups over records that the scripts lay down
// with 'archive NAME…': NAME.json has an exchange's facts, NAME.request and
// NAME.response, where there is one, its bodies.
func TestRecordCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/record",
		Setup: func(env *testscript.Env) error {
			// Under the race detector each command would sleep a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("CODEX_PROXY_INIT", "true")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": scriptExits, "archive": scriptArchive},
	})
}

// scriptArchive puts records into the archive that the script's commands use.
func scriptArchive(ts *testscript.TestScript, _ bool, names []string) {
	settings := &Settings{Data: ts.MkAbs("data")}
	if settings.Archive = ts.Getenv("CODEX_PROXY_ARCHIVE"); settings.usesBucket() {
		config := standin.Config(ts.Getenv("AWS_ENDPOINT_URL_S3"))
		settings.loaded = &config
	}
	if !settings.usesBucket() {
		ts.Check(settings.initialize(context.Background()))
	}
	archive, err := settings.openArchive(context.Background(), own)
	ts.Check(err)
	for _, name := range names {
		ts.Check(archiveFiles(context.Background(), archive, ts.MkAbs(name)))
	}
}

func archiveFiles(ctx context.Context, archive record.Archive, path string) error {
	facts, err := os.ReadFile(path + ".json")
	if err != nil {
		return err
	}
	doc := record.Document{Format: record.Format}
	if err := json.Unmarshal(facts, &doc.Exchange); err != nil {
		return err
	}
	request, err := os.ReadFile(path + ".request")
	if err != nil {
		return err
	}
	doc.Request = message(request)
	response, err := os.ReadFile(path + ".response")
	if err == nil {
		answer := message(response)
		answer.Status = doc.Exchange.Status
		doc.Response = &answer
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return archiveDocument(ctx, archive, doc)
}

// message splits a body as a record does.
func message(body []byte) record.Message {
	valid := strings.ToValidUTF8(string(body), "\x00\x00")
	at := 0
	for at < len(body) && at < len(valid) && body[at] == valid[at] {
		at++
	}
	return record.Message{Body: string(body[:at]), BodyBase64: body[at:]}
}

func archiveDocument(ctx context.Context, archive record.Archive, doc record.Document) error {
	raw, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		return err
	}
	raw = encoder.EncodeAll(raw, nil)
	return archive.Put(ctx, record.Key(doc.Exchange), bytes.NewReader(raw), int64(len(raw)))
}

// archiveOf opens the archive of a data directory.
func archiveOf(t *testing.T, data string) record.Archive {
	t.Helper()
	settings := &Settings{Data: data}
	if err := settings.initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	archive, err := settings.openArchive(t.Context(), own)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// hostile is text that would drive a terminal: colours, a title, the clipboard
// (OSC 52), a cursor that goes back, C1 controls, directions that mislead, bytes
// that are no UTF-8.
const hostile = "x\x1b[31mred\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x07\rback\b\x7f\u009b2J\u0085\u202eevil\u2066\u2028line\x00"

func TestNothingThatIsPrintedDrivesTheTerminal(t *testing.T) {
	data := t.TempDir()
	started := time.Date(2026, 2, 16, 12, 0, 0, 0, time.UTC)
	var ids []string
	quoted, _ := json.Marshal(hostile)
	bodies := []string{
		hostile,
		`{"instructions":` + string(quoted) + `,"tools":[{"name":` + string(quoted) + `}],"input":[{"role":"user","content":` + string(quoted) + `},` +
			`{"type":"function_call","name":` + string(quoted) + `,"call_id":"1","arguments":"{\"command\":\"\\u001b[2J\"}"},` +
			`{"type":"function_call_output","call_id":"1","output":` + string(quoted) + `},{"type":` + string(quoted) + `}]}`,
		`data: {"type":"response.failed","response":{"error":{"code":` + string(quoted) + `,"message":` + string(quoted) + `}}}` + "\n\n",
	}
	for i, body := range bodies {
		e := exchange.Exchange{
			Started: started, Developer: hostile, Team: hostile, TokenID: hostile, Session: hostile, Client: hostile, Method: hostile, Path: hostile,
			ModelAsked: "other" + hostile, Model: hostile, Tier: hostile, Outcome: exchange.Outcome(hostile), Refusal: hostile, Error: hostile,
			ErrorOrigin: exchange.OriginOpenAI, UpstreamRequestID: hostile, Status: 400 + i, Cost: exchange.Cost{State: exchange.CostPriced, Book: hostile},
			Findings: []exchange.Finding{{Rule: hostile, Fingerprint: "aaaaaaaa" + hostile, Mode: exchange.Reported, Path: hostile, New: true}},
		}
		e.ID = exchange.NewID(started)
		ids = append(ids, e.ID)
		doc := record.Document{Format: record.Format, Exchange: e, Request: message([]byte(body)), Response: &record.Message{Body: body, Incomplete: hostile}}
		doc.Request.URI = hostile
		doc.Request.Incomplete = hostile
		if err := archiveDocument(t.Context(), archiveOf(t, data), doc); err != nil {
			t.Fatal(err)
		}
	}
	days := []string{"--from=2026-02-16", "--to=2026-02-16"}
	look := func(call ...string) []string { return append([]string{"record"}, call...) }
	calls := [][]string{
		append(look("list"), days...),
		append(look("list", "--json"), days...),
		append(look("search", "red"), days...),
		append(look("search", "--json", "red"), days...),
		append(look("search", hostile), days...),
		append(look("search", "not there "+hostile), days...),
		append(look("origin", "red"), days...),
		append(look("origin", "--json", "red"), days...),
		append(look("origin", "not there "+hostile), days...),
		look("show", "not there "+hostile),
		{"usage", "rebuild"},
		append([]string{"session", "list"}, days...),
		append([]string{"session", "list", "--json"}, days...),
		{"session", "list", "--developer", hostile, "--team", hostile, "--from=2026-02-16"},
		{"session", "show", hostile},
		{"session", "show", hostile, "--json"},
		{"session", "show", hostile, "--all"},
		{"session", "show", "not there " + hostile},
		{"usage", "2026-02-16"},
		{"usage", "2026-02-16", "--json"},
		{"secrets", "list", "2026-02-16"},
		{"secrets", "list", "2026-02-16", "--json"},
		{"secrets", "list", "2026-02-16", "--developer", hostile},
		{"secrets", "list", hostile},
		{"secrets", "audit", "2026-02-16"},
		{"secrets", "audit", "2026-02-16", "--json", "--purge", "--yes"},
		{"secrets", "audit", "2026-02-16", "--rule", hostile},
		{"secrets", "show", "aaaaaaaa"},
		{"secrets", "show", "aaaaaaaa", "--json"},
		{"secrets", "show", "aaaaaaaa" + hostile},
	}
	for _, id := range ids {
		calls = append(calls, look("show", "--all", id), look("show", id), look("show", "--json", id))
	}
	for _, call := range calls {
		var stdout, stderr bytes.Buffer
		run(context.Background(), append([]string{"--data", data}, call...), nil, &stdout, &stderr)
		if stdout.Len()+stderr.Len() == 0 {
			t.Errorf("%q prints nothing", call)
		}
		for name, text := range map[string]string{"output": stdout.String(), "errors": stderr.String()} {
			if safe := terminal.SafeLines(text); safe != text {
				t.Errorf("the %s of %q would drive a terminal:\n%s", name, call, safe)
			}
		}
	}
}

func TestATableFitsTheTerminal(t *testing.T) {
	e := exchange.Exchange{
		ID: "019c6611-2200-7aaa-8bbb-0123456789ab", Started: time.Date(2026, 2, 16, 12, 0, 0, 0, time.UTC), Developer: "a-very-long-name@department.example.com",
		Session: "0199a213-81c0-7800-8aa1-bbab2a035a53", Model: "gpt-5-codex-2026-01-01", Status: 200, Outcome: exchange.ClientCancelled,
	}
	e.Usage.State, e.Usage.Total = exchange.UsageEstimated, 1_234_567
	e.Cost = exchange.Cost{State: exchange.CostPriced, Nanos: 1_234_567_890}
	e.Findings = []exchange.Finding{{Fingerprint: "a", Mode: exchange.Reported, New: true}, {Fingerprint: "b", Mode: exchange.Redacted}}
	rows := []recordRow{{Exchange: e, Session: e.Session, Model: e.Model}}
	incidents := []ledger.Incident{{
		Fingerprint: strings.Repeat("0123456789abcdef", 2), Rules: []string{"github-token", "generic-assignment"}, Developers: []string{e.Developer, "bob@example.com"},
		First: e.Started, Last: e.Started, Sessions: 12, Exchanges: 1234, New: 123, Left: 1234, Redacted: 123_456, Blocked: 12,
	}}
	sightings := []ledger.Sighting{{
		Secret:   exchange.Secret{Rule: "github-fine-grained-token", Path: "input[123].content[1].text", Mode: exchange.Reported, Places: 12},
		Exchange: e.ID, Started: e.Started, Developer: e.Developer, Session: e.Session, Outcome: e.Outcome,
	}}
	session := ledger.Session{ID: e.Session, Developer: e.Developer, Begun: e.Started, Last: e, Models: []string{e.Model, "gpt-5-codex-mini"}, Counts: ledger.Count(e)}
	for _, width := range []int{80, 100, 120, 160} {
		var out strings.Builder
		if err := errors.Join(
			writeTable(&out, recordColumns(rows), rows, width),
			writeTable(&out, sessionColumns(), []ledger.Session{session}, width),
			writeTable(&out, incidentColumns(nil), incidents, width),
			writeTable(&out, sightingColumns(), sightings, width),
		); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSpace(line))); n > width {
				t.Errorf("%d columns on %d:\n%s", n, width, out.String())
			}
		}
	}
}

func TestCostsAndTokensSayWhenTheyAreNotKnown(t *testing.T) {
	for want, cost := range map[string]exchange.Cost{
		"-":        {State: exchange.CostNone},
		"unpriced": {State: exchange.CostUnpriced},
		"$0.0000":  {State: exchange.CostPriced},
		"<$0.0001": {State: exchange.CostPriced, Nanos: 49_999},
		"$0.0001":  {State: exchange.CostPriced, Nanos: 50_000},
		"$12.3457": {State: exchange.CostPriced, Nanos: 12_345_678_901},
	} {
		if got := recordCost(cost); got != want {
			t.Errorf("%+v is %q, want %q", cost, got, want)
		}
	}
	for want, state := range map[string]exchange.UsageState{"-": exchange.UsageNone, "unknown": exchange.UsageMissing, "~1,000": exchange.UsageEstimated, "1,000": exchange.UsageExact} {
		usage := exchange.Usage{State: state}
		usage.Total = 1000
		if got := recordTokens(usage); got != want {
			t.Errorf("%s is %q, want %q", state, got, want)
		}
	}
}
