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
	"unicode/utf8"
)

var testKey = Key{1, 2, 3}

func newVault(t testing.TB) *Vault {
	t.Helper()
	return NewVault(newScanner(t, Config{Key: testKey}), NewCache(1000), DefaultPolicy)
}

func mustRedact(t testing.TB, v *Vault, body string) Redaction {
	t.Helper()
	got, err := v.Redact([]byte(body))
	if err != nil {
		t.Fatalf("Redact: %v", err)
	}
	return got
}

func body(items ...string) string {
	return `{"model":"gpt-5","instructions":"Help.","input":[` + strings.Join(items, ",") + `],"stream":true}`
}

func output(text string) string {
	return `{"type":"function_call_output","call_id":"call_1","output":` + quote(text) + `}`
}

const testPassword = "kW8-xP2q_Tz51"

var testURL = "postgres://app:" + testPassword + "@db.internal/app"

func TestOnlyTheSecretsBytesChange(t *testing.T) {
	v := newVault(t)
	in := body(output("A=1\nDB=" + testURL + "\n"))
	got := mustRedact(t, v, in)
	if len(got.Findings) != 1 || !strings.HasPrefix(got.Findings[0].Placeholder, "__SECRET_url_credentials_") {
		t.Fatalf("findings %+v, want one placeholder for a URL's password", got.Findings)
	}
	f := got.Findings[0]
	if f.Path != "input[0].output" || !f.New || f.Mode != Redact {
		t.Errorf("finding %+v, want a new one at input[0].output", f)
	}
	if want := in[:f.Start] + f.Placeholder + in[f.End:]; string(got.Body) != want {
		t.Errorf("body %s, want %s", got.Body, want)
	}
	if !bytes.HasPrefix(got.Body[f.At:], []byte(f.Placeholder)) {
		t.Errorf("the placeholder is not at byte %d of %s", f.At, got.Body)
	}
}

func TestACleanBodyIsTheVerySlice(t *testing.T) {
	in := []byte(body(output("nothing here")))
	got, err := newVault(t).Redact(in)
	if err != nil || &got.Body[0] != &in[0] {
		t.Errorf("a clean body was copied (%v)", err)
	}
}

func TestThePlaceholderIsTheSameInEveryTurnAndAfterARestart(t *testing.T) {
	first := mustRedact(t, newVault(t), body(output(testURL)))
	second := mustRedact(t, newVault(t), body(output(testURL), `{"type":"message","role":"assistant","content":[]}`, output("more "+testURL)))
	if n := bytes.Count(second.Body, []byte(first.Findings[0].Placeholder)); n != 2 {
		t.Errorf("the first turn's placeholder occurs %d times in the second, want 2: %s", n, second.Body)
	}
	if second.Findings[0].New || !second.Findings[1].New {
		t.Errorf("new: %v, %v, want only what follows the model's last item", second.Findings[0].New, second.Findings[1].New)
	}
}

func TestOnceRedactedAlwaysRedacted(t *testing.T) {
	inner := base64.StdEncoding.EncodeToString([]byte("only " + testPassword + " inside of a text"))
	for name, echo := range map[string]string{
		"plain":             "I use " + testPassword + " here",
		"inside arguments":  `{"command":["echo","` + testPassword + `"]}`,
		"json in json":      quote(quote(quote("x" + testURL))),
		"percent-encoded":   "a=" + url.QueryEscape("{"+testPassword+"}"),
		"base64 of a text":  "see " + inner,
		"an unlikely place": "value=" + testPassword,
	} {
		got := mustRedact(t, newVault(t), body(output(testURL), `{"type":"function_call","call_id":"c","name":"shell","arguments":`+quote(echo)+`}`))
		if bytes.Contains(got.Body, []byte(testPassword)) || bytes.Contains(got.Body, []byte(inner)) {
			t.Errorf("%s: the secret left: %s", name, got.Body)
		}
		if len(got.Findings) != 2 {
			t.Errorf("%s: %d findings, want 2", name, len(got.Findings))
		}
	}
}

