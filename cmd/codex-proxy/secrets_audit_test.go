package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/sqlite"
)

// hole stands in an expected text where a placeholder must be.
const hole = "\u2b1a"

var placeholders = regexp.MustCompile(`__SECRET_[A-Za-z0-9_]+_[A-Z2-7]{16}__`)

// secret is a credential, and a text that gives it away.
type secret struct{ value, text string }

func (s secret) want() string { return strings.ReplaceAll(s.text, s.value, hole) }

func randomWord(r *rand.Rand, n int) string {
	const letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	word := make([]byte, n)
	for i := range word {
		word[i] = letters[r.IntN(len(letters))]
	}
	return string(word)
}

func randomSecret(r *rand.Rand) secret {
	value := randomWord(r, 7) + fmt.Sprint(r.IntN(90)+10) + "-" + randomWord(r, 9) + "_x4"
	switch r.IntN(3) {
	case 0:
		return secret{value, "DB=postgres://app:" + value + "@db.internal/app"}
	case 1:
		value = "glpat-" + randomWord(r, 20)
		return secret{value, "a token, " + value + " it is"}
	}
	return secret{value, "DB_PASSWORD=" + value}
}

func quoted(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // of a string it never fails
	return strings.TrimSpace(out.String())
}

// side is one body, and what a purge must make of it.
type side struct{ body, want string }

// wrapped is a text in which a secret stands, in one of the ways of tools.
func wrapped(r *rand.Rand, s secret) side {
	switch r.IntN(4) {
	case 0: // JSON inside a string
		return side{`{"output":` + quoted(s.text+"\n\"é\" <&>\u2028") + `,"n":1}`, `{"output":` + quoted(s.want()+"\n\"é\" <&>\u2028") + `,"n":1}`}
	case 1:
		return side{"$ cat .env | base64\n" + base64.StdEncoding.EncodeToString([]byte("A=1\n"+s.text+"\nB=2\n")) + "\n$", "$ cat .env | base64\n" + hole + "\n$"}
	case 2:
		return side{"A=1\n" + s.text + "\nB=\"2\"\n", "A=1\n" + s.want() + "\nB=\"2\"\n"}
	}
	return side{"\x1b[1m" + s.text + "\n\x1b[0m\\ C:\\x \"", "\x1b[1m" + s.want() + "\n\x1b[0m\\ C:\\x \""}
}

func randomRequest(r *rand.Rand, s secret) side {
	w := wrapped(r, s)
	make := func(text string) string {
		return "{ \"model\":\"gpt-5.1\", \"input\" : [{\"role\":\"user\",\"content\":\"hello\"},\n" +
			`{"type":"function_call_output","call_id":"c","output":` + quoted(text) + `},{"type":"reasoning","encrypted_content":"gAAA"}],"stream":true}`
	}
	switch r.IntN(4) {
	case 0: // cut off: no JSON
		return side{strings.TrimSuffix(make(s.text), `"}],"stream":true}`), strings.TrimSuffix(make(s.want()), `"}],"stream":true}`)}
	case 1: // neither JSON nor text
		return side{"\xff\x00--form\r\n\r\n" + s.text + "\r\n\xfe", "\xff\x00--form\r\n\r\n" + s.want() + "\r\n\xfe"}
	}
	return side{make(w.body), make(w.want)}
}

// randomAnswer streams a text in which a secret stands, cut anywhere.
func randomAnswer(r *rand.Rand, s secret, frames bool) side {
	before, after, _ := strings.Cut("It says: "+s.text+"\nDone.", s.value)
	var got, want strings.Builder
	event := func(out *strings.Builder, kind, rest string) {
		data := `{"type":"` + kind + `","item_id":"m","output_index":0` + rest + `}`
		if frames {
			out.WriteString(data + "\n")
		} else {
			out.WriteString("event: " + kind + "\ndata: " + data + "\n\n")
		}
	}
	delta := func(out *strings.Builder, text string) {
		event(out, "response.output_text.delta", `,"content_index":0,"delta":`+quoted(text))
	}
	event(&got, "response.created", `,"response":{"id":"resp_1"}`)
	event(&want, "response.created", `,"response":{"id":"resp_1"}`)
	// The text with a mark in the place of each byte of the secret but the first.
	text := before + hole + strings.Repeat("\x00", len(s.value)-1) + after
	for plain, rest := before+s.value+after, text; plain != ""; {
		n := min(1+r.IntN(9), len(plain))
		piece := ""
		for left := n; left > 0; left-- {
			size := 1
			if strings.HasPrefix(rest, hole) {
				size = len(hole)
			}
			if rest[0] != 0 {
				piece += rest[:size]
			}
			rest = rest[size:]
		}
		delta(&got, plain[:n])
		delta(&want, piece)
		plain = plain[n:]
	}
	item := func(text string) string {
		return `,"item":{"type":"message","content":[{"text":` + quoted(text) + `}]}`
	}
	event(&got, "response.output_item.done", item(before+s.value+after))
	event(&want, "response.output_item.done", item(before+hole+after))
	return side{got.String(), want.String()}
}

