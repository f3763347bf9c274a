package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sse writes events as upstream sends them.
func sse(events ...string) string {
	var b strings.Builder
	for _, e := range events {
		var head struct{ Type string }
		_ = json.Unmarshal([]byte(e), &head) // [DONE] has no type
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", head.Type, e)
	}
	return b.String()
}

func textDelta(text string) string {
	return `{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":` + quote(text) + `}`
}

func TestASecretSplitOverDeltasIsReplacedInAllOfThem(t *testing.T) {
	token := withChecksum("ghp_0f3Qz81LmR7tYv2Kx9Bn4WsPd6Hc5Ja7Ge1Tu")
	for name, write := range map[string]func(...string) string{
		"server-sent events": sse,
		"frames":             func(events ...string) string { return strings.Join(events, "\n") + "\n" },
	} {
		v := newVault(t)
		other := `{"type":"response.reasoning_text.delta","item_id":"rs_1","output_index":1,"delta":"between"}`
		done := func(text string) string {
			return `{"type":"response.output_text.done","item_id":"msg_1","output_index":0,"content_index":0,"text":` + quote(text) + `}`
		}
		in := write(textDelta("use \""+token[:9]), other, textDelta(token[9:20]), textDelta(token[20:]+"\" now\n"), done(`use "`+token+`" now`))
		got := v.RedactStream([]byte(in))
		if len(got.Findings) != 2 {
			t.Fatalf("%s: findings %+v, want one in the deltas and one in the whole text", name, got.Findings)
		}
		placeholder := got.Findings[0].Placeholder
		want := write(textDelta("use \""+placeholder), other, textDelta(""), textDelta("\" now\n"), done(`use "`+placeholder+`" now`))
		if diff := cmp.Diff(want, string(got.Body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for i, path := range []string{"events[0].delta", "events[4].text"} {
			f := got.Findings[i]
			if f.Path != path || f.Placeholder != placeholder || !f.New || !bytes.HasPrefix(got.Body[f.At:], []byte(placeholder)) {
				t.Errorf("%s: finding %+v, want one of the placeholder at %s", name, f, path)
			}
		}
		if end := bytes.LastIndex(got.Body, []byte(`" now`)); got.Moved(strings.LastIndex(in, `" now`)) != end || got.Moved(0) != 0 {
			t.Errorf("%s: what stands at byte %d is said to have moved to %d", name, end, got.Moved(strings.LastIndex(in, `" now`)))
		}
		if again := v.RedactStream(got.Body); len(again.Findings) > 0 || &again.Body[0] != &got.Body[0] {
			t.Errorf("%s: found again: %+v", name, again.Findings)
		}
	}
}

func TestAPartOfASecretInADeltaIsNotTakenForAll(t *testing.T) {
	secret := "kW8-xP2q_Tz51"
	in := sse(textDelta("postgres://app:"+secret[:9]), textDelta(secret[9:]+"@db.internal/app"))
	got := newVault(t).RedactStream([]byte(in))
	if len(got.Findings) != 1 || got.Findings[0].Fingerprint != testKey.Fingerprint([]byte(secret)) {
		t.Errorf("findings %+v, want the whole password", got.Findings)
	}
}

func TestAnAnswerThatIsNoStreamIsRedacted(t *testing.T) {
	for in, path := range map[string]string{
		`{"error":{"message":` + quote("bad "+testURL) + "}}\n":               "error.message",
		"<html>" + testURL + "</html>":                                        "",
		`[{"text":` + quote(testURL) + `}]`:                                   "[0].text",
		`{"cut":"off ` + testURL + ` he`:                                      "",
		": " + testURL + "\n\ndata: {\"a\":1}\n\n":                            "",
		`{"no":` + testURL + `}`:                                              "",
		"data: [DONE]\n\ndata: " + testURL + "\n\n":                           "",
		"{\n \"pretty\": {\n  \"a\": " + quote(testURL) + "\n }\n}":           "pretty.a",
		sse(`{"type":"error","error":{"message":` + quote(testURL) + `}}`):    "error.message",
		sse(textDelta("a")) + sse(`{"type":"x","deep":[`+quote(testURL)+`]}`): "events[1].deep[0]",
		sse(`{"delta" "x","type":"a.delta" ` + quote(testURL) + `}`):          "",
	} {
		v := newVault(t)
		got := v.RedactStream([]byte(in))
		if len(got.Findings) != 1 || got.Findings[0].Path != path {
			t.Errorf("findings %+v in %s, want one at %q", got.Findings, in, path)
			continue
		}
		f := got.Findings[0]
		if want := in[:f.Start] + f.Placeholder + in[f.End:]; string(got.Body) != want || in[f.Start:f.End] != testPassword {
			t.Errorf("%s became %s", in, got.Body)
		}
	}
	clean := []byte(sse(textDelta("nothing"), "[DONE]"))
	if got := newVault(t).RedactStream(clean); &got.Body[0] != &clean[0] {
		t.Error("a clean answer was copied")
	}
}

// TestAStreamSplitAnywhereKeepsNoSecret plants texts with secrets in streams of
// deltas that are cut anywhere, and asks that the texts are what Redact makes of
// them when they are whole.
func TestAStreamSplitAnywhereKeepsNoSecret(t *testing.T) {
	for n := range uint64(200) {
		r := rand.New(rand.NewPCG(n, 13))
		in, secrets := planted(r)
		events := deltas(r, "response.output_text", "msg_1", in)
		if n%2 == 0 {
			events = deltas(r, "response.function_call_arguments", "fc_1", in)
		}
		got := NewVault(newScanner(t, Config{Key: testKey}), NewCache(10), redactAll).RedactStream([]byte(sse(events...)))
		var text strings.Builder
		for _, d := range documentsIn(got.Body) {
			var event struct{ Delta string }
			if err := json.Unmarshal(got.Body[d.start:d.end], &event); err != nil {
				t.Fatalf("stream %d: %v in %s", n, err, got.Body[d.start:d.end])
			}
			text.WriteString(event.Delta)
		}
		want := NewVault(newScanner(t, Config{Key: testKey}), NewCache(10), redactAll).RedactText([]byte(in))
		if text.String() != string(want.Body) {
			t.Fatalf("stream %d says %s\nwant %s", n, text.String(), want.Body)
		}
		for _, s := range secrets {
			if strings.Contains(text.String(), s) {
				t.Fatalf("stream %d: a planted secret stays", n)
			}
		}
	}
}

// FuzzRedactStream asks of any answer that nothing but the secrets changes, and
// that what was found is where it is said to be.
func FuzzRedactStream(f *testing.F) {
	f.Add(sse(textDelta("postgres://app:kW8-xP2"), textDelta("q_Tz51@db.internal/app"), "[DONE]"))
	f.Add(`{"error":{"message":` + quote(testURL) + "}}\n{\"a\":1}\n")
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":" + quote(testURL) + "}}]}\n\ndata: x")
	f.Add(`{"delta":"a","type":"x.delta","delta":"b"}` + "\n[" + testURL)
	s := newScanner(f, Config{Key: testKey})
	f.Fuzz(func(t *testing.T, in string) {
		got := NewVault(s, NewCache(10), redactAll).RedactStream([]byte(in))
		if len(got.Findings) == 0 && string(got.Body) != in {
			t.Errorf("nothing was found, and it changed to %q", got.Body)
		}
		for _, found := range got.Findings {
			if !bytes.HasPrefix(got.Body[found.At:], []byte(found.Placeholder)) {
				t.Errorf("no placeholder of %+v stands at byte %d of %q", found, found.At, got.Body)
			}
		}
		if documents := len(documentsIn([]byte(in))); documents != len(documentsIn(got.Body)) {
			t.Errorf("%d documents became %d: %q", documents, len(documentsIn(got.Body)), got.Body)
		}
	})
}