func TestAConnectionRemembersWhatItRedacted(t *testing.T) {
	v := newVault(t)
	mustRedact(t, v, body(output(testURL)))
	got := mustRedact(t, v, `{"type":"response.create","previous_response_id":"resp_1","input":[`+output("echo "+testPassword)+`]}`)
	if bytes.Contains(got.Body, []byte(testPassword)) {
		t.Errorf("the secret left with the next frame: %s", got.Body)
	}
}

func TestWhatMustNotBeTouchedIsNot(t *testing.T) {
	id := `"sk_live_` + strings.Repeat("4eC39HqLyjWDarjtT1zdp7dc", 2) + `"`
	image := `"data:image/png;base64,iVBORw0KGgo` + strings.Repeat("AKIAQ3EGRJ7X5LWNZ4TD", 9) + `=="`
	cipher := `"gAAAAAB` + strings.Repeat("AKIAQ3EGRJ7X5LWNZ4TD-_", 9) + `=="`
	raw := `"/+MYxAAE` + strings.Repeat("AKIAQ3EGRJ7X5LWNZ4TD+/", 9) + `"`
	for _, in := range []string{
		body(`{"type":"reasoning","id":` + id + `,"encrypted_content":` + cipher + `}`),
		body(`{"type":"function_call_output","call_id":` + id + `,"output":"x"}`),
		body(`{"type":"mcp_approval_response","approval_request_id":` + id + `}`),
		chat(`{"role":"assistant","tool_calls":[{"id":` + id + `}],"audio":{"id":` + id + `}},{"role":"tool","tool_call_id":` + id + `}`),
		`{"prompt_cache_key":` + id + `,"safety_identifier":` + id + `,"previous_response_id":` + id + `,"model":` + id + `,"input":[]}`,
		`{"conversation":` + id + `,"input":[]}`, `{"conversation":{"id":` + id + `},"prompt":{"id":` + id + `},"input":[]}`,
		body(`{"type":"message","content":[{"type":"input_image","image_url":` + image + `},{"type":"input_image","file_id":` + id + `},{"type":"input_file","file_data":` + image + `}]}`),
		body(`{"type":"custom_tool_call_output","output":[{"type":"input_image","image_url":` + image + `}]}`),
		body(`{"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":` + image + `}}`),
		body(`{"type":"message","content":[{"type":"input_audio","input_audio":{"data":` + raw + `}},{"type":"image_url","image_url":{"url":` + image + `}}]}`),
		body(`{"type":"compaction","encrypted_content":`+cipher+`}`, `{"type":"agent_message","content":[{"type":"encrypted_content","encrypted_content":`+cipher+`}]}`),
		body(`{"result":` + raw + `,"type":"image_generation_call"}`),
		`{"images":[{"image_url":` + image + `}],"mask":{"image_url":` + image + `},"prompt":"x"}`,
	} {
		if got := mustRedact(t, newVault(t), in); string(got.Body) != in || len(got.Findings) != 0 {
			t.Errorf("changed %s to %s", in, got.Body)
		}
	}
}

