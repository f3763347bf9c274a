package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tests here plant secrets of every form in the catalogue into requests as
// hostile as a generator makes them.

// drawForm draws a token of a pattern, with the text that it must stand in.
func drawForm(r *rand.Rand, p *pattern) (token, around string) {
	var b strings.Builder
	drawRun := func(set run) {
		var choices []byte
		for c := byte(' '); c < 0x7F; c++ {
			if set.set.has(c) && (alnum.has(c) || set.set&alnum == 0) {
				choices = append(choices, c)
			}
		}
		for range set.min + r.IntN(min(set.max-set.min, 8)+1) {
			b.WriteByte(choices[r.IntN(len(choices))])
		}
	}
	if p.before.max > 0 {
		drawRun(p.before)
	}
	begins := 0
	for i, part := range p.parts {
		if i == p.secret {
			begins = b.Len()
		}
		if part.literal != "" {
			b.WriteString(part.literal)
		} else {
			drawRun(part.run)
		}
	}
	if p.secret == 0 {
		begins = 0
	}
	return b.String()[begins:], b.String()
}

// formSamples draws a token for every pattern of the catalogue, and asks that
// each is found as it stands.
func formSamples(t testing.TB, r *rand.Rand, s *Scanner) []labelled {
	t.Helper()
	var all []labelled
	for _, f := range forms() {
		for _, spec := range f.patterns {
			p := compile(spec)
			found := false
			for try := 0; try < 20 && !found; try++ { // some draws read like documentation
				token, around := drawForm(r, &p)
				for _, m := range s.Scan([]byte(around+"\n"), nil) {
					if found = m.Class == Distinctive && around[m.Start:m.End] == token; found {
						all = append(all, labelled{kind: f.id, context: spec, text: around, secrets: []string{token}})
						break
					}
				}
			}
			if !found {
				_, around := drawForm(r, &p)
				t.Errorf("%s: %s is not found as it stands, as in %s", f.id, spec, around)
			}
		}
	}
	return all
}

// wrap puts a text into more layers of what tools print, of which at most two
// are base64 and two URLs.
func wrap(r *rand.Rand, text string, layers int) string {
	urls, base64s := 0, 0
	for range layers {
		kind := r.IntN(9)
		if kind == 2 {
			urls++
		} else if kind == 3 || kind == 6 {
			base64s++
		}
		if urls <= deepestURL && base64s <= deepestBase64 {
			text = wrapOnce(kind, text)
		}
	}
	return text
}

func wrapOnce(kind int, text string) string {
	switch kind {
	case 0:
		return `{"output":` + quote(text) + `,"metadata":{"exit_code":0}}`
	case 1:
		return `[1,{"a":[` + quote("x") + `,` + quote(text) + `]}]`
	case 2:
		return "see https://x.io/cb?next=" + url.QueryEscape(text) + "&ok=1"
	case 3:
		return "blob: " + base64.StdEncoding.EncodeToString([]byte("text: "+text+"\n"))
	case 4:
		return "$ cat x\n" + text + "\nTotal 3 \"files\" in C:\\tmp\\\n"
	case 5:
		return "@@ -1,2 +1,2 @@\n-a\n+b = " + quote(text) + "\n"
	case 6:
		return "data: " + base64.RawURLEncoding.EncodeToString([]byte("a "+text))
	case 7:
		return `{"msg":"it said \"hi\" \\ ","é\u00e9":` + quote(text) + `}` + "\n" + `{"msg":"next"}`
	}
	return text
}

// itemWith puts a text into one of the places that a request has for it.
func itemWith(r *rand.Rand, text string) string {
	q := quote(text)
	if r.IntN(3) == 0 { // as other encoders write it
		raw, _ := json.Marshal(text)
		q = strings.ReplaceAll(string(raw), "/", `\/`)
	}
	return strings.Replace([]string{
		`{"type":"function_call_output","call_id":"c","output":@}`,
		`{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":@},{"type":"input_text","text":"x"}]}`,
		`{"type":"function_call","call_id":"c","name":"f","arguments":@}`,
		`{"type":"custom_tool_call","call_id":"c","name":"apply_patch","input":@}`,
		`{"type":"local_shell_call","call_id":"c","status":"completed","action":{"type":"exec","command":["bash","-lc",@],"env":{}}}`,
		`{"type":"shell_call","call_id":"c","action":{"commands":["true",@],"timeout_ms":1}}`,
		`{"type":"mcp_call","id":"m","server_label":"s","name":"f","arguments":"{}","output":@}`,
		`{"type":"message","role":"user","content":[{"type":"input_text","text":@}]}`,
		`{"type":"message","role":"assistant","content":[{"type":"output_text","text":@,"annotations":[]}]}`,
		`{"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":@}],"encrypted_content":"gAAA"}`,
		`{"type":"of_next_year","deep":{"er":[[@]]}}`,
	}[r.IntN(11)], "@", q, 1)
}

