package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// issued returns a vault that has redacted the secrets, and their placeholders.
func vaultWith(t testing.TB, texts ...string) (*Vault, []string) {
	t.Helper()
	v := newVault(t)
	var items, placeholders []string
	for _, text := range texts {
		items = append(items, output(text))
	}
	for _, f := range mustRedact(t, v, body(items...)).Findings {
		placeholders = append(placeholders, f.Placeholder)
	}
	if len(placeholders) != len(texts) {
		t.Fatalf("%d placeholders, want %d", len(placeholders), len(texts))
	}
	return v, placeholders
}

// deltas cuts text into the events of a stream, at any byte.
func deltas(r *rand.Rand, kind, item, text string) []string {
	var events []string
	for i := 0; len(text) > 0; i++ {
		n := 1 + r.IntN(min(len(text), 12))
		events = append(events, fmt.Sprintf(`{"type":"%s.delta","item_id":"%s","output_index":0,"content_index":0,"delta":%s,"sequence_number":%d}`, kind, item, quote(text[:n]), i))
		text = text[n:]
	}
	return events
}

// joined passes events through a restorer and returns the deltas of each item
// put together, and the other events.
func joinedDeltas(t testing.TB, r *Restorer, events []string) (texts map[string]string, others []string) {
	t.Helper()
	texts = map[string]string{}
	for _, e := range events {
		r.Event([]byte(e), func(event []byte) {
			var got struct {
				Type, Delta string
				ItemID      string `json:"item_id"`
			}
			if err := json.Unmarshal(event, &got); err != nil {
				t.Fatalf("the event %s is no JSON: %v", event, err)
			}
			if strings.HasSuffix(got.Type, ".delta") {
				texts[got.ItemID] += got.Delta
			} else {
				others = append(others, string(event))
			}
		})
	}
	return texts, others
}

// TestDeltasSplitAnywhereRestoreTheSame interleaves a text and a call's
// arguments, cut at random bytes.
func TestDeltasSplitAnywhereRestoreTheSame(t *testing.T) {
	v, p := vaultWith(t, testURL, `{"password_url":`+quote("postgres://u:"+testPassword+"2@h/x")+`}`)
	text := "Use _" + p[0] + "_ and __SECRET_ or __SECRET_x_AAAAAAAAAAAAAAAA__, __SECRE"
	wantText := strings.ReplaceAll(text, p[0], testPassword)
	arguments := `{"command":["bash","-lc","export A=` + p[1] + ` B=` + p[0] + `"]}`
	wantArguments := strings.NewReplacer(p[1], testPassword+"2", p[0], testPassword).Replace(arguments)
	for n := range uint64(300) {
		r := rand.New(rand.NewPCG(n, 1))
		a := deltas(r, "response.output_text", "msg", text)
		b := deltas(r, "response.function_call_arguments", "call", arguments)
		var events []string
		for len(a)+len(b) > 0 {
			if len(b) == 0 || len(a) > 0 && r.IntN(2) == 0 {
				events, a = append(events, a[0]), a[1:]
			} else {
				events, b = append(events, b[0]), b[1:]
			}
		}
		events = append(events,
			`{"type":"response.output_text.done","item_id":"msg","output_index":0,"content_index":0,"text":`+quote(text)+`}`,
			`{"type":"response.function_call_arguments.done","item_id":"call","output_index":0,"content_index":0,"arguments":`+quote(arguments)+`}`)
		restorer := v.Restorer(RestoreAll)
		got, others := joinedDeltas(t, restorer, events)
		if got["msg"] != wantText || got["call"] != wantArguments {
			t.Fatalf("split %d: %q, %q", n, got["msg"], got["call"])
		}
		if !strings.Contains(others[0], quote(wantText)) || !strings.Contains(others[1], quote(wantArguments)) {
			t.Fatalf("the last events are %s, %s", others[0], others[1])
		}
		if u := restorer.Unknown(); len(u) != 1 || u[0] != "__SECRET_x_AAAAAAAAAAAAAAAA__" {
			t.Fatalf("unknown: %v", u)
		}
	}
}

