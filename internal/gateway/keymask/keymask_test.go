package keymask

import (
	"bytes"
	"encoding/json"
	"errors"
	"html"
	"io"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
)

const (
	key   = "sk-proj-canary-5Jq0XbT3uQ_w8E"
	stars = "sk-**************************"
)

func TestAKeyBecomesAsManyAsterisks(t *testing.T) {
	m := New(key, "sk-older-8f7e6d5c")
	for text, want := range map[string]string{
		"":                     "",
		"nothing to see, sk-":  "nothing to see, sk-",
		key:                    stars,
		"a" + key + key + "sk": "a" + stars + stars + "sk",
		"Bearer " + key + "\n": "Bearer " + stars + "\n",
		"sk-older-8f7e6d5c":    "sk-**************",
		strings.ToUpper(key):   strings.ToUpper(key),
		key[:len(key)-1]:       key[:len(key)-1],
		"sk-sk-" + key[3:]:     "sk-" + stars,
	} {
		if got := string(m.Bytes([]byte(text))); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		if got := m.Text(text); got != want {
			t.Errorf("the text %q becomes %q, want %q", text, got, want)
		}
	}
}

func TestAKeyIsKnownByTheEscapesOfJSONAndHTMLAndURLs(t *testing.T) {
	const odd = `key/with+odd"signs&<more>=\here`
	m := New(odd)
	quoted, err := json.Marshal(odd)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		odd, string(quoted), html.EscapeString(odd), url.QueryEscape(odd), url.PathEscape(odd),
		strings.ReplaceAll(odd, "/", `\/`), `key/with+odd\"signs&<more>=\\here`, `key\/with+odd\"signs&<more>=\\here`,
	} {
		got := m.Text(text)
		if strings.Contains(got, "with") && !strings.HasPrefix(text, `key\/with+odd"`) || len(got) != len(text) {
			t.Errorf("%s becomes %s", text, got)
		}
	}
}

func TestAWordIsNoKey(t *testing.T) {
	for _, word := range []string{"", "EMPTY", "lm-studio", "no-key-required", "sk-", "sk-test"} {
		text := "it says " + word + " here"
		if got := New(word).Text(text); got != text {
			t.Errorf("the key %q makes %q of the text", word, got)
		}
	}
	if got := New("sk-12345").Text("sk-12345"); got != "sk-*****" {
		t.Errorf("a short key becomes %q", got)
	}
}

func TestWithoutAKeyNothingIsCopiedOrHeld(t *testing.T) {
	m := New(key)
	s := m.Stream()
	for _, text := range []string{"data: {\"type\":\"x\"}\n\n", "x", key[1:], "sk-other"} {
		piece := []byte(text)
		if got := s.Next(piece); len(got) != len(piece) || &got[0] != &piece[0] {
			t.Errorf("%q comes out as %q", text, got)
		}
	}
	piece := []byte("data: sk-something\n\n")
	if n := testing.AllocsPerRun(100, func() { s.Next(piece) }); n > 0 {
		t.Errorf("%v allocations a piece", n)
	}
	if s.Found() || len(s.Rest()) > 0 {
		t.Error("something was found or held")
	}
}

func TestOnlyWhatMayBeginAKeyIsHeld(t *testing.T) {
	for text, held := range map[string]string{
		"a": "", "s": "s", "as": "s", "ask-": "sk-", "sk-p": "sk-p", "sk-x": "", "sksk-pro": "sk-pro", "x" + key[:20]: key[:20],
		key: "", key + "s": "s", key[:20] + "\n\n": "",
	} {
		s := New(key).Stream()
		if out := s.Next([]byte(text)); len(out) != len(text)-len(held) {
			t.Errorf("of %q, %q goes on, want %q held", text, out, held)
		}
		if rest := string(s.Rest()); rest != held {
			t.Errorf("of %q, %q is held, want %q", text, rest, held)
		}
	}
}

// TestAKeyIsMaskedHoweverItIsCut masks random text in random pieces and expects what
// masking it whole gives.
func TestAKeyIsMaskedHoweverItIsCut(t *testing.T) {
	m := New(key, "sk-older-8f7e6d5c")
	words := []string{key, key[:11], key[11:], "s", "sk", "sk-", "sk-older-8f7e6d5c", "sk-older", "\n\n", "x", "sksk-proj-"}
	for range 2000 {
		var text []byte
		for range rand.IntN(12) {
			text = append(text, words[rand.IntN(len(words))]...)
		}
		want := m.Bytes(bytes.Clone(text))
		sources := map[string]io.Reader{
			"whole": bytes.NewReader(text), "byte by byte": iotest.OneByteReader(bytes.NewReader(text)),
			"halves": iotest.HalfReader(bytes.NewReader(text)), "with the error": iotest.DataErrReader(bytes.NewReader(text)),
		}
		for name, source := range sources {
			into := make([]byte, 1+rand.IntN(40))
			var got []byte
			reader := m.Reader(source)
			var err error
			for n := 0; err == nil; {
				n, err = reader.Read(into)
				got = append(got, into[:n]...)
			}
			if err != io.EOF || !bytes.Equal(got, want) {
				t.Fatalf("%s: %q becomes %q (%v), want %q", name, text, got, err, want)
			}
			if reader.Found() != !bytes.Equal(text, want) {
				t.Fatalf("%q: found %t", text, reader.Found())
			}
		}
	}
}

// TestWhatWasReadBeforeAnErrorComesOut: an answer that breaks off is passed on as far
// as it came.
func TestWhatWasReadBeforeAnErrorComesOut(t *testing.T) {
	broken := errors.New("connection reset")
	reader := New(key).Reader(io.MultiReader(strings.NewReader("abc sk-pr"), iotest.ErrReader(broken)))
	got, err := io.ReadAll(reader)
	if string(got) != "abc sk-pr" || !errors.Is(err, broken) {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestFieldsAreMaskedInPlace(t *testing.T) {
	fields := map[string][]string{"A": {"x", "y " + key}, "B": {"z"}}
	New(key).Fields(fields)
	if fields["A"][1] != "y "+stars || fields["A"][0] != "x" {
		t.Errorf("the fields are %v", fields)
	}
	if New(key).Values(fields["A"]) || !New(key).Values([]string{key}) {
		t.Error("a key was found where none is left, or not where one is")
	}
}

// BenchmarkBytes masks 200 KB of a conversation that holds no key.
func BenchmarkBytes(b *testing.B) {
	m := New(key, "sk-older-8f7e6d5c")
	text := []byte(strings.Repeat(`{"type":"message","role":"user","content":[{"type":"input_text","text":"Please ask the sky, skip nothing: func (s *Stream) Next"}]},`, 1600))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		m.Bytes(text)
	}
}
