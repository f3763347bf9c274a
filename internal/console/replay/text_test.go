package replay

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/terminal"
)

func TestWhatCannotBeSeenIsSpelledOut(t *testing.T) {
	for text, want := range map[string]string{
		"plain\ttext\nin lines\r\n":     "plain\ttext\nin lines\n",
		"\x1b[2J\x07":                   `⟦\x1b⟧[2J⟦\x07⟧`,
		"over\rwritten":                 `over⟦\r⟧written`,
		"a\u202eb\u2066c":               `a⟦\u202e⟧b⟦\u2066⟧c`,
		"soft\u00adhyphen \ufeff\u2028": `soft⟦\xad⟧hyphen ⟦\ufeff\u2028⟧`,
		"hidden\U000E0068\U000E0069":    `hidden⟦\U000e0068\U000e0069⟧`,
		"\xff\xfe":                      `⟦\xff\xfe⟧`,
		"family 👩\u200d👩\u200d👧, नमस्ते, می\u200cخواهم, é": "family 👩\u200d👩\u200d👧, नमस्ते, می\u200cخواهم, é",
	} {
		var none secretsByPlaceholder
		if got := runText([]Run{{Spans: none.spans(text)}}); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestNothingHidesInATextOfManyControls(t *testing.T) {
	text := strings.Repeat("a\x1b", 2*mostSpans) + "\u200b\U000E0041"
	var none secretsByPlaceholder
	got := runText(none.lay(text, false))
	if terminal.SafeLines(got) != got || !strings.HasSuffix(got, `\u200b\U000e0041⟧`) {
		t.Errorf("it ends with %q", got[len(got)-40:])
	}
}

func TestAPlaceholderTellsWhatStandsBehindIt(t *testing.T) {
	const one, other = "__SECRET_github_token_AAAAAAAAAAAAAAAA__", "__SECRET_password_BBBBBBBBBBBBBBBB__"
	body := []byte(`{"input":"` + one + ` and ` + other + `"}`)
	at := int64(strings.Index(string(body), one))
	known := placeholdersIn(body, []exchange.Finding{
		{Rule: "github-token", Fingerprint: "f00d", Mode: exchange.Redacted, Offset: at},
		{Rule: "stray", Mode: exchange.Redacted, Offset: 3},
		{Rule: "past the end", Mode: exchange.Redacted, Offset: 1 << 40},
		{Rule: "before it", Mode: exchange.Redacted, Offset: -1},
	})
	got := known.spans("use " + one + ", not " + other)
	want := []Span{
		{Text: "use "},
		{Text: one, Class: "secret", Title: "github-token, fingerprint f00d"},
		{Text: ", not "},
		{Text: other, Class: "secret", Title: "password"},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

func TestPatchesStandOutWhereverTheyAre(t *testing.T) {
	for name, test := range map[string]struct {
		text, want string
		call       bool
	}{
		"a patch in a shell":  {"$ apply_patch <<'EOF'\n  *** Begin Patch\n  *** Update File: a\n  -b\n  +c\n  *** End Patch\n  EOF\ntimeout_ms: 10", "cmd file file del add file cmd arg", true},
		"a diff in an output": {"On branch main\ndiff --git a/x b/x\nindex 1..2\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n c\nend of it", "- file code file file hunk del add code -", false},
		"a list is no diff":   {"- one\n+ two\n", "- -", false},
		"code in an answer":   {"See:\n```go\n+1\n```\nDone.", "- code code code -", false},
		"two commands":        {"$ ls\n$ pwd\nscript()", "cmd cmd arg", true},
	} {
		var got []string
		layout := layout{call: test.call}
		for line := range strings.Lines(test.text) {
			got = append(got, cmp.Or(layout.class(line), "-"))
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestTheCommandsOfAScriptAreReadable(t *testing.T) {
	script := `const r = await tools.exec_command({cmd: "ls \"a b\"\npwd", workdir: "/w"});` + "\n" +
		`await tools.apply_patch("*** Begin Patch\n*** Delete File: a\n*** End Patch\n");` + "\n" + `text("{cmd}")`
	want := "$ ls \"a b\"\n  pwd\n*** Begin Patch\n*** Delete File: a\n*** End Patch\n" +
		`const r = await tools.exec_command({cmd: "ls \"a b\"\npwd", workdir: "/w"});` + "\nawait tools.apply_patch(\"…\");\ntext(\"{cmd}\")"
	if diff := gocmp.Diff(want, readableScript(script)); diff != "" {
		t.Errorf("script (-want +got):\n%s", diff)
	}
	if got := readableScript("$ plain"); got != "$ plain" {
		t.Errorf("a command became %q", got)
	}
}

// FuzzAnyTextIsLaidOutWhole holds that nothing of a text is lost or can do more
// than be read, wherever it is cut and folded.
func FuzzAnyTextIsLaidOutWhole(f *testing.F) {
	f.Add("$ ls\n  *** Begin Patch\n+a\n", true, 1)
	f.Add("diff --git a b\n-\x1b\n\u202e+__SECRET_a_AAAAAAAAAAAAAAAA__\n", false, 2)
	f.Add("```\n\xff\r\n```", false, 0)
	f.Fuzz(func(t *testing.T, text string, call bool, lines int) {
		var none secretsByPlaceholder
		runs := none.lay(text, call)
		whole := plainText(runs)
		if terminal.SafeLines(whole) != whole {
			t.Errorf("%q is laid out as %q, which hides something", text, whole)
		}
		if terminal.SafeLines(text) == text && whole != text {
			t.Errorf("%q is laid out as %q", text, whole)
		}
		first, rest := splitRuns(runs, 1+max(0, lines)%10)
		if got := plainText(first) + plainText(rest); got != whole {
			t.Errorf("%q is folded into %q", whole, got)
		}
		beginning, left := cutText(text, 10)
		if len(beginning)+left != len(text) || !strings.HasPrefix(text, beginning) || utf8.ValidString(text) && !utf8.ValidString(beginning) {
			t.Errorf("%q is cut to %q and %d bytes", text, beginning, left)
		}
	})
}

func plainText(runs []Run) string {
	var out strings.Builder
	for _, run := range runs {
		for _, span := range run.Spans {
			out.WriteString(span.Text)
		}
	}
	return out.String()
}

// entries are a request's, or an answer's: a kind and a text each.
func entries(items ...string) []conversation.Entry {
	if items[0] == "" {
		return nil
	}
	body := `{"input":[` + strings.Join(items, ",") + `]}`
	return conversation.ReadRequest([]byte(body)).Entries
}

func TestWhatIsNewIsToldThroughCompactionAndSideTalk(t *testing.T) {
	answered := func(text string) string {
		return `{"type":"message","role":"assistant","content":[{"type":"output_text","text":"` + text + `"}]}`
	}
	const sealed = `{"type":"compaction","encrypted_content":"gAAAA"}`
	rules := roleSaid("developer", "Be brief.")
	var known seen
	for i, turn := range []struct {
		asked    []string
		previous string
		answer   string
		want     []bool
		again    bool
	}{
		{asked: []string{rules, prompt("go")}, answer: answered("one"), want: []bool{true, true}},
		{asked: []string{rules, prompt("go"), answered("one"), prompt("go")}, answer: answered("two"), want: []bool{false, false, false, true}},
		// Another model is asked for a title, in the same session.
		{asked: []string{prompt("a title, please")}, answer: answered("Going"), want: []bool{true}},
		{asked: []string{rules, prompt("go"), answered("one"), prompt("go"), answered("two"), prompt("on")}, answer: sealed, want: []bool{false, false, false, false, false, true}},
		// What came before is compacted; what the developer said is kept.
		{asked: []string{rules, prompt("go"), prompt("on"), sealed, prompt("and on")}, answer: answered("three"), want: []bool{false, false, false, false, true}},
		{asked: []string{rules, prompt("go"), prompt("on"), sealed, prompt("and on")}, answer: answered("three"), want: []bool{false, false, false, false, false}, again: true},
		// A WebSocket goes on from an answer without what was said before.
		{asked: []string{prompt("go")}, previous: "resp_6", answer: answered("four"), want: []bool{true}},
		{asked: []string{prompt("go")}, previous: "resp_7", answer: answered("five"), want: []bool{true}},
		{asked: []string{prompt("go")}, previous: "resp_7", answer: answered("five"), want: []bool{false}, again: true},
		// A new connection begins with a warm-up, and says all else again.
		{asked: []string{rules}, want: []bool{false}},
		{asked: []string{prompt("go"), prompt("on"), sealed, prompt("and on"), prompt("now")}, previous: "resp_10", answer: answered("six"), want: []bool{false, false, false, false, true}},
		// It goes on from what nobody knows.
		{asked: []string{prompt("go")}, previous: "resp_0", answer: answered("seven"), want: []bool{true}},
	} {
		request := conversation.ReadRequest([]byte(`{"previous_response_id":"` + turn.previous + `","input":[` + strings.Join(turn.asked, ",") + `]}`))
		got := known.turn(request, entries(turn.answer), fmt.Sprintf("resp_%d", i+1))
		if diff := gocmp.Diff(turn.want, got.is); diff != "" || got.again != turn.again {
			t.Errorf("turn %d: again %t (-want +got):\n%s", i+1, got.again, diff)
		}
	}
}
