package replay

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/record"
	"codex-proxy/internal/simulated"
)

func TestEachTurnShowsWhatIsNewInIt(t *testing.T) {
	f := newFixture(t)
	c := &talk{f: f, session: thread}
	f.openai.Play(
		simulated.Answer{Reasoning: "**Looking**\n\nFirst the tests.", Text: "I will look.", Calls: []simulated.Call{{Command: "go test ./..."}}},
		simulated.Say("They pass."),
		simulated.Status(500),
		simulated.Say("On it."),
		simulated.Say("On it."),
	)
	answer := c.say(roleSaid("developer", "Keep changes small."), prompt("<environment_context>\n  <cwd>/work</cwd>\n</environment_context>"), prompt("Do the tests pass?"))
	c.say(output(answer[2], "ok  	example.com/a	0.1s"))
	c.say(prompt("continue"))
	c.say() // Codex tries again
	c.say(prompt("continue"))

	got := transcript(Turns(t.Context(), f.archive, f.exchanges(), 1, 100))
	want := `turn 1 completed
> Instructions: You are Codex.
> Instructions (developer): Keep changes small.
> Context from Codex: <environment_context>
  <cwd>/work</cwd>
</environment_context>
> Prompt: Do the tests pass?
< Reasoning: **Looking**

First the tests.
< Answer: I will look.
< exec_command: cmd|$ go test ./...
turn 2 completed repeats 7
> Output of exec_command: ok  	example.com/a	0.1s
< Answer: They pass.
turn 3 failed retried by 4 repeats 9
> Prompt: continue
< Error server_error: The server had an error while processing your request. Sorry about that!
turn 4 completed again 3 repeats 10
< Answer: On it.
turn 5 completed repeats 11
> Prompt: continue
< Answer: On it.
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestASessionWhoseFirstRecordsAreGoneShowsWhatItStillTells(t *testing.T) {
	f := newFixture(t)
	c := &talk{f: f, session: thread}
	f.openai.Play(simulated.Say("one"), simulated.Say("two"), simulated.Say("three"))
	c.say(prompt("first"))
	c.say(prompt("second"))
	c.say(prompt("third"))
	facts := f.exchanges()
	archiveFile := filepath.Join(f.home, "archive", filepath.FromSlash(record.Key(facts[0])))
	if err := os.Remove(archiveFile); err != nil {
		t.Fatal(err)
	}
	got := transcript(Turns(t.Context(), f.archive, facts, 1, 100))
	want := `turn 1 completed
! This exchange's record is not in the archive: it was erased, is kept elsewhere by now, or has not arrived yet.
turn 2 completed
… Prompt: first
… Answer: one
> Instructions: You are Codex.
> Prompt: second
< Answer: two
turn 3 completed repeats 5
> Prompt: third
< Answer: three
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
	if got := transcript(Turns(t.Context(), f.archive, facts[2:], 1, 100)); !strings.Contains(got, "… Prompt: second\n") {
		t.Errorf("a session that begins late lacks what was said before:\n%s", got)
	}
	if got := transcript(Turns(t.Context(), f.archive, facts, 3, 1)); got != want[strings.Index(want, "turn 3"):] {
		t.Errorf("a page that begins with turn 3:\n%s", got)
	}
}