// kept is a record that was made, and what a purge must leave of it.
type kept struct {
	exchange          exchange.Exchange
	request, response side
	uri, header, err  side
	decoded           bool
}

func zipped(text string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text)) // into memory
	_ = w.Close()
	return out.Bytes()
}

// keepRecords takes records with secrets through the spool, as the proxy does.
func keepRecords(t *testing.T, data string, r *rand.Rand, n int) (all []kept, planted []secret) {
	t.Helper()
	settings := &Settings{Data: data}
	store, err := sqlite.OpenLedger(t.Context(), settings.ledgerFile())
	if err != nil {
		t.Fatal(err)
	}
	archive, err := disk.NewArchive(settings.archiveDirectory())
	if err != nil {
		t.Fatal(err)
	}
	spool, err := record.OpenSpool(settings.spoolDirectory(), record.Options{Archive: archive, Ledger: store.Add, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Date(2026, 2, 16, 9, 0, 0, 0, time.UTC)
	for i := range n {
		e := asked(began.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), []string{"alice@example.com", "bob@example.com"}[r.IntN(2)], "gpt-5.1-codex", used(1000, 0, 10, 0))
		frames := r.IntN(3) == 0
		if frames {
			e.Transport = exchange.WebSocket
		}
		s := randomSecret(r)
		planted = append(planted, s)
		k := kept{request: side{`{"input":"hello"}`, `{"input":"hello"}`}, uri: side{"/v1/responses?q=1;b", "/v1/responses?q=1;b"}}
		place := r.IntN(6)
		if place <= 1 {
			k.request = randomRequest(r, s)
		}
		k.response = randomAnswer(r, secret{"nothing", "nothing"}, frames)
		k.response.want = k.response.body
		switch place {
		case 1, 2: // 1: also what the request had, where nothing tells
			k.response = randomAnswer(r, s, frames)
		case 3:
			text := "Bearer of postgres://u:" + s.value + "@h/x"
			k.header, planted[i].text = side{text, strings.ReplaceAll(text, s.value, hole)}, text
		case 4:
			text := "postgres://u:" + s.value + "@h/x"
			k.uri = side{"/v1/responses?next=" + text, "/v1/responses?next=" + strings.ReplaceAll(text, s.value, hole)}
		case 5:
			body := func(value string) string {
				return `{"error":{"message":"bad: postgres://u:` + value + `@h/x"}}` + "\n"
			}
			k.response = side{body(s.value), body(hole)}
			k.err = side{"bad: postgres://u:" + s.value + "@h/x", "bad: postgres://u:" + hole + "@h/x"}
			e.Status, e.Outcome, e.Error, e.ErrorOrigin = 400, exchange.Failed, k.err.body, exchange.OriginOpenAI
		}
		request := record.Message{Method: e.Method, URI: k.uri.body, Header: http.Header{"User-Agent": {"codex"}}}
		if k.header.body != "" {
			request.Header["X-Note"] = []string{"first", k.header.body}
		}
		body := []byte(k.request.body)
		if k.decoded = place == 0 && r.IntN(2) == 0; k.decoded {
			request.Header["Content-Encoding"] = []string{"gzip"}
			body = zipped(k.request.body)
		}
		if frames {
			request.Framing = "websocket"
		}
		w, err := spool.Open(t.Context(), e, request)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteRequest(body); err != nil {
			t.Fatal(err)
		}
		w.Answer(e.Status, http.Header{"X-Request-Id": {"req_1"}})
		if err := w.WriteResponse([]byte(k.response.body)); err != nil {
			t.Fatal(err)
		}
		w.Close(e)
		k.exchange = e
		all = append(all, k)
	}
	if err := spool.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return all, planted
}

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
	if err := archiveDocument(filepath.Join(a.data, "archive"), doc); err != nil {
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
	rules, err := auditRules(settings, true)
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
	for path, content := range a.files() {
		for _, s := range planted {
			if traceOf(content, s.value) >= 0 {
				t.Errorf("%s holds a secret", filepath.Base(path))
			}
		}
	}
}
