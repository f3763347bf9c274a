package secretsmanager_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/secretsmanager"
	"codex-proxy/internal/standin"
)

const id = "codex-proxy/openai-key"

// clock is a time that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func plain(text string) (string, error) {
	if !strings.HasPrefix(text, "sk-") {
		return "", errors.New("it is no key")
	}
	return text, nil
}

// open returns the secret "sk-1" at hand, where it is kept, and the line there.
func open(t *testing.T) (*secretsmanager.Secret[string], *standin.Secrets, *standin.Line, *clock) {
	t.Helper()
	manager := standin.SecretsManager(t)
	manager.Set(id, "sk-1")
	line := standin.NewLine(t, manager.Address)
	c := &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	secret, err := secretsmanager.Open(t.Context(), secretsmanager.Connect(standin.Config(line.Address)), id, plain,
		secretsmanager.Options{Log: slog.New(slog.DiscardHandler), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return secret, manager, line, c
}

func want(t *testing.T, secret *secretsmanager.Secret[string], manager *standin.Secrets, value string, reads int) {
	t.Helper()
	if got := secret.Value(t.Context()); got != value {
		t.Errorf("the value is %s, want %s", got, value)
	}
	if got := manager.Reads(); got != reads {
		t.Errorf("it was read %d times, want %d", got, reads)
	}
}

func TestARotatedSecretIsInUseAfterFiveMinutes(t *testing.T) {
	secret, manager, _, clock := open(t)
	manager.Set(id, "sk-2")
	clock.Pass(secretsmanager.Lifetime - time.Second)
	want(t, secret, manager, "sk-1", 1)
	clock.Pass(time.Second)
	want(t, secret, manager, "sk-2", 2)
	clock.Pass(secretsmanager.Lifetime - time.Second)
	want(t, secret, manager, "sk-2", 2)
}

func TestARefusedSecretIsReadAgainAtOnceButNotAllTheTime(t *testing.T) {
	secret, manager, _, clock := open(t)
	ctx := t.Context()
	manager.Set(id, "sk-2")
	if secret.Refused(ctx, "sk-1") {
		t.Error("it was read again just after it was read")
	}
	clock.Pass(secretsmanager.Pause)
	if !secret.Refused(ctx, "sk-1") {
		t.Error("the new value was not found")
	}
	want(t, secret, manager, "sk-2", 2)
	clock.Pass(secretsmanager.Pause)
	if !secret.Refused(ctx, "sk-1") { // by a request that began before
		t.Error("the new value is not told of")
	}
	want(t, secret, manager, "sk-2", 2)
	for range 10 { // upstream refuses this one too
		if secret.Refused(ctx, "sk-2") {
			t.Error("there is no other value")
		}
	}
	want(t, secret, manager, "sk-2", 3)
}

func TestManyWhoNeedTheSecretReadItOnce(t *testing.T) {
	secret, manager, _, clock := open(t)
	clock.Pass(secretsmanager.Lifetime)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if i%2 == 0 {
				secret.Value(t.Context())
			} else {
				secret.Refused(t.Context(), "sk-1")
			}
		})
	}
	all.Wait()
	want(t, secret, manager, "sk-1", 2)
}

func TestTheSecretStaysInUseWhileItCannotBeRead(t *testing.T) {
	for name, fault := range map[string]standin.Fault{"broken": standin.Broken, "hung": standin.Hung} {
		t.Run(name, func(t *testing.T) {
			secret, manager, line, clock := open(t)
			manager.Set(id, "sk-2")
			clock.Pass(secretsmanager.Lifetime)
			line.FailAll(fault)
			want(t, secret, manager, "sk-1", 1)
			line.FailAll(standin.None)
			want(t, secret, manager, "sk-1", 1) // not so soon
			clock.Pass(secretsmanager.Pause)
			want(t, secret, manager, "sk-2", 2)
		})
	}
}

func TestASecretThatIsGoneOrNoKeyLeavesTheOneBefore(t *testing.T) {
	secret, manager, _, clock := open(t)
	for i, text := range []string{"", "nonsense", "{"} {
		manager.Set(id, text)
		clock.Pass(secretsmanager.Lifetime)
		want(t, secret, manager, "sk-1", 2+i)
	}
}

func TestASecretIsTextOrAMemberOfAnObject(t *testing.T) {
	manager := standin.SecretsManager(t)
	for _, c := range []struct{ secret, member, value, failure string }{
		{"sk-text", "", "sk-text", ""},
		{"sk-text", "OPENAI_API_KEY", "sk-text", ""},
		{`{"any":"sk-only"}`, "", "sk-only", ""},
		{`{"OPENAI_API_KEY":"sk-named","other":"sk-other"}`, "OPENAI_API_KEY", "sk-named", ""},
		{`{"a":"sk-secret","b":"sk-secret"}`, "", "", "2 members"},
		{`{"a":"sk-secret"}`, "b", "", `without a text "b"`},
		{`{"a":7}`, "", "", "without a text"},
		{`{"a":"sk-secret"`, "", "", "none"},
		{"secret", "", "", "no key"},
		{"", "", "", "there is no such secret"},
	} {
		manager.Set(id, c.secret)
		secret, err := secretsmanager.Open(t.Context(), secretsmanager.Connect(standin.Config(manager.Address)), id, plain,
			secretsmanager.Options{Member: c.member, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		switch {
		case c.failure != "":
			if err == nil || !strings.Contains(err.Error(), c.failure) || strings.Contains(err.Error(), "sk-") {
				t.Errorf("%s: %v, want %q", c.secret, err, c.failure)
			}
		case err != nil || secret.Value(t.Context()) != c.value:
			t.Errorf("%s: %v", c.secret, err)
		}
	}
}

func TestNoSecretReachesALog(t *testing.T) {
	manager := standin.SecretsManager(t)
	manager.Set(id, "sk-1")
	var log bytes.Buffer
	c := &clock{now: time.Now()}
	secret, err := secretsmanager.Open(t.Context(), secretsmanager.Connect(standin.Config(manager.Address)), id, plain,
		secretsmanager.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"sk-2", "", `{"a":"sk-3"`} {
		manager.Set(id, text)
		c.Pass(secretsmanager.Lifetime)
		secret.Value(t.Context())
	}
	if log.Len() == 0 || strings.Contains(log.String(), "sk-") {
		t.Errorf("the log holds a secret, or nothing:\n%s", log.String())
	}
}
