package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"codex-proxy/internal/exchange"
)

// directory is an archive on a directory, for reading.
type directory string

func (d directory) Get(_ context.Context, key string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(d), filepath.FromSlash(key)))
}

func (d directory) Keys(_ context.Context, first, last time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		paths, err := filepath.Glob(filepath.Join(string(d), "*/*/*/*/*.json.zst"))
		if err != nil {
			yield("", err)
			return
		}
		for _, path := range paths {
			key, _ := filepath.Rel(string(d), path)
			key = filepath.ToSlash(key)
			day := strings.ReplaceAll(key[:len("2006/01/02")], "/", "-")
			if day < first.UTC().Format(time.DateOnly) || day > last.UTC().Format(time.DateOnly) {
				continue
			}
			if !yield(key, nil) {
				return
			}
		}
	}
}

func put(t testing.TB, archive directory, doc Document) exchange.Exchange {
	t.Helper()
	doc.Format = Format
	if doc.Exchange.ID == "" {
		doc.Exchange.ID = exchange.NewID(doc.Exchange.Started)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, archive, Key(doc.Exchange), raw)
	return doc.Exchange
}

func putRaw(t testing.TB, archive directory, key string, raw []byte) {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(string(archive), filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, encoder.EncodeAll(raw, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

var noon = time.Date(2026, 2, 16, 12, 0, 0, 0, time.UTC)

func by(developer string, started time.Time) exchange.Exchange {
	return exchange.Exchange{Developer: developer, Started: started, Outcome: exchange.Completed}
}

func around16th() Filter {
	return Filter{First: noon.AddDate(0, 0, -1), Last: noon.AddDate(0, 0, 1)}
}

// hits runs a search and returns "developer side before[match]after" of each hit.
func hits(t *testing.T, archive directory, filter Filter, query Query) []string {
	t.Helper()
	var all []string
	for searched, err := range Search(t.Context(), archive, filter, query) {
		if err != nil {
			t.Fatal(err)
		}
		for _, hit := range searched.Hits {
			all = append(all, fmt.Sprintf("%s %s %d %s[%s]%s", searched.Exchange.Developer, hit.Side, hit.Count, hit.Before, hit.Match, hit.After))
		}
	}
	return all
}

func TestATextIsFoundHoweverDeepItIsEscaped(t *testing.T) {
	said := "and then they\nsay \"hi\" — ok 😀"
	nested := said
	for depth := range 4 {
		archive := directory(t.TempDir())
		doc := Document{Exchange: by("alice@example.com", noon), Request: Message{Body: "<" + nested + ">"}}
		put(t, archive, doc)
		for _, text := range []string{`say "hi"`, "they\nsay", "ok 😀", said} {
			found := hits(t, archive, around16th(), Query{Text: text})
			if len(found) != 1 || !strings.Contains(found[0], "request 1 ") || !strings.Contains(found[0], "["+text+"]") {
				t.Errorf("escaped %d times, %q is found as %q", depth, text, found)
			}
		}
		quoted, _ := json.Marshal(nested)
		nested = string(quoted)
	}
}

func TestUnicodeEscapesAreFound(t *testing.T) {
	archive := directory(t.TempDir())
	put(t, archive, Document{Exchange: by("a", noon), Request: Message{Body: `{"t":"caf\u00e9 \ud83d\ude00 \u003cb\u003e"}`}})
	for _, text := range []string{"café", "é 😀 <b>"} {
		if found := hits(t, archive, around16th(), Query{Text: text}); len(found) != 1 {
			t.Errorf("%q is found as %q", text, found)
		}
	}
}

func TestATextAcrossChunksIsFoundOnce(t *testing.T) {
	archive := directory(t.TempDir())
	const text = `the "needle" of it`
	quoted, _ := json.Marshal(text)
	for i, escaped := range []string{text, strings.Trim(string(quoted), `"`)} {
		for shift := -len(escaped) - 2; shift <= 2; shift++ {
			doc := Document{Exchange: by(fmt.Sprint(i, shift), noon)}
			doc.Request.Body = strings.Repeat("x", 2*chunkSize+shift) + escaped + strings.Repeat("y", chunkSize)
			put(t, archive, doc)
		}
	}
	found := hits(t, archive, around16th(), Query{Text: text})
	if want := len(text) + len(quoted) - 2 + 10; len(found) != want {
		t.Fatalf("found %d of %d", len(found), want)
	}
	for _, hit := range found {
		if want := " request 1 " + strings.Repeat("x", around) + "[" + text + "]" + strings.Repeat("y", around); !strings.HasSuffix(hit, want) {
			t.Errorf("got %q", hit)
		}
	}
}

func TestTheMatcherAgreesWithAPlainSearch(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := []string{"a", "b", `\`, `"`, "\n", "é", `\\`, `\"`}
	text := func(n int) string {
		var out strings.Builder
		for range n {
			out.WriteString(letters[random.IntN(len(letters))])
		}
		return out.String()
	}
	for range 20_000 {
		body, wanted := text(40), text(1+random.IntN(3))
		found := newMatcher(Query{Text: wanted})
		for rest := []byte(body); len(rest) > 0; {
			size := 1 + random.IntN(len(rest))
			found.write(rest[:size])
			rest = rest[size:]
		}
		hit := found.close()
		want := false
		for reading, depth := body, 0; depth < depths; depth++ {
			want = want || strings.Contains(reading, wanted)
			var whole unescaper
			once, _ := whole.write([]byte(reading))
			reading = string(once)
			end, _ := whole.flush()
			reading += string(end)
		}
		if want != (hit.Count > 0) {
			t.Fatalf("%q in %q: found %v, want %v", wanted, body, hit, want)
		}
		if hit.Count > 0 && hit.Match != wanted {
			t.Fatalf("%q in %q: matched %q", wanted, body, hit.Match)
		}
	}
}

func TestBothSidesAndBytesThatAreNoTextAreSearched(t *testing.T) {
	archive := directory(t.TempDir())
	put(t, archive, Document{
		Exchange: by("alice@example.com", noon),
		Request:  Message{Body: "plain ", BodyBase64: []byte("\xff\xfe then a Needle here")},
		Response: &Message{Body: "no needles, yes: a needle"},
	})
	got := hits(t, archive, around16th(), Query{Text: "NEEDLE", IgnoreCase: true})
	want := []string{
		"alice@example.com request 1 plain \xff\xfe then a [Needle] here",
		"alice@example.com response 2 no [needle]s, yes: a needle",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := hits(t, archive, around16th(), Query{Text: "Straße ÉTÉ"}); got != nil {
		t.Errorf("found what is not there: %q", got)
	}
}

func TestCaseIsIgnoredInAnyScript(t *testing.T) {
	for _, pair := range [][2]string{{"ÉTÉ", "été"}, {"Привет", "ПРИВЕТ"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"Straße", "sTRAßE"}} {
		if !bytes.Equal(fold([]byte(pair[0])), fold([]byte(pair[1]))) {
			t.Errorf("%q and %q are taken for different", pair[0], pair[1])
		}
	}
}

func TestTheFilterChoosesWhatIsSearched(t *testing.T) {
	archive := directory(t.TempDir())
	for _, developer := range []string{"alice@example.com", "..", "a/b"} {
		for _, day := range []int{-2, -1, 0, 1, 2} {
			e := by(developer, noon.AddDate(0, 0, day))
			put(t, archive, Document{Exchange: e, Request: Message{Body: "needle"}})
		}
	}
	for _, developer := range []string{"alice@example.com", "..", "a/b"} {
		filter := around16th()
		filter.Developer = developer
		if found := hits(t, archive, filter, Query{Text: "needle"}); len(found) != 3 {
			t.Errorf("%s: %q", developer, found)
		}
	}
}

func TestADamagedRecordIsSaidAndTheRestIsSearched(t *testing.T) {
	archive := directory(t.TempDir())
	put(t, archive, Document{Exchange: by("alice@example.com", noon), Request: Message{Body: "needle"}})
	damaged := map[string]string{
		"breaks off":     `{"format":"codex-proxy/record/1","request":{"body":"need`,
		"another format": `{"format":"codex-proxy/record/9","request":{"body":"needle"}}`,
		"no JSON":        `hello`,
		"bad base64":     `{"request":{"body":"","body_base64":"!!!!"}}`,
		"deep":           `{"request":{"headers":` + strings.Repeat("[", 1_000_000),
		"not an object":  `{"request":"x"}`,
	}
	for name, raw := range damaged {
		e := by(name, noon)
		e.ID = exchange.NewID(noon)
		putRaw(t, archive, Key(e), []byte(raw))
	}
	found, failed := 0, 0
	for searched, err := range Search(t.Context(), archive, around16th(), Query{Text: "needle"}) {
		if err != nil {
			failed++
		}
		found += len(searched.Hits)
	}
	if found != 1 || failed != len(damaged) {
		t.Errorf("found %d, failed %d of %d", found, failed, len(damaged))
	}
}

func TestASearchThatIsStoppedLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	archive := directory(t.TempDir())
	for i := range 20 {
		put(t, archive, Document{Exchange: by("a", noon.Add(time.Duration(i)*time.Second)), Request: Message{Body: "needle"}})
	}
	for range Search(t.Context(), archive, around16th(), Query{Text: "needle"}) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range Search(ctx, archive, around16th(), Query{Text: "needle"}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled search yields %v", err)
		}
	}
}

func TestARecordIsFoundByAPartOfItsID(t *testing.T) {
	archive := directory(t.TempDir())
	one, two := by("alice@example.com", noon), by("bob@example.com", noon.AddDate(0, 0, 1))
	one.ID, two.ID = "019c6611-2200-7aaa-8bbb-0123456789ab", "019c6b37-8000-7ccc-8ddd-ba9876543210"
	one.Started, _ = exchange.IDTime(one.ID)
	two.Started, _ = exchange.IDTime(two.ID)
	put(t, archive, Document{Exchange: one})
	put(t, archive, Document{Exchange: two})
	now := two.Started
	for _, part := range []string{one.ID, strings.ToUpper(one.ID), one.ID[:10], "456789ab", " " + one.ID[20:]} {
		if doc, err := Open(t.Context(), archive, part, now); err != nil || doc.Exchange.ID != one.ID {
			t.Errorf("%s: %v, %v", part, doc, err)
		}
	}
	for part, want := range map[string]string{
		"6789ab":   "too short",
		"ffffffff": "no record has the id",
		"":         "too short",
		"../../..": "no record has the id",
	} {
		if _, err := Find(t.Context(), archive, part, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", part, err, want)
		}
	}
	if _, err := Find(t.Context(), archive, "ffffffff", now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown id is %v", err)
	}
	three := by("carol@example.com", noon)
	three.ID = one.ID[:30] + "000000"
	three.Started = one.Started
	put(t, archive, Document{Exchange: three})
	if _, err := Find(t.Context(), archive, one.ID[:10], now); err == nil || !strings.Contains(err.Error(), "several exchanges") {
		t.Errorf("two candidates: %v", err)
	}
}

func TestExchangesAreListedNewestFirstWithoutTheirBodies(t *testing.T) {
	archive := directory(t.TempDir())
	var want []string
	for i := range 5 {
		e := by("alice@example.com", noon.Add(time.Duration(i)*7*time.Hour))
		e.Model = []string{"gpt-5-codex", "gpt-5-mini"}[i%2]
		e = put(t, archive, Document{Exchange: e, Request: Message{Body: "x"}})
		if i%2 == 0 {
			want = append([]string{e.ID}, want...)
		}
	}
	filter := around16th()
	filter.Model = "gpt-5-codex"
	var got []string
	for e, err := range Exchanges(t.Context(), archive, filter) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.ID)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func FuzzUnescaper(f *testing.F) {
	f.Add(`a\n\ud83d\ude00\u00e9\x`, 3)
	f.Fuzz(func(t *testing.T, text string, at int) {
		var whole, parts unescaper
		all := func(u *unescaper, pieces ...string) string {
			var out strings.Builder
			for _, piece := range pieces {
				text, _ := u.write([]byte(piece))
				out.Write(text)
			}
			end, _ := u.flush()
			out.Write(end)
			return out.String()
		}
		at = min(max(at, 0), len(text))
		if one, two := all(&whole, text), all(&parts, text[:at], text[at:]); one != two {
			t.Errorf("%q in one piece is %q, cut at %d %q", text, one, at, two)
		}
	})
}

func BenchmarkSearch(b *testing.B) {
	archive := directory(b.TempDir())
	item := `{"type":"function_call_output","output":"{\"output\":\"func main() {\\n\\tfmt.Println(\\\"hello\\\")\\n}\",\"metadata\":{\"exit_code\":0}}"},`
	body := strings.Repeat(item, 200_000/len(item))
	for i := range 20 {
		put(b, archive, Document{Exchange: by("a", noon.Add(time.Duration(i)*time.Second)), Request: Message{Body: body}})
	}
	for _, ignoreCase := range []bool{false, true} {
		b.Run(fmt.Sprintf("ignoreCase=%v", ignoreCase), func(b *testing.B) {
			b.SetBytes(int64(20 * len(body)))
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range Search(b.Context(), archive, around16th(), Query{Text: "not in there", IgnoreCase: ignoreCase}) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