// TestOnlyDocumentedPlacesAreExempt puts a secret under the names of exempt members
// elsewhere, and what is no id and no data where those are expected.
func TestOnlyDocumentedPlacesAreExempt(t *testing.T) {
	u := quote(testURL)
	for _, in := range []string{
		body(`{"type":"reasoning","id":` + u + `}`), body(`{"type":"reasoning","encrypted_content":` + u + `}`),
		body(`{"type":"message","thing":{"id":` + u + `}}`), body(`{"type":"message","content":[{"id":` + u + `}]}`),
		body(`{"type":"message","thing_id":` + u + `}`), body(`{"type":"message","call_id":[` + u + `]}`),
		body(`{"type":"message","model":` + u + `}`), body(`{"type":"message","prompt_cache_key":` + u + `}`),
		body(`{"type":"message","content":[{"type":"input_image","image_url":` + u + `}]}`),
		body(`{"type":"message","content":[{"type":"input_image","image_url":{"url":` + u + `}}]}`),
		body(`{"type":"message","content":[{"type":"input_file","file_url":` + u + `,"filename":"x"}]}`),
		body(`{"type":"message","content":[{"type":"input_file","filename":` + u + `}]}`),
		body(`{"type":"message","content":[{"type":"input_file","file_data":` + u + `}]}`),
		body(`{"type":"message","content":[{"type":"input_file","file_data":"data:text/plain;base64,` + base64.StdEncoding.EncodeToString([]byte("DB="+testURL+"\n"+strings.Repeat("more ", 40))) + `"}]}`),
		body(`{"type":"message","content":[{"type":"input_image","image_url":"data:image/png;x=` + testURL + `;base64,` + strings.Repeat("iVBORw0KGgoA", 20) + `"}]}`),
		body(`{"type":"message","content":[{"type":"input_audio","input_audio":{"data":` + u + `}}]}`),
		body(`{"type":"message","status":` + u + `}`), body(`{"type":` + u + `}`), body(`{"role":` + u + `}`),
		body(`{"type":"function_call","name":` + u + `,"arguments":"{}"}`), body(`{"type":"function_call","namespace":` + u + `}`),
		body(`{"content":` + u + `,"type":"compaction"}`), body(`{"result":` + u + `,"type":"image_generation_call"}`),
		body(`{"type":"additional_tools","tools":[{"type":"namespace","name":"n","tools":[{"name":` + u + `}]}]}`),
		body(`{"type":"additional_tools","tools":[{"type":"function","name":"n","parameters":{"properties":{"a":{"default":` + u + `}}}}]}`),
		`{"tools":[{"type":"mcp","server_url":` + u + `}]}`, `{"tools":[{"type":"mcp","authorization":` + u + `}]}`,
		`{"tools":[{"type":"mcp","headers":{"X-Key":` + u + `}}]}`, `{"tool_choice":{"name":` + u + `}}`,
		`{"text":{"format":{"schema":{"enum":[` + u + `]}}}}`, `{"metadata":{"a":` + u + `}}`, `{"user_id":` + u + `}`, `{"id":` + u + `}`,
		`{"model":` + u + `}`, `{"model":{"id":` + u + `}}`, `{"service_tier":` + u + `}`, `{"include":[` + u + `]}`,
		`{"metadata":{` + u + `:"x"}}`, `{` + u + `:1}`, body(`{"type":"message","thing":{` + u + `:{"password":"kW8xPqqTz51aB"}}}`),
		`{"a\"b:` + testURL + `" : 1}`,
	} {
		got := mustRedact(t, newVault(t), in)
		if bytes.Contains(got.Body, []byte(testPassword)) || bytes.Contains(got.Body, []byte("REI9cG9zdGdyZXM")) || !json.Valid(got.Body) {
			t.Errorf("the secret left in %s", got.Body)
		}
		for _, f := range got.Findings {
			if strings.Contains(f.Path, testPassword) {
				t.Errorf("the path %q quotes the secret", f.Path)
			}
		}
	}
}

func TestEveryTextThatLeavesIsLookedInto(t *testing.T) {
	u := quote(testURL)
	for _, in := range []string{
		`{"instructions":` + u + `}`,
		`{"input":` + u + `}`,
		body(`{"type":"message","role":"user","content":[{"type":"input_text","text":` + u + `}]}`),
		body(`{"type":"reasoning","summary":[{"type":"summary_text","text":` + u + `}],"encrypted_content":"x"}`),
		body(`{"type":"function_call","name":"f","arguments":` + quote(`{"a":`+u+`}`) + `}`),
		body(`{"type":"custom_tool_call","name":"f","input":` + u + `}`),
		body(`{"type":"custom_tool_call_output","output":[{"type":"input_text","text":` + quote(`{"output":`+u+`}`) + `}]}`),
		body(`{"type":"a_type_of_next_year","things":{"deep":[[` + u + `]]}}`),
		body(`{"type":"mcp_call","output":` + u + `}`),
		`{"tools":[{"type":"function","name":"f","description":` + u + `}]}`,
	} {
		if got := mustRedact(t, newVault(t), in); bytes.Contains(got.Body, []byte(testPassword)) || len(got.Findings) != 1 {
			t.Errorf("missed in %s", in)
		}
	}
	named := `{"type":"mcp_call","result":{"db_password":"` + testPassword + `"}}`
	if got := mustRedact(t, newVault(t), body(named)); len(got.Findings) != 1 || got.Findings[0].Mode != Report {
		t.Errorf("findings %+v in %s, want one reported", got.Findings, named)
	}
}