// TestAnOddSecretIsEscapedAtItsDepth uses a secret with a quote and a backslash
// in a text, in a call's arguments, and in JSON that a command writes.
func TestAnOddSecretIsEscapedAtItsDepth(t *testing.T) {
	pem := "-----BEGIN PRIVATE KEY-----\n" + draw(rand.New(rand.NewPCG(1, 1)), stdSet, 64) + "\n-----END PRIVATE KEY-----"
	v, p := vaultWith(t, `{"private_key": `+quote(pem)+`}`)
	for text, want := range map[string]string{
		"export K='" + p[0] + "'":          "export K='" + pem + "'",
		`{"command":["x","` + p[0] + `"]}`: `{"command":["x",` + quote(pem) + `]}`,
		`{"cmd":` + quote(`cat > k.json <<'E'`+"\n"+`{"private_key": "`+p[0]+`"}`+"\nE") + `}`: `{"cmd":` + quote(`cat > k.json <<'E'`+"\n"+`{"private_key": `+quote(pem)+`}`+"\nE") + `}`,
		`{"cmd":` + quote(`echo "`+p[0]+`" > key.pem`) + `}`:                                   `{"cmd":` + quote(`echo "`+pem+`" > key.pem`) + `}`,
	} {
		for n := range uint64(20) {
			events := deltas(rand.New(rand.NewPCG(n, 2)), "response.function_call_arguments", "call", text)
			got, _ := joinedDeltas(t, v.Restorer(RestoreAll), append(events, `{"type":"response.function_call_arguments.done","item_id":"call","output_index":0,"content_index":0}`))
			if got["call"] != want {
				t.Fatalf("restored %s\nwant %s", got["call"], want)
			}
		}
	}
}

func TestEventsWithoutAPlaceholderAreTheVerySlice(t *testing.T) {
	v, _ := vaultWith(t, testURL)
	r := v.Restorer(RestoreAll)
	for _, e := range []string{
		`{"type":"response.output_text.delta","item_id":"m","delta":"caf\u00e9 \/ x"}`,
		`{"type":"response.completed","response":{"output":[]}}`, `not json`, ``,
	} {
		event := []byte(e)
		n := 0
		r.Event(event, func(got []byte) {
			n++
			if string(got) != e || len(got) > 0 && &got[0] != &event[0] {
				t.Errorf("event %s became %s", e, got)
			}
		})
		if n != 1 {
			t.Errorf("event %s was emitted %d times", e, n)
		}
	}
}

func TestWholeItemsAreRestoredButForReasoning(t *testing.T) {
	v, p := vaultWith(t, testURL)
	event := `{"type":"response.completed","response":{"output":[` +
		`{"type":"reasoning","summary":[{"type":"summary_text","text":"` + p[0] + `"}]},` +
		`{"type":"message","content":[{"type":"output_text","text":"` + p[0] + `"}]},` +
		`{"type":"custom_tool_call","name":"` + p[0] + `","input":"x ` + p[0] + `"}]}}`
	for reach, want := range map[Reach]int{RestoreAll: 3, RestoreText: 1, RestoreOff: 0} {
		got := v.Restorer(reach).Body([]byte(event))
		if n := bytes.Count(got, []byte(testPassword)); n != want || !json.Valid(got) {
			t.Errorf("reach %d: %d restored in %s, want %d", reach, n, got, want)
		}
	}
	summary := []byte(`{"type":"response.reasoning_summary_text.delta","item_id":"r","delta":"` + p[0] + `"}`)
	v.Restorer(RestoreAll).Event(summary, func(got []byte) {
		if !bytes.Equal(got, summary) {
			t.Errorf("the reasoning summary became %s", got)
		}
	})
}

// TestServerSentEventsSplitAnywhere cuts a stream at every byte.
func TestServerSentEventsSplitAnywhere(t *testing.T) {
	v, p := vaultWith(t, testURL)
	var raw, want strings.Builder
	for _, delta := range []string{"hello ", p[0][:9], p[0][9:], " world __SEC"} {
		fmt.Fprintf(&raw, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"m\",\"delta\":%s}\n\n", quote(delta))
	}
	for _, delta := range []string{"hello ", "", testPassword, " world ", "__SEC"} {
		fmt.Fprintf(&want, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"m\",\"delta\":%s}\n\n", quote(delta))
	}
	done := "event: response.output_text.done\r\ndata: {\"type\":\"response.output_text.done\",\"item_id\":\"m\",\"text\":\"x\"}\r\n\r\n: comment\n\ndata: [DONE]\n\npartial"
	raw.WriteString(done)
	want.WriteString(done)
	for cut := range raw.Len() {
		s := NewSSE(v.Restorer(RestoreAll), 1<<20)
		got := append([]byte(nil), s.Write([]byte(raw.String()[:cut]))...)
		got = append(got, s.Write([]byte(raw.String()[cut:]))...)
		got = append(got, s.Close()...)
		if string(got) != want.String() {
			t.Fatalf("cut at %d: %s\nwant %s", cut, got, want.String())
		}
	}
}

