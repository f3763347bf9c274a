package redaction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/secrets"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func parse(t *testing.T, toml string) Settings {
	t.Helper()
	s, err := ParseSettings([]byte(toml))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rulesOf(t *testing.T, toml string) *Rules {
	t.Helper()
	r, err := New(parse(t, toml), secrets.Key{1}, at(noon))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSettingsThatAreWrongAreRefusedByName(t *testing.T) {
	for toml, want := range map[string]string{
		`modus = "off"`:                                              `unknown key "modus"`,
		`mode = "maybe"`:                                             `mode is "maybe", which is no mode`,
		`restore = "some"`:                                           `restore is "some"`,
		`pin_days = -1`:                                              `pin_days is -1`,
		"[rules]\ngithub-tokn = \"off\"":                             `rules names the unknown rule "github-tokn"; near it are`,
		"[rules]\nzzz = \"off\"":                                     `'codex-proxy secrets rules' lists them`,
		"[rules]\ngithub-token = \"no\"":                             `rules.github-token is "no"`,
		"[teams.core.rules]\nxyz = \"off\"":                          `teams.core.rules names the unknown rule "xyz"`,
		"[teams.core]\nmod = \"off\"":                                `unknown key "teams.core.mod"`,
		"[[rule]]\nid = \"a b\"\npattern = \"x\"":                    `"a b" is not lower-case`,
		"[[rule]]\nid = \"acme\"":                                    `"acme" has no pattern`,
		"[[rule]]\nid = \"acme\"\npattern = \"(\"":                   `the pattern of rule "acme"`,
		"[[rule]]\nid = \"acme\"\npattern = \"x*\"":                  `matches the empty text`,
		"[[rule]]\nid = \"github-token\"\npattern = \"x\"":           `is taken`,
		"[[rule]]\nid = \"acme\"\npattern = \"x\"\nclass = \"sure\"": `"sure": use distinctive or suspicious`,
		"[[allow]]\nteam = \"core\"":                                 `entry 1 of [[secrets.allow]] would allow everything`,
		"[[allow]]\nrule = \"nope\"":                                 `unknown rule "nope"`,
		"[[allow]]\npattern = \"[\"":                                 `the pattern in entry 1`,
	} {
		if _, err := ParseSettings([]byte(toml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngives %v, want %s", toml, err, want)
		}
	}
}

func TestTheNearestWordOnAModeCounts(t *testing.T) {
	const (
		sure  = "github-token"
		maybe = "generic-password"
	)
	for _, c := range []struct {
		toml, team, rule string
		class            secrets.Class
		want             secrets.Mode
	}{
		{``, "core", sure, secrets.Distinctive, secrets.Redact},
		{``, "core", maybe, secrets.Suspicious, secrets.Report},
		{`suspicious = "redact"`, "core", maybe, secrets.Suspicious, secrets.Redact},
		{`suspicious = "redact"`, "core", sure, secrets.Distinctive, secrets.Redact},
		{"mode = \"off\"\ndistinctive = \"block\"", "core", sure, secrets.Distinctive, secrets.Off},
		{"mode = \"off\"\n[rules]\ngithub-token = \"block\"", "core", sure, secrets.Distinctive, secrets.Block},
		{"[rules]\ngithub-token = \"block\"\n[teams.core]\ndistinctive = \"report\"", "core", sure, secrets.Distinctive, secrets.Report},
		{"[rules]\ngithub-token = \"block\"\n[teams.core]\ndistinctive = \"report\"", "other", sure, secrets.Distinctive, secrets.Block},
		{"[teams.core]\nmode = \"off\"\ndistinctive = \"report\"", "core", sure, secrets.Distinctive, secrets.Off},
		{"[teams.core]\nmode = \"off\"\nrules = { github-token = \"redact\" }", "core", sure, secrets.Distinctive, secrets.Redact},
		{"[[rule]]\nid = \"acme\"\npattern = \"acme_[0-9]+\"\nmode = \"block\"", "core", "acme", secrets.Distinctive, secrets.Block},
		{"[rules]\nacme = \"off\"\n[[rule]]\nid = \"acme\"\npattern = \"acme_[0-9]+\"\nmode = \"block\"", "core", "acme", secrets.Distinctive, secrets.Off},
	} {
		if got := rulesOf(t, c.toml).For("alice@example.com", c.team, "").Policy()(c.rule, c.class); got != c.want {
			t.Errorf("%s\n%s is %s for the team %s, want %s", c.toml, c.rule, got, c.team, c.want)
		}
	}
}

func TestWhatIsOffIsNotLookedForAndWhatIsOnlyReportedNeverRefuses(t *testing.T) {
	for toml, want := range map[string][2]bool{ // off, closed
		``:                {false, true},
		`mode = "off"`:    {true, false},
		`mode = "report"`: {false, false},
		"mode = \"report\"\n[rules]\ngithub-token = \"redact\"": {false, true},
	} {
		if set := rulesOf(t, toml).For("", "", ""); set.Off() != want[0] || set.Closed() != want[1] {
			t.Errorf("%s: off %t, closed %t, want %v", toml, set.Off(), set.Closed(), want)
		}
	}
	rules := rulesOf(t, "restore = \"text\"\n[teams.core]\nrestore = \"off\"")
	if rules.For("", "", "").Reach() != secrets.RestoreText || rules.For("", "core", "").Reach() != secrets.RestoreOff {
		t.Error("the team's word on restoring does not count")
	}
}

var acme = "acme_" + "8126453907716254"

func TestAllowListsHoldForWhomTheyName(t *testing.T) {
	key := secrets.Key{1}
	rules := rulesOf(t, fmt.Sprintf(`
[[rule]]
id = "acme"
pattern = "acme_[0-9]+"
keywords = ["acme_"]
[[allow]]
fingerprint = %q
team = "core"
[[allow]]
pattern = "^acme_8"
developer = "bob@example.com"
reason = "a test tenant"`, key.Fingerprint([]byte(acme))))
	for who, want := range map[[2]string]int{
		{"alice@example.com", "other"}: 1,
		{"alice@example.com", "core"}:  0,
		{"bob@example.com", "other"}:   0,
		{"bob@example.com", "core"}:    0,
	} {
		if found := rules.For(who[0], who[1], "").Scanner().Scan([]byte("take "+acme), nil); len(found) != want {
			t.Errorf("%v: %d found, want %d", who, len(found), want)
		}
	}
}

type history []RuleSet

func (h *history) RuleSets(context.Context) ([]RuleSet, error) { return *h, nil }

func (h *history) AddRuleSet(_ context.Context, set RuleSet) error {
	if n := len(*h); n == 0 || string((*h)[n-1].Document) != string(set.Document) {
		*h = append(*h, set)
	}
	return nil
}

// session is the id of a conversation that began at a time.
func session(began time.Time) string {
	id := uuid.Must(uuid.NewV7())
	for i := range 6 {
		id[i] = byte(began.UnixMilli() >> (8 * (5 - i)))
	}
	return id.String()
}

func TestAConversationKeepsTheRulesThatItBeganUnder(t *testing.T) {
	var h history
	var log strings.Builder
	open := func(toml string, now time.Time) *Rules {
		t.Helper()
		r, err := Open(t.Context(), parse(t, toml), secrets.Key{1}, &h, at(now), slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	mode := func(r *Rules, session string) secrets.Mode {
		return r.For("alice@example.com", "core", session).Policy()("github-token", secrets.Distinctive)
	}
	const day = 24 * time.Hour
	open(`mode = "report"`, noon)
	open(`mode = "report"`, noon.Add(day)) // a restart
	open(``, noon.Add(2*day))
	h = append(h[:1:1], append(history{{Since: noon.Add(day), Document: []byte(`{"edition":99}`)}}, h[1:]...)...) // a newer program's
	r := open(`mode = "block"`, noon.Add(3*day))
	if len(h) != 4 || !strings.Contains(log.String(), "edition 99") {
		t.Errorf("%d sets of rules are kept, and the log says %s", len(h), log.String())
	}
	for _, c := range []struct {
		name, session string
		want          secrets.Mode
	}{
		{"before the first rules", session(noon.Add(-time.Hour)), secrets.Report},
		{"under the first", session(noon.Add(time.Hour)), secrets.Report},
		{"under the second", session(noon.Add(2*day + time.Hour)), secrets.Redact},
		{"in the future", session(noon.Add(4 * day)), secrets.Block},
		{"no session", "", secrets.Block},
		{"no UUIDv7", "my-session", secrets.Block},
		{"another UUID", uuid.NewString(), secrets.Block},
	} {
		if got := mode(r, c.session); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	old := session(noon.Add(time.Hour))
	if got := mode(open(`mode = "block"`, noon.Add(40*day)), old); got != secrets.Block {
		t.Errorf("after 40 days: %s", got)
	}
	if set := open("mode = \"block\"\nrestore = \"off\"", noon.Add(3*day)).For("", "", old); set.Reach() != secrets.RestoreOff || len(h) != 4 {
		t.Error("restoring does not stop at once, or is a rule of its own")
	}
	if got := mode(open("mode = \"block\"\npin_days = 0", noon.Add(3*day)), old); got != secrets.Block {
		t.Errorf("with pin_days = 0: %s", got)
	}
}

var github = "ghp_" + "x7Kq2LmVb9RtYw4ZcN8sDf3GhJ6pQa1EuT5o"

// body is a request with these texts as its items.
func body(items ...string) []byte {
	var input []string
	for _, item := range items {
		input = append(input, fmt.Sprintf(`{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}`, item))
	}
	return []byte(`{"model":"m","input":[` + strings.Join(input, ",") + `]}`)
}

func conversations(t *testing.T, toml string) *Conversations {
	return NewConversations(rulesOf(t, toml), MaxRemembered, at(noon))
}

func check(t *testing.T, talk *Conversation, text []byte, developer bool) Checked {
	t.Helper()
	checked, err := talk.Body(text, developer)
	if err != nil {
		t.Fatal(err)
	}
	return checked
}

func TestASecretIsBlockedUntilTheDeveloperGoesOn(t *testing.T) {
	talk := conversations(t, `mode = "block"`).Of("alice@example.com", "core", "s")
	first := body("take " + github)
	if !check(t, talk, first, true).Blocked {
		t.Error("a new secret passes")
	}
	if !check(t, talk, first, true).Blocked {
		t.Error("the same request passes the second time")
	}
	next := check(t, talk, body("take "+github, "never mind"), true)
	if next.Blocked || !next.Replaced || strings.Contains(string(next.Text), github) {
		t.Errorf("the conversation cannot go on: %+v", next)
	}
}

func TestARequestThatTheDeveloperDidNotMakeIsNotRemembered(t *testing.T) {
	talk := conversations(t, `mode = "block"`).Of("alice@example.com", "core", "s")
	if !check(t, talk, body(github), false).Blocked || !check(t, talk, body(github, "and this"), true).Blocked {
		t.Error("the developer's own request is not judged, as a warm-up was before")
	}
}

func TestAConversationIsItsDevelopersAlone(t *testing.T) {
	c := conversations(t, ``)
	mine := c.Of("alice@example.com", "core", "s")
	check(t, mine, body(github), true)
	if again := c.Of("alice@example.com", "core", "s"); again != mine || !again.Restores() {
		t.Error("the conversation is forgotten")
	}
	if c.Of("bob@example.com", "core", "s") == mine || c.Of("alice@example.com", "core", "") == mine {
		t.Error("the conversation is somebody else's too")
	}
	if conversations(t, `mode = "off"`).Of("alice@example.com", "core", "s") != nil {
		t.Error("there is a conversation where nothing is looked for")
	}
}

func TestASilentConversationIsForgotten(t *testing.T) {
	now := noon
	c := NewConversations(rulesOf(t, ``), MaxRemembered, func() time.Time { return now })
	first := c.Of("alice@example.com", "core", "s")
	now = now.Add(generation + time.Second)
	if c.Of("alice@example.com", "core", "s") != first {
		t.Error("it is forgotten too early")
	}
	for range 2 {
		now = now.Add(generation + time.Second)
		c.Of("bob@example.com", "core", "other")
	}
	if c.Of("alice@example.com", "core", "s") == first {
		t.Error("it is never forgotten")
	}
}

func TestATextThatOnlyLooksLikeJSONIsSearchedAsText(t *testing.T) {
	for _, text := range []string{`{"a":"` + github, "[" + github + "]", github, `DB=postgres://u:` + "Zq8vT3nR" + `@db.example.com/x`, "\"" + github} {
		checked, err := conversations(t, `suspicious = "redact"`).Of("a", "", "").Text("header X", []byte(text))
		if err != nil || !checked.Replaced || strings.Contains(string(checked.Text), github) || strings.Contains(string(checked.Text), "Zq8vT3nR") {
			t.Errorf("%.10s… leaves as it is, %v", text, err)
		}
	}
}

func TestABodyThatIsNoJSONIsNotSearched(t *testing.T) {
	talk := conversations(t, ``).Of("a", "", "")
	for _, text := range []string{`{"a":"` + github, "[" + github + "]", github, "{}{}"} {
		if _, err := talk.Body([]byte(text), true); !errors.Is(err, ErrUnchecked) || strings.Contains(err.Error(), github) {
			t.Errorf("%.10s… gives %v", text, err)
		}
	}
	for _, text := range []string{"", " \r\n\t"} {
		if checked, err := talk.Body([]byte(text), true); err != nil || checked.Replaced {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestConversationsAreRememberedAsFarAsThereIsRoom(t *testing.T) {
	c := conversations(t, ``)
	c.limit = 512 << 10
	before := c.Bytes()
	for n := range 2000 {
		check(t, c.Of("alice@example.com", "core", fmt.Sprint(n)), body(fmt.Sprint("k: ", github, " ", n)), true)
		if took := c.young.bytes + c.old.bytes; took > c.limit+8<<10 {
			t.Fatalf("%d conversations take %d bytes of %d", n, took, c.limit)
		}
		if !c.Of("alice@example.com", "core", "0").Restores() {
			t.Fatalf("after %d others, one that is asked for again and again is forgotten", n)
		}
	}
	known := 0
	for n := range 2000 {
		if talk := c.old.talks[key{"alice@example.com", "core", fmt.Sprint(n), c.rules.Load().For("", "", "").Version()}]; talk != nil {
			known++
		}
	}
	if known < 50 || known > 500 || c.Bytes() <= before {
		t.Errorf("%d are known of the older half", known)
	}
}

func TestAConversationThatIsTooLargeIsForgottenAndTheOthersAreNot(t *testing.T) {
	c := conversations(t, ``)
	c.limit = 512 << 10
	small := c.Of("alice@example.com", "core", "small")
	check(t, small, body(github), true)
	for range 5 {
		var text strings.Builder
		for n := range 500 {
			fmt.Fprintf(&text, "postgres://u:Zq8vT3nR%d@db.example.com/x\n", n)
		}
		large := c.Of("alice@example.com", "core", "large")
		if large.Restores() {
			t.Fatal("what is too large is remembered")
		}
		check(t, large, body(text.String()), true)
		if !large.Restores() {
			t.Error("its own answer is not restored")
		}
	}
	if c.Of("alice@example.com", "core", "small") != small {
		t.Error("another is forgotten for it")
	}
}

func TestAPanicOfTheSearchIsAnErrorThatQuotesNothing(t *testing.T) {
	talk := conversations(t, ``).Of("alice@example.com", "core", "s")
	talk.vault = nil
	_, err := talk.Body(body(github), true)
	if err == nil || !strings.Contains(err.Error(), ErrUnchecked.Error()) || strings.Contains(err.Error(), github) {
		t.Errorf("error: %v", err)
	}
}
