package developer_test

import (
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/developer"
)

func TestAnIDIsAnEMailAddressOrALogin(t *testing.T) {
	for text, want := range map[string]string{
		"alice@example.com": "alice@example.com", "Alice.B+x@Example.COM": "alice.b+x@example.com", "bob_2": "bob_2",
		strings.Repeat("a", 128): strings.Repeat("a", 128),
		// What could leave a directory, be a flag, or not be what it looks like:
		"": "", ".": "", "..": "", ".a": "", "a.": "", "-a": "", "a/b": "", `a\b`: "", "a b": "", "a\x00": "", "é": "",
		"a%2f": "", "a\n": "", "\u212aelvin": "", strings.Repeat("a", 129): "",
	} {
		got, err := developer.ParseID(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseID(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, text := range []string{"alice@example.com", "..", "a/../b", "\u212a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := developer.ParseID(text)
		if err != nil {
			return
		}
		if again, err := developer.ParseID(id); err != nil || again != id {
			t.Errorf("ParseID(%q) = %q, %v; want it unchanged", id, again, err)
		}
		if strings.ContainsAny(id, "/\\\x00 ") || strings.Trim(id, ".") == "" || len(id) > 128 {
			t.Errorf("%q is an id", id)
		}
	})
}

func TestNamesAreShortPrintableLines(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "Zoë 漢字": true, strings.Repeat("é", 128): true,
		strings.Repeat("é", 129): false, "a\nb": false, "\x1b[31m": false, "\u202eevil": false, "\xff": false, " a": false,
	} {
		_, err := developer.New("alice", name, "", time.Now())
		if (err == nil) != want {
			t.Errorf("the name %q: %v, accepted should be %v", name, err, want)
		}
	}
}

func TestAPatternAllowsTheModelsOfItsShape(t *testing.T) {
	for _, test := range []struct {
		patterns string
		model    string
		want     bool
	}{
		{"", "anything", true},
		{"gpt-5", "gpt-5", true},
		{"gpt-5", "gpt-5-codex", false},
		{"gpt-5*", "gpt-5", true},
		{"gpt-5*", "gpt-5-codex", true},
		{"gpt-5*", "o3", false},
		{"o3 gpt-5*", "gpt-5.1", true},
		{"*-codex", "gpt-5-codex", true},
		{"*-codex", "gpt-5-codex-mini", false},
		{"gpt-*-codex", "gpt-codex", false},
		{"gpt*5*5", "gpt5", false},
		{"gpt*5*5", "gpt-5.5", true},
		{"a*ba", "aba", true},
		{"ab*ba", "aba", false},
		{"*", "", true},
		{"**", "x", true},
		{"gpt-5*", "GPT-5", false},
		{"gpt-5.", "gpt-5x", false},
	} {
		policy := developer.Policy{Models: strings.Fields(test.patterns)}
		if got := policy.Allows(test.model); got != test.want {
			t.Errorf("%q allows %q: %v, want %v", test.patterns, test.model, got, test.want)
		}
	}
}