// FuzzRestore asks that any events, of any form, pass without failing, and that
// what was not issued here is left alone.
func FuzzRestore(f *testing.F) {
	v, p := vaultWith(f, testURL)
	f.Add(`{"type":"response.output_text.delta","delta":"a"}`, 3)
	f.Add(`{"type":"x.done","delta":"`+p[0]+`","a":{"b":["`+p[0]+`"]}}`, 9)
	f.Fuzz(func(t *testing.T, event string, cut int) {
		r := v.Restorer(RestoreAll)
		r.Event([]byte(event), func([]byte) {})
		s := NewSSE(v.Restorer(RestoreAll), 1<<20)
		n := max(0, min(cut, len(event)))
		s.Write([]byte(event[:n]))
		s.Write([]byte(event[n:]))
		s.Close()
		if json.Valid([]byte(event)) && !json.Valid(r.Body([]byte(event))) {
			t.Fatalf("%s became invalid JSON", event)
		}
	})
}

// TestATextEndsAloneWhoseIndexBeginsLikeAnothers: content 1 ends, and what is held of
// content 10 stays held.
func TestATextEndsAloneWhoseIndexBeginsLikeAnothers(t *testing.T) {
	v, p := vaultWith(t, testURL)
	r := v.Restorer(RestoreAll)
	event := func(kind, index, rest string) string {
		return `{"type":"response.output_text.` + kind + `","item_id":"m","output_index":0,"content_index":` + index + rest + `}`
	}
	var got []string
	for _, e := range []string{
		event("delta", "10", `,"delta":`+quote("a "+p[0][:12])), event("done", "1", `,"text":"x"`), event("delta", "10", `,"delta":`+quote(p[0][12:])),
	} {
		r.Event([]byte(e), func(event []byte) { got = append(got, string(event)) })
	}
	want := []string{event("delta", "10", `,"delta":"a "`), event("done", "1", `,"text":"x"`), event("delta", "10", `,"delta":`+quote(testPassword))}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the client gets\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestAnEventTooLargeToBeHeldGoesOnInItsPlace, in pieces of every size.
func TestAnEventTooLargeToBeHeldGoesOnInItsPlace(t *testing.T) {
	v, p := vaultWith(t, testURL)
	delta := func(text string) string {
		return "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"item_id\":\"m\",\"delta\":" + quote(text) + "}\n\n"
	}
	large := "event: x\r\ndata: {\"type\":\"x\",\"text\":" + quote(p[0]+strings.Repeat("-", 5000)) + "}\r\n\r\n"
	raw := delta("a "+p[0]) + delta("b __SEC") + large + delta("c "+p[0]) + large + "data: [DONE]\n\n"
	want := delta("a "+testPassword) + delta("b ") + delta("__SEC") + large + delta("c "+testPassword) + large + "data: [DONE]\n\n"
	for _, size := range []int{1, 2, 3, 7, 100, 999, 3000} {
		r := v.Restorer(RestoreAll)
		s := NewSSE(r, 1000)
		var got []byte
		for piece := range slices.Chunk([]byte(raw), size) {
			got = append(got, s.Write(piece)...)
			if s.Held() > 1000 {
				t.Fatalf("%d bytes are held", s.Held())
			}
			if s.seen != len(s.held) {
				t.Fatalf("of %d bytes that are held %d would be looked at again", len(s.held), len(s.held)-s.seen)
			}
		}
		got = append(got, s.Close()...)
		if string(got) != want || r.Passed() != 2 {
			t.Errorf("in pieces of %d, %d went on as they were: %s\nwant %s", size, r.Passed(), got, want)
		}
	}
}

// TestATypeBehindTheTextClosesItToo: the order of members says nothing.
func TestATypeBehindTheTextClosesItToo(t *testing.T) {
	v, p := vaultWith(t, testURL)
	in := `{"output":[{"summary":[{"text":"` + p[0] + `"}],"type":"reasoning"},{"content":"` + p[0] + `","type":"message"}]}`
	want := `{"output":[{"summary":[{"text":"` + p[0] + `"}],"type":"reasoning"},{"content":"` + testPassword + `","type":"message"}]}`
	if got := v.Restorer(RestoreAll).Body([]byte(in)); string(got) != want {
		t.Errorf("restored %s", got)
	}
}