func TestAnyJSONIsRedacted(t *testing.T) {
	for in, path := range map[string]string{
		quote("DB=" + testURL):                                   "",
		` [1, {"output": ` + quote("DB="+testURL) + `}] `:        "[1].output",
		`[` + output(`{"output":`+quote("x "+testURL)+`}`) + `]`: "[0].output",
	} {
		got := mustRedact(t, newVault(t), in)
		if len(got.Findings) != 1 || got.Findings[0].Path != path || !got.Findings[0].New || bytes.Contains(got.Body, []byte(testPassword)) {
			t.Errorf("Redact(%s): %s, %+v; want a new secret at %q replaced", in, got.Body, got.Findings, path)
		}
	}
	for _, in := range []string{`[]`, `""`, `1`, ` null `} {
		if got := mustRedact(t, newVault(t), in); string(got.Body) != in {
			t.Errorf("Redact(%s): %s", in, got.Body)
		}
	}
}

func TestTextThatIsNoJSONIsRedacted(t *testing.T) {
	v := newVault(t)
	pem := "-----BEGIN PRIVATE KEY-----\n" + draw(rand.New(rand.NewPCG(1, 1)), stdSet, 64) + "\n-----END PRIVATE KEY-----"
	text := "x=\"\\ " + testURL + "\n{\"output\": " + quote("k: "+pem) + "}\n" + `C:\new ` + testPassword
	got := v.RedactText([]byte(text))
	if len(got.Findings) != 3 || bytes.Contains(got.Body, []byte(testPassword)) || bytes.Contains(got.Body, []byte("BEGIN")) {
		t.Fatalf("RedactText: %s, %+v; want three secrets replaced", got.Body, got.Findings)
	}
	restored := text[:0]
	copied := 0
	for _, f := range got.Findings {
		if f.Path != "" || !f.New || !bytes.HasPrefix(got.Body[f.At:], []byte(f.Placeholder)) {
			t.Errorf("finding %+v, want a new one without a path, at its place", f)
		}
		restored += string(got.Body[copied:f.At]) + text[f.Start:f.End]
		copied = f.At + len(f.Placeholder)
	}
	if restored += string(got.Body[copied:]); restored != text {
		t.Errorf("other bytes changed: %s, want %s", restored, text)
	}
	if back, rest, _ := v.Restorer(RestoreAll).restore(nil, got.Body, &depth{}, false); string(back)+string(rest) != text {
		t.Errorf("restored %s, want %s", back, text)
	}
	clean := []byte("trace-7; a=b")
	if got := v.RedactText(clean); &got.Body[0] != &clean[0] || got.Findings != nil {
		t.Errorf("clean text became %s, %+v", got.Body, got.Findings)
	}
	reported := v.RedactText([]byte("a " + testURL + " password=xK3!fGh92"))
	if n := len(reported.Findings); n != 2 || string(reported.Body[reported.Findings[1].At:]) != "xK3!fGh92" {
		t.Errorf("findings %+v in %s, want the second where it stands", reported.Findings, reported.Body)
	}
}

