package redaction

import (
	"log/slog"
	"testing"
	"time"

	"codex-proxy/internal/secrets"
)

func TestWhatIsAllowedLaterHoldsForConversationsThatBeginLater(t *testing.T) {
	var h history
	key := secrets.Key{1}
	open := func(allowed []string, now time.Time) *Rules {
		t.Helper()
		r, err := Open(t.Context(), parse(t, ``).Allowing(allowed), key, &h, at(now), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	now := noon
	c := NewConversations(open(nil, now), MaxRemembered, func() time.Time { return now })
	found := func(session string) int {
		t.Helper()
		return len(check(t, c.Of("alice@example.com", "core", session), body("use "+github), true).Findings)
	}
	before := session(noon.Add(time.Minute))
	if n := found(before); n != 1 {
		t.Fatalf("%d found before it is allowed", n)
	}
	now = noon.Add(time.Hour)
	c.SetRules(open([]string{key.Fingerprint([]byte(github))}, now))
	if n := found(before); n != 1 {
		t.Errorf("%d found in a conversation that began before: OpenAI's prompt cache misses it", n)
	}
	if n := found(session(noon.Add(2 * time.Hour))); n != 0 {
		t.Errorf("%d found in one that began after", n)
	}
	now = noon.Add(3 * time.Hour)
	c.SetRules(open(nil, now))
	if n := found(session(noon.Add(4 * time.Hour))); n != 1 {
		t.Errorf("%d found after the mark was taken back", n)
	}
}
