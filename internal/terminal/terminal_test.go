package terminal

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestWhatCouldDriveATerminalBecomesVisible(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"alice@example.com":               "alice@example.com",
		"Zoë 漢字 العربية 🙂 \uFFFD":         "Zoë 漢字 العربية 🙂 \uFFFD",
		"\x1b[2J\x1b]0;owned\x07":         `\x1b[2J\x1b]0;owned\x07`,
		"a\rb\nc\td\x00":                  `a\rb\nc\td\x00`,
		"del\x7f c1\u009b31m":             `del\x7f c1\x9b31m`,
		"raw \x9b31m and \xff":            `raw \x9b31m and \xff`,
		"user\u202etxt.exe\u2066":         `user\u202etxt.exe\u2066`,
		"\u200e\u200f\u061c\u2028\u2029.": `\u200e\u200f\u061c\u2028\u2029.`,
		"gpt\u200b-5\u2060\ufeff\u00ad":   `gpt\u200b-5\u2060\ufeff\xad`,
		"tagged\U000e0041":                `tagged\U000e0041`,
		"नि\u200dर 👩\u200d🔧 می\u200cخواهم": "नि\u200dर 👩\u200d🔧 می\u200cخواهم",
	} {
		if got := Safe(text); got != want {
			t.Errorf("Safe(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestLinesAndTabsOfALongTextStay(t *testing.T) {
	if got, want := SafeLines("a\n\tb\r\x1b[0m\n"), "a\n\tb\\r\\x1b[0m\n"; got != want {
		t.Errorf("SafeLines = %q, want %q", got, want)
	}
}

func FuzzSafe(f *testing.F) {
	for _, text := range []string{"plain", "\x1b[31m", "\u202e\u0085\r\n\t", "\xff\xfe", "\u2028\uFFFD"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, lines := range []bool{false, true} {
			safe := Safe
			if lines {
				safe = SafeLines
			}
			got := safe(text)
			if !utf8.ValidString(got) {
				t.Fatalf("%q is not UTF-8", got)
			}
			for _, r := range got {
				allowed := lines && strings.ContainsRune("\n\t", r)
				if unicode.IsControl(r) && !allowed || unicode.Is(unicode.Bidi_Control, r) {
					t.Fatalf("%q holds the control %U", got, r)
				}
			}
			if safe(got) != got {
				t.Fatalf("%q is not left alone the second time", got)
			}
		}
	})
}

func TestTextIsCutAroundWhatIsHidden(t *testing.T) {
	for text, want := range map[string][3]string{
		"":                      {},
		"plain\n\ttext":         {"plain\n\ttext", "", ""},
		"a\x1b\u202eb\x1bc":     {"a", "\x1b\u202e", "b\x1bc"},
		"\r\nx":                 {"", "\r", "\nx"},
		"bad \xff\xfe":          {"bad ", "\xff\xfe", ""},
		"a real \ufffd is text": {"a real \ufffd is text", "", ""},
	} {
		before, hidden, after := Cut(text)
		if got := [3]string{before, hidden, after}; got != want {
			t.Errorf("Cut(%q) = %q, want %q", text, got, want)
		}
	}
}
