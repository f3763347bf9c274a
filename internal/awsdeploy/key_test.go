package awsdeploy_test

import (
	"strings"
	"testing"

	"codex-proxy/internal/awsdeploy"
)

// key is a key in a test.
type key string

func (k key) Reveal() string { return string(k) }

func (f *fixture) store(k key) string {
	f.Helper()
	arn, err := f.cloud.StoreKey(f.Context(), awsdeploy.KeySecret("team-a"), k)
	if err != nil {
		f.Fatal(err)
	}
	return arn
}

func TestTheKeyIsStoredOnceAndReplacedByAnother(t *testing.T) {
	f := newFixture(t)
	if _, found, err := f.cloud.FindSecret(t.Context(), awsdeploy.KeySecret("team-a")); found || err != nil {
		t.Errorf("a secret is found before one is made: %t, %v", found, err)
	}
	arn := f.store("sk-first")
	if !strings.HasPrefix(arn, "arn:aws:secretsmanager:") {
		t.Errorf("the secret's ARN is %q", arn)
	}
	if again := f.store("sk-first"); again != arn {
		t.Errorf("the ARN is %q the second time, want %q", again, arn)
	}
	if _, written := f.aws.Secret("team-a/openai-key"); written != 1 {
		t.Errorf("the same key is written %d times, want once", written)
	}
	f.store("sk-second")
	if text, _ := f.aws.Secret("team-a/openai-key"); text != "sk-second" {
		t.Errorf("the secret holds %q", text)
	}
	f.wantHeard("holds this key already", "now holds another key")
	if f.heard("sk-") {
		t.Errorf("a key was said: %q", f.said)
	}
}

func TestASecretThatIsMarkedForDeletionIsRestored(t *testing.T) {
	f := newFixture(t)
	f.store("sk-first")
	s := f.leave()
	if _, err := f.cloud.UseSecret(t.Context(), "team-a/openai-key", s); err != nil {
		t.Fatal(err)
	}
	if f.aws.Leaving("team-a/openai-key") {
		t.Error("the secret is still marked for deletion")
	}
	f.leave()
	f.store("sk-second")
	if text, _ := f.aws.Secret("team-a/openai-key"); text != "sk-second" || f.aws.Leaving("team-a/openai-key") {
		t.Errorf("the secret holds %q, marked for deletion: %t", text, f.aws.Leaving("team-a/openai-key"))
	}
}

// leave marks the secret for deletion and finds it so.
func (f *fixture) leave() awsdeploy.Secret {
	f.Helper()
	f.aws.Leave("team-a/openai-key")
	s, found, err := f.cloud.FindSecret(f.Context(), "team-a/openai-key")
	if err != nil || !found || !s.Leaving {
		f.Fatalf("the secret is found as %+v, %t, %v", s, found, err)
	}
	return s
}