func TestABodyThatIsNoJSONInUTF8IsAnError(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, in := range []string{
		``, ` `, `[`, `"a`, `[1] 2`, `{"input":[`, `{"a":"b}`, `{"a" 1}`, `{"a":1} x`, `{"input":[{"a":1]}`, `{"input":[` + deep(500) + `]}`, `{"a":` + deep(500) + `}`, deep(500),
		`{"input":[]}{"input":[]}`, `{"input":[{}]}` + "\x00", "\xef\xbb\xbf{}", `{"a":NaN}`, `{"a":Infinity}`, `{"a":01}`, `{"a":1.}`, `{"a":+1}`, `{"a":-}`, `{"a":1e}`, `{"a":.5}`, `{"a":1,}`, `[1,]`, `{"input":[1,]}`,
		`{"input":[{"a":1,}]}`, `{"input":[{"a":1 "b":2}]}`, `{"input":[{"a":[1 2]}]}`, `{"input":[{"a":"b":"c"}]}`, `{"input":[{,}]}`, `{"a":{"b"}}`, `{'a':1}`, `{a:1}`, `// x` + "\n{}",
		`{"a":"\x41"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"input":["\q"]}`, `{"\q":1}`, `{"x":{"\q":1}}`,
		"{\"a\":\"\n\"}", "{\"a\":\"\x00\"}", "{\"input\":[\"12345678\x1f\"]}", "{\"\x01\":1}", "{\"a\":\"\xff\"}", "{\"input\":[\"\xed\xa0\x80\"]}", "{\"\xc3\":1}", "{\"model\":\"\xc3\"}",
		"{\x00\"\x00a\x00\"\x00:\x001\x00}\x00", "\x00{\x00\"\x00a\x00\"\x00:\x001\x00}", "\xff\xfe{\x00}\x00", "{\x00\x00\x00}\x00\x00\x00", "\x1f\x8b\x08\x00", "a=b&c=d",
	} {
		if _, err := newVault(t).Redact([]byte(in)); err == nil {
			t.Errorf("Redact(%.40q): no error", in)
		} else if json.Valid([]byte(in)) && !strings.Contains(in, "[[[[") && utf8.ValidString(in) {
			t.Errorf("Redact(%.40q): %v", in, err)
		}
	}
	for _, in := range []string{
		`{}`, `[]`, " {\"a\" :\t1\r\n} ", `{"a":1,"a":2}`, `{"a":"\ud800 \uDC00\u0000\/\b"}`, `{"":-0.0e+10}`, `{"input":[null,true,-1,"é\u2028"]}`, `{"a":` + deep(199) + `}`, "{\"a\":\"\x7f\u2028\"}",
	} {
		if got, err := newVault(t).Redact([]byte(in)); err != nil || string(got.Body) != in {
			t.Errorf("Redact(%.40q): %v", in, err)
		}
	}
}

// FuzzValid asks that what passes for JSON is JSON to others too.
func FuzzValid(f *testing.F) {
	for _, seed := range []string{`{"input":[{"a":"b\\"}],"c":1}`, `[1,2]`, `{"a":-0.1e5}`, `{"input":[1,{"type":"message"}],"input":[2]}`} {
		f.Add([]byte(seed))
	}
	s := newScanner(f, Config{Key: testKey})
	f.Fuzz(func(t *testing.T, in []byte) {
		_, err := NewVault(s, NewCache(10), DefaultPolicy).Redact(in)
		if valid := json.Valid(in) && utf8.Valid(in); valid != (err == nil) && !strings.Contains(fmt.Sprint(err), "levels") {
			t.Fatalf("Redact(%q): %v, valid: %t", in, err, valid)
		}
	})
}

