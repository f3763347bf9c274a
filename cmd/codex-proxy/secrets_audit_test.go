package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
)

// auditing runs commands over a data directory.
type auditing struct {
	t    *testing.T
	data string
}

func (a auditing) run(code int, args ...string) string {
	a.t.Helper()
	var stdout, stderr bytes.Buffer
	if got := run(context.Background(), append([]string{"--data", a.data}, args...), strings.NewReader(""), &stdout, &stderr); got != code {
		a.t.Fatalf("%q ends with %d, want %d: %s%s", args, got, code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// files returns all files below the data directory, and the documents as their
// text too.
func (a auditing) files() map[string]string {
	a.t.Helper()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	defer decoder.Close()
	files := map[string]string{}
	err = filepath.WalkDir(a.data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[path] = string(raw)
		if strings.HasSuffix(path, ".zst") {
			plain, err := decoder.DecodeAll(raw, nil)
			if err != nil {
				return err
			}
			files[path+" unpacked"] = string(plain)
		}
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return files
}

func (a auditing) document(e exchange.Exchange) *record.Document {
	a.t.Helper()
	archive, err := disk.NewArchive(filepath.Join(a.data, "archive"))
	if err != nil {
		a.t.Fatal(err)
	}
	doc, err := record.Load(a.t.Context(), archive, record.Key(e))
	if err != nil {
		a.t.Fatal(err)
	}
	return doc
}

// TestAPurgeTakesEverySecretOutAndNothingElse plants a secret in every record,
// somewhere, and purges.
func TestAPurgeTakesEverySecretOutAndNothingElse(t *testing.T) {
	for source := range uint64(4) {
		r := rand.New(rand.NewPCG(source, 5))
		a := auditing{t, t.TempDir()}
		all, planted := keepRecords(t, a.data, r, 30)
		before := a.files()
		a.run(1, "secrets", "audit", "2026-02-16", "2026-02-18")
		a.run(2, "secrets", "audit", "2026-02-16", "2026-02-18", "--purge") // there is nobody to ask
		if diff := cmp.Diff(before, a.files()); diff != "" {
			t.Fatal("an audit changed files")
		}
		var listed []leftRow
		if err := json.Unmarshal([]byte(a.run(1, "secrets", "audit", "2026-02-16", "2026-02-18", "--purge", "--yes", "--json")), &listed); err != nil {
			t.Fatal(err)
		}
		if len(listed) < len(planted) { // base64 of a text is one of its own
			t.Errorf("source %d: %d secrets are listed of %d", source, len(listed), len(planted))
		}

		for path, content := range a.files() {
			for _, s := range planted {
				if i := traceOf(content, s.value); i >= 0 {
					t.Fatalf("source %d: %s holds a secret: %.300q", source, filepath.Base(path), content[max(0, i-150):])
				}
			}
		}
		for i, k := range all {
			doc := a.document(k.exchange)
			got := func(text string) string { return placeholders.ReplaceAllString(text, hole) }
			header := ""
			if values := doc.Request.Header["X-Note"]; values != nil {
				header = values[1]
			}
			for what, pair := range map[string][2]string{
				"request":  {k.request.want, got(string(doc.Request.Bytes()))},
				"response": {k.response.want, got(string(doc.Response.Bytes()))},
				"uri":      {k.uri.want, got(doc.Request.URI)},
				"header":   {k.header.want, got(header)},
				"error":    {k.err.want, got(doc.Exchange.Error)},
			} {
				if pair[0] != pair[1] {
					t.Errorf("source %d: record %d: the %s is %q\nwant %q", source, i, what, pair[1], pair[0])
				}
			}
			if len(doc.Purged) != 1 || len(doc.Purged[0].Secrets) == 0 || slices.Contains(doc.Purged[0].Decoded, record.SideRequest) != k.decoded {
				t.Errorf("source %d: record %d has the notes %+v", source, i, doc.Purged)
			}
			checkFindings(t, doc)
			// All else is as it was.
			facts := doc.Exchange
			facts.Findings, facts.Error = nil, k.exchange.Error
			if diff := cmp.Diff(k.exchange, facts); diff != "" {
				t.Errorf("source %d: record %d (-want +got):\n%s", source, i, diff)
			}
		}

		if again := a.run(0, "secrets", "audit", "2026-02-16", "2026-02-18"); !strings.Contains(again, "no secret stands on record") {
			t.Errorf("source %d: the second audit says %s", source, again)
		}
		questions := [][]string{{"secrets", "list", "2026-02-16", "2026-02-18", "--json"}, {"usage", "2026-02-16", "2026-02-18", "--json"}}
		var told []string
		for _, question := range questions {
			told = append(told, a.run(0, question...))
		}
		var incidents []incidentRow
		if err := json.Unmarshal([]byte(told[0]), &incidents); err != nil || len(incidents) != len(listed) {
			t.Errorf("source %d: secrets list has %d secrets, %v, and the audit %d", source, len(incidents), err, len(listed))
		}
		a.run(0, "usage", "rebuild")
		for i, question := range questions {
			if diff := cmp.Diff(told[i], a.run(0, question...)); diff != "" {
				t.Errorf("source %d: %q after a rebuild (-before +after):\n%s", source, question, diff)
			}
		}
	}
}

// traceOf returns where a secret stands in a text: as it is, or as a part of
// base64; -1 if it does not.
func traceOf(text, value string) int {
	traces := []string{value, strings.Trim(quoted(value), `"`)}
	for shift := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("a", shift) + value))
		traces = append(traces, encoded[4:len(encoded)-4])
	}
	for _, trace := range traces {
		if i := strings.Index(text, trace); i >= 0 {
			return i
		}
	}
	return -1
}

// checkFindings holds each finding to where it says that a placeholder stands.
func checkFindings(t *testing.T, doc *record.Document) {
	t.Helper()
	for _, f := range doc.Exchange.Findings {
		path, answer := strings.CutPrefix(f.Path, "answer ")
		text := string(doc.Request.Bytes())
		switch {
		case path == "uri":
			text = doc.Request.URI
		case path == "header X-Note":
			text = doc.Request.Header["X-Note"][1]
		case answer:
			text = string(doc.Response.Bytes())
		}
		if f.Mode != exchange.Reported || f.Fingerprint == "" || !strings.HasPrefix(text[f.Offset:], "__SECRET_") {
			t.Errorf("finding %+v: no placeholder stands there", f)
		}
	}
}

// archived lays down a record.
func (a auditing) archived(doc record.Document) exchange.Exchange {
	a.t.Helper()
	doc.Format = record.Format
	if err := archiveDocument(a.t.Context(), archiveOf(a.t, a.data), doc); err != nil {
		a.t.Fatal(err)
	}
	return doc.Exchange
}

const testPassword = "kW8-xP2q_Tz51"

func TestWhatOneRecordOfASessionTellsIsPurgedFromAllOfThem(t *testing.T) {
	a := auditing{t, t.TempDir()}
	frame := func(at, developer, text string) exchange.Exchange {
		return a.archived(record.Document{Exchange: asked(at, developer, "gpt-5.1", used(1, 0, 1, 0)), Request: record.Message{
			Framing: "websocket", Body: `{"type":"response.create","input":[{"type":"function_call_output","output":` + quoted(text) + "}]}\n",
		}})
	}
	bare := frame("2026-02-16T09:00:00Z", "alice@example.com", "try "+testPassword+" there")
	telling := frame("2026-02-16T10:00:00Z", "alice@example.com", "postgres://app:"+testPassword+"@db.internal/app")
	later := frame("2026-02-17T10:00:00Z", "alice@example.com", "again "+testPassword)
	other := frame("2026-02-16T10:00:00Z", "bob@example.com", "my cat is called "+testPassword)
	a.run(1, "secrets", "audit", "2026-02-16", "2026-02-17", "--purge", "--yes")
	for _, c := range []struct {
		e    exchange.Exchange
		want string
	}{
		{bare, "try " + hole + " there"},
		{telling, "postgres://app:" + hole + "@db.internal/app"},
		{later, "again " + hole},
		{other, "my cat is called " + testPassword},
	} {
		if got := placeholders.ReplaceAllString(a.document(c.e).Request.Body, hole); !strings.Contains(got, c.want) {
			t.Errorf("a request is now %s, want %q in it", got, c.want)
		}
	}
}

func TestAPurgeKeepsWhatWasFoundBefore(t *testing.T) {
	a := auditing{t, t.TempDir()}
	const older = "__SECRET_github_token_ABCDEFGHIJKLMNOP__"
	body := `{"input":["postgres://app:` + testPassword + `@db.internal/app","` + older + `"]}`
	at := func(text string) int64 { return int64(strings.Index(body, text)) }
	e := asked("2026-02-16T09:00:00Z", "alice@example.com", "gpt-5.1", used(1, 0, 1, 0))
	e.Findings = []exchange.Finding{
		{Rule: "url-credentials", Fingerprint: "filled in below", Mode: exchange.Reported, Path: "input[0]", Offset: at(testPassword)},
		{Rule: "github-token", Fingerprint: "aa", Mode: exchange.Redacted, Path: "input[1]", Offset: at(older)},
		{Rule: "jwt", Fingerprint: "bb", Mode: exchange.Redacted, Path: "header X-Note", Offset: 3},
	}
	// The key is made by the first purge, which finds nothing on this day.
	keep := a.archived(record.Document{Exchange: asked("2026-02-01T09:00:00Z", "bob@example.com", "gpt-5.1", used(1, 0, 1, 0)), Request: record.Message{Body: "postgres://u:" + testPassword + "@h/x"}})
	a.run(1, "secrets", "audit", "2026-02-01", "--purge", "--yes")
	e.Findings[0].Fingerprint = a.document(keep).Exchange.Findings[0].Fingerprint
	a.archived(record.Document{Exchange: e, Request: record.Message{Header: http.Header{"X-Note": {"a b c"}}, Body: body}})

	a.run(1, "secrets", "audit", "2026-02-16", "--purge", "--yes")
	doc := a.document(e)
	want := slices.Clone(e.Findings)
	want[1].Offset = int64(strings.Index(doc.Request.Body, older))
	if diff := cmp.Diff(want, doc.Exchange.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if len(doc.Purged) != 1 || len(doc.Purged[0].Secrets) != 1 || doc.Purged[0].Secrets[0] != (record.PurgedSecret{Rule: "url-credentials", Fingerprint: want[0].Fingerprint, Places: 1}) {
		t.Errorf("notes %+v", doc.Purged)
	}
}

func TestARecordKeepsNoMoreFindingsThanItMay(t *testing.T) {
	a := auditing{t, t.TempDir()}
	e := asked("2026-02-16T09:00:00Z", "alice@example.com", "gpt-5.1", used(1, 0, 1, 0))
	for i := range exchange.MostFindings {
		e.Findings = append(e.Findings, exchange.Finding{Rule: "jwt", Fingerprint: fmt.Sprint(i), Mode: exchange.Redacted, Path: "uri"})
	}
	a.archived(record.Document{Exchange: e, Request: record.Message{Body: `{"input":"postgres://app:` + testPassword + `@db.internal/app"}`}})
	a.run(1, "secrets", "audit", "2026-02-16", "--purge", "--yes")
	findings := a.document(e).Exchange.Findings
	if len(findings) != exchange.MostFindings || !findings[0].New || findings[0].Mode != exchange.Reported {
		t.Errorf("%d findings, the first is %+v; want what is new at the head of %d", len(findings), findings[0], exchange.MostFindings)
	}
}

// breaking is an archive that fails after some records were put.
type breaking struct {
	record.Archive
	puts int
	err  error
}

func (b *breaking) Put(ctx context.Context, key string, doc io.Reader, size int64) error {
	if b.puts--; b.puts < 0 {
		return b.err
	}
	return b.Archive.Put(ctx, key, doc, size)
}

func TestAPurgeThatBreaksOffLeavesEachRecordOldOrNewAndIsRunAgain(t *testing.T) {
	a := auditing{t, t.TempDir()}
	all, planted := keepRecords(t, a.data, rand.New(rand.NewPCG(1, 9)), 12)
	old := map[string]string{}
	for _, k := range all {
		old[k.exchange.ID] = string(a.document(k.exchange).Request.Bytes()) + string(a.document(k.exchange).Response.Bytes()) + a.document(k.exchange).Request.URI
	}
	settings := &Settings{Data: a.data}
	rules, err := auditRules(t.Context(), settings, true)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := disk.NewArchive(settings.archiveDirectory())
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("the disk is full")
	first := time.Date(2026, 2, 16, 0, 0, 0, 0, time.UTC)
	audit := auditRun{
		console: &console{ctx: t.Context(), settings: settings, stdout: io.Discard, stderr: io.Discard},
		archive: &breaking{archive, 5, full}, first: first, last: first.AddDate(0, 0, 1), cleaner: newCleaner(rules),
	}
	seen, err := audit.survey()
	if err != nil {
		t.Fatal(err)
	}
	purged, err := audit.purge(seen)
	if err != nil || purged.holding != 5 || purged.unread != 7 {
		t.Fatalf("purged %+v, %v; want 5 records, and 7 that could not be", purged, err)
	}
	whole, noted := 0, 0
	for _, k := range all {
		doc := a.document(k.exchange)
		switch now := string(doc.Request.Bytes()) + string(doc.Response.Bytes()) + doc.Request.URI; {
		case len(doc.Purged) == 1:
			noted++
		case now == old[k.exchange.ID] && len(doc.Exchange.Findings) == 0:
			whole++
		}
	}
	if noted != 5 || whole != 7 {
		t.Errorf("%d records are new and %d old, want 5 and 7", noted, whole)
	}
	a.run(1, "secrets", "audit", "2026-02-16", "2026-02-17", "--purge", "--yes")
	a.run(0, "secrets", "audit", "2026-02-16", "2026-02-17")
	if said := a.run(0, "record", "show", all[0].exchange.ID); !strings.Contains(said, "UTC: placeholders were put in the place of ") {
		t.Errorf("a purged record says nothing of it:\n%s", said)
	}
	for path, content := range a.files() {
		for _, s := range planted {
			if traceOf(content, s.value) >= 0 {
				t.Errorf("%s holds a secret", filepath.Base(path))
			}
		}
	}
}

func TestAPurgeBesideAServerThatRecordsDisturbsNeither(t *testing.T) {
	a := auditing{t, t.TempDir()}
	keepRecords(t, a.data, rand.New(rand.NewPCG(2, 9)), 20)
	var busy []exchange.Exchange
	for i := range 300 {
		busy = append(busy, asked(fmt.Sprintf("2026-02-16T%02d:%02d:00Z", i/60, i%60), "alice@example.com", "gpt-5.1-codex", used(1000, 0, 10, 0)))
	}
	settled := make(chan error)
	go func() { settled <- settleExchanges(a.data, busy) }()
	a.run(1, "secrets", "audit", "2026-02-16", "2026-02-17", "--purge", "--yes")
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	a.run(0, "secrets", "audit", "2026-02-16", "2026-02-17")
	if said := a.run(0, "usage", "rebuild"); !strings.Contains(said, "Rebuilt the ledger from 320 records.\nIt agrees with the one before") {
		t.Errorf("a rebuild says %s", said)
	}
}