// forms of a secret that must not be in what leaves.
func traces(secret string) []string {
	escaped := strings.Trim(quote(secret), `"`)
	all := []string{secret, escaped, strings.Trim(quote(escaped), `"`), url.QueryEscape(secret)}
	for shift := range 3 { // base64 of it inside of any text
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("a", shift) + secret))
		if inner := encoded[min(len(encoded), 4):max(4, len(encoded)-4)]; len(inner) > 12 {
			all = append(all, inner)
		}
	}
	return all
}

func redactAll(string, Class) Mode { return Redact }

// checkRedaction asks all that must hold of a body with the secrets in it.
func checkRedaction(t testing.TB, v *Vault, in string, planted []string) (Redaction, bool) {
	t.Helper()
	got, err := v.Redact([]byte(in))
	if err != nil {
		t.Errorf("Redact: %v, of %s", err, in)
		return got, false
	}
	for _, secret := range planted {
		for _, trace := range traces(secret) {
			if bytes.Contains(got.Body, []byte(trace)) {
				t.Errorf("%s left as %s\nin   %s\nfrom %s", secret, trace, got.Body, in)
				return got, false
			}
		}
	}
	if !json.Valid(got.Body) {
		t.Errorf("no JSON any more: %s\nfrom %s", got.Body, in)
		return got, false
	}
	copied, at := 0, 0
	for _, f := range got.Findings {
		if f.Start < copied || string(got.Body[at:f.At]) != in[copied:f.Start] || f.Placeholder != "" && !bytes.HasPrefix(got.Body[f.At:], []byte(f.Placeholder)) {
			t.Errorf("finding %+v: other bytes changed in %s\nfrom %s", f, got.Body, in)
			return got, false
		}
		copied, at = f.End, f.At+len(f.Placeholder)
		if f.Placeholder == "" {
			at = f.At + f.End - f.Start
		}
	}
	if string(got.Body[at:]) != in[copied:] {
		t.Errorf("the end changed in %s\nfrom %s", got.Body, in)
		return got, false
	}
	restorer := v.Restorer(RestoreAll)
	if restored, want := restorer.Body(keepNothing(got.Body)), keepNothing([]byte(in)); !bytes.Equal(restored, want) && !(strings.Contains(in, `\/`) && sameJSON(restored, want)) {
		t.Errorf("restored %s\nwant     %s\nfrom     %s", restored, in, got.Body)
		return got, false
	}
	return got, true
}

// sameJSON reports whether two documents say the same: a restored secret is
// written with the escapes that it needs, not with those that it had.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
}

// keepNothing gives items that keep their placeholders a type that does not.
func keepNothing(body []byte) []byte {
	return bytes.ReplaceAll(body, []byte(`"type":"reasoning"`), []byte(`"type":"reasonable"`))
}

// TestNoFormLeavesFromAnyPlace plants a token of every pattern in the catalogue,
// each under several layers of encoding, in every kind of item.
func TestNoFormLeavesFromAnyPlace(t *testing.T) {
	s := newScanner(t, Config{Key: testKey})
	r := rand.New(rand.NewPCG(11, 1))
	failures := 0
	for round := range 6 {
		for _, sample := range formSamples(t, r, s) {
			text := "KEY=" + sample.text
			if len(sample.text) != len(sample.secrets[0]) || strings.Contains(text, "://") {
				text = sample.text
			}
			text = wrap(r, text, r.IntN(5))
			v := NewVault(s, NewCache(10), redactAll)
			if _, ok := checkRedaction(t, v, body(itemWith(r, text), itemWith(r, wrap(r, "echo "+sample.secrets[0], 1))), sample.secrets); !ok {
				t.Logf("round %d: %s, %s", round, sample.kind, sample.context)
				if failures++; failures > 5 {
					t.FailNow()
				}
			}
		}
	}
}