// planted is a body with secrets in it, in several encodings.
func planted(r *rand.Rand) (string, []string) {
	var items, all []string
	for i := range 1 + r.IntN(6) {
		secret := shape(r, "<a8>-<a12>_<a3>")
		pem := "-----BEGIN PRIVATE KEY-----\n" + draw(r, stdSet, 64) + "\n" + draw(r, stdSet, 40) + "\n-----END PRIVATE KEY-----"
		text := "x=1\nDB=postgres://app:" + secret + "@db/app\n"
		all = append(all, secret)
		switch r.IntN(6) {
		case 0:
			text = `{"output":` + quote(text) + `,"metadata":{}}`
		case 1:
			text = "blob: " + base64.StdEncoding.EncodeToString([]byte(text))
		case 2:
			all = append(all, pem[28:80])
			text += pem + "\n"
		case 3:
			all = append(all, pem[28:80])
			text = `{"type":"service_account","private_key":` + quote(pem+"\n") + `,"n":"` + fmt.Sprint(i) + `","dsn":` + quote(text) + `}`
		case 4:
			odd := secret[:5] + `"\` + secret[5:]
			text = `{"note":"x","env":{"AWS":"` + withChecksum("ghp_"+draw(r, alnumSet, 36)) + `"},"out":` + quote(`SECRET="postgres://u:`+secret+`@h/x" `+quote(odd)) + `}`
		case 5:
			text = "see https://x.io/?next=" + url.QueryEscape(strings.TrimSpace(text)[4:]) + " ok"
		}
		items = append(items, output(text))
		if r.IntN(2) == 0 {
			items = append(items, `{"type":"message","role":"assistant","content":[{"type":"output_text","text":`+quote("again "+secret)+`}]}`)
		}
	}
	return body(items...), all
}

// TestRedactThenRestoreIsTheIdentity plants secrets at random and asks that none
// leaves, and that restoring gives back the very bytes.
func TestRedactThenRestoreIsTheIdentity(t *testing.T) {
	for n := range uint64(400) {
		in, secrets := planted(rand.New(rand.NewPCG(n, 7)))
		v := newVault(t)
		got := mustRedact(t, v, in)
		for _, s := range secrets {
			for _, form := range []string{s, base64.StdEncoding.EncodeToString([]byte(s)), url.QueryEscape(s)} {
				if bytes.Contains(got.Body, []byte(form)) {
					t.Fatalf("body %d: a planted secret left in %s", n, got.Body)
				}
			}
		}
		if !json.Valid(got.Body) {
			t.Fatalf("body %d: the redacted body is no JSON: %s", n, got.Body)
		}
		if restored := v.Restorer(RestoreAll).Body(got.Body); string(restored) != in {
			t.Fatalf("body %d: restored %s\nwant %s", n, restored, in)
		}
	}
}

// FuzzRedact asks the same of any text around a secret.
func FuzzRedact(f *testing.F) {
	f.Add("before ", " after", 0)
	f.Add(`{"key": "`, `"}`, 1)
	f.Add("a\\", "\"", 2)
	s := newScanner(f, Config{Key: testKey})
	f.Fuzz(func(t *testing.T, before, after string, depth int) {
		text := before + " " + testURL + " " + after
		for range depth & 3 {
			text = `{"output":` + quote(text) + `}`
		}
		in := body(output(text))
		v := NewVault(s, NewCache(10), DefaultPolicy)
		got := mustRedact(t, v, in)
		if bytes.Contains(got.Body, []byte(testPassword)) || !json.Valid(got.Body) {
			t.Fatalf("the secret left, or the body broke: %s", got.Body)
		}
		restored := v.Restorer(RestoreAll).Body(got.Body)
		if len(v.Restorer(RestoreAll).Unknown()) == 0 && string(restored) != in {
			t.Fatalf("restored %s\nwant %s", restored, in)
		}
	})
}

func TestAnItemIsKnownByItsHash(t *testing.T) {
	s, cache := newScanner(t, Config{Key: testKey}), NewCache(100)
	in := body(output(testURL), output("x"))
	first, err := NewVault(s, cache, DefaultPolicy).Redact([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	n := len(cache.young)
	second, err := NewVault(s, cache, DefaultPolicy).Redact([]byte(in))
	if err != nil || !bytes.Equal(first.Body, second.Body) || len(cache.young) != n {
		t.Errorf("the second time gave another body or scanned again (%v)", err)
	}
	for i := range 1000 {
		cache.add(cacheKey{length: i}, nil)
	}
	if n := len(cache.young) + len(cache.old); n > 200 {
		t.Errorf("the cache holds %d items, want at most 200", n)
	}
}

// TestManySecretsAreAllRemembered plants more than a program's tables would
// have room for if they did not grow.
func TestManySecretsAreAllRemembered(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var all []string
	var text strings.Builder
	for range 20000 {
		secret := draw(r, alnumSet, 18)
		all = append(all, secret)
		text.WriteString("postgres://u:" + secret + "@h/d\n")
	}
	got := mustRedact(t, newVault(t), body(output(text.String()), output(strings.Join(all, " "))))
	if len(got.Findings) != 2*len(all) {
		t.Errorf("%d findings, want %d", len(got.Findings), 2*len(all))
	}
}

func TestWhatIsNoLiteralIsNoJSON(t *testing.T) {
	vault := NewVault(newScanner(t, Config{}), NewCache(16), DefaultPolicy)
	for _, body := range []string{`{"input":secret}`, `{"input":[1,nul]}`, `{"model":x}`, `[true,False]`, `{"schema":{"a":secret}}`, `{"n":1"x"}`} {
		if _, err := vault.Redact([]byte(body)); err == nil {
			t.Errorf("%s passes for JSON", body)
		}
	}
	for _, body := range []string{`{"input":null,"n":-1.5e+3,"t":[true,false,0]}`, `3`} {
		if _, err := vault.Redact([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}