// TestAnAnswerIsRestoredHoweverItComes streams what was redacted back, as text,
// as a call's arguments and as a tool's input, cut at random bytes.
func TestAnAnswerIsRestoredHoweverItComes(t *testing.T) {
	s := newScanner(t, Config{Key: testKey})
	r := rand.New(rand.NewPCG(12, 1))
	for n, sample := range positives() {
		if n%4 != 0 {
			continue
		}
		plain := wrap(r, sample.text, r.IntN(3))
		v := NewVault(s, NewCache(10), redactAll)
		got, ok := checkRedaction(t, v, body(output(plain)), nil)
		if !ok || len(got.Findings) == 0 {
			continue
		}
		var sent struct{ Input []struct{ Output string } }
		if err := json.Unmarshal(got.Body, &sent); err != nil {
			t.Fatal(err)
		}
		text := sent.Input[0].Output
		var pending [][]string
		items := []string{"output_text", "refusal", "function_call_arguments", "custom_tool_call_input", "mcp_call_arguments", "shell_call_command"}
		for i, kind := range items {
			var events []string
			for left := text; left != ""; {
				n := 1 + r.IntN(min(len(left), 24))
				for n < len(left) && left[n]&0xC0 == 0x80 {
					n++
				}
				piece, _ := json.Marshal(left[:n])
				events = append(events, fmt.Sprintf(`{"type":"response.%s.delta","item_id":"%d","output_index":%d,"content_index":0,"command_index":0,"delta":%s}`, kind, i, i, piece))
				left = left[n:]
			}
			last := fmt.Sprintf(`{"type":"response.%s.done","command_index":0,"item_id":"%d","output_index":%d,"content_index":0,"text":%s}`, kind, i, i, quote(text))
			switch i % 3 {
			case 1:
				last = fmt.Sprintf(`{"type":"response.output_item.done","output_index":%d,"item":{"id":"%d","type":"message","content":[{"text":%s}]}}`, i, i, quote(text))
			case 2:
				last = fmt.Sprintf(`{"type":"response.output_item.done","output_index":%d,"item":{"id":"%d","type":"local_shell_call","action":{"command":["x",%s]}}}`, i, i, quote(text))
			}
			pending = append(pending, append(events, last))
		}
		completed := `{"type":"response.completed","response":{"output":[{"type":"custom_tool_call","input":` + quote(text) + `}]}}`
		restorer := v.Restorer(RestoreAll)
		texts := map[string]string{}
		emit := func(event []byte) {
			var got struct {
				Type, Delta string
				ItemID      string `json:"item_id"`
			}
			if err := json.Unmarshal(event, &got); err != nil {
				t.Fatalf("the event %s is no JSON: %v", event, err)
			}
			if texts[got.ItemID] += got.Delta; !strings.HasSuffix(got.Type, ".delta") && !bytes.Contains(event, []byte(quote(plain))) {
				t.Fatalf("%s in %s: %s lacks %s", sample.kind, sample.context, event, quote(plain))
			}
		}
		for len(pending) > 0 {
			i := r.IntN(len(pending))
			restorer.Event([]byte(pending[i][0]), emit)
			if pending[i] = pending[i][1:]; len(pending[i]) == 0 {
				pending = append(pending[:i], pending[i+1:]...)
			}
		}
		restorer.Event([]byte(completed), emit)
		for i, kind := range items {
			if got := texts[fmt.Sprint(i)]; got != plain {
				t.Fatalf("%s in %s, as %s: %q, want %q", sample.kind, sample.context, kind, got, plain)
			}
		}
		if unknown := restorer.Unknown(); len(unknown) > 0 {
			t.Fatalf("unknown placeholders: %v", unknown)
		}
	}
}

// readable makes text of any bytes: what has many that are none is no text, and
// is not looked for in base64.
func readable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7F {
			return '.'
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
}

// FuzzCampaign lets the fuzzer choose the form, the wrapping and the place.
func FuzzCampaign(f *testing.F) {
	s := newScanner(f, Config{Key: testKey})
	samples := formSamples(f, rand.New(rand.NewPCG(1, 1)), s)
	for i := range uint64(8) {
		f.Add(i, i*31, "a ", " z")
	}
	f.Add(uint64(3), uint64(2), `{"k":"`, `\"}`)
	f.Add(uint64(4), uint64(9), "%22", "%")
	f.Fuzz(func(t *testing.T, one, two uint64, before, after string) {
		r := rand.New(rand.NewPCG(one, two))
		sample := samples[r.IntN(len(samples))]
		text := wrap(r, readable(before)+"\n"+sample.text+"\n"+readable(after), r.IntN(4))
		in := body(itemWith(r, text))
		if strings.Contains(in, placeholderHead) || len(in) > 1<<16 {
			return
		}
		checkRedaction(t, NewVault(s, NewCache(10), redactAll), in, sample.secrets)
	})
}
