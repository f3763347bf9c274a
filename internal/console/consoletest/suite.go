// Package consoletest tests stores of the console.
package consoletest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/console"
)

// Run tests the stores that open makes; each must begin empty.
func Run(t *testing.T, open func(t *testing.T) console.Store) {
	t.Run("a document is replaced by whoever has read the last version", func(t *testing.T) { versions(t, open(t)) })
	t.Run("of several who replace a document at once, one does", func(t *testing.T) { atOnce(t, open(t)) })
	t.Run("a developer's sessions end, and nobody else's", func(t *testing.T) { endings(t, open(t)) })
	t.Run("readings are kept with what becomes of them", func(t *testing.T) { readings(t, open(t)) })
}

func versions(t *testing.T, s console.Store) {
	content, version, err := s.ConsoleDocument(t.Context(), "people")
	if content != nil || version != 0 || err != nil {
		t.Fatalf("at first: %q, %d, %v", content, version, err)
	}
	for _, text := range []string{"one", "two"} {
		if ok, err := s.SetConsoleDocument(t.Context(), "people", []byte(text), version); !ok || err != nil {
			t.Fatalf("%s: %t, %v", text, ok, err)
		}
		if ok, err := s.SetConsoleDocument(t.Context(), "people", []byte("late"), version); ok || err != nil {
			t.Errorf("over %s, by who has not read it: %t, %v", text, ok, err)
		}
		before := version
		content, version, err = s.ConsoleDocument(t.Context(), "people")
		if string(content) != text || version <= before || err != nil {
			t.Errorf("kept: %q, %d, %v; want %q", content, version, err, text)
		}
	}
	if other, version, err := s.ConsoleDocument(t.Context(), "other"); other != nil || version != 0 || err != nil {
		t.Errorf("another: %q, %d, %v", other, version, err)
	}
}

func atOnce(t *testing.T, s console.Store) {
	var trying sync.WaitGroup
	written := make(chan string, 8)
	for n := range cap(written) {
		trying.Go(func() {
			text := fmt.Sprint("by ", n)
			ok, err := s.SetConsoleDocument(t.Context(), "people", []byte(text), 0)
			if err != nil {
				t.Error(err)
			}
			if ok {
				written <- text
			}
		})
	}
	trying.Wait()
	content, _, err := s.ConsoleDocument(t.Context(), "people")
	if len(written) != 1 || string(content) != <-written || err != nil {
		t.Errorf("kept: %q, %v", content, err)
	}
}

func endings(t *testing.T, s console.Store) {
	people := console.People{Store: s, Now: time.Now}
	seen := map[string]bool{"": true}
	for range 2 {
		if err := people.EndDeveloper(t.Context(), "Alice@example.com"); err != nil {
			t.Fatal(err)
		}
		now, _, err := s.ConsoleDocument(t.Context(), "sessions/alice@example.com")
		if seen[string(now)] || err != nil {
			t.Errorf("sessions of before go on: %v", err)
		}
		seen[string(now)] = true
	}
	for _, name := range []string{"sessions/bob@example.com", "people"} {
		if other, version, err := s.ConsoleDocument(t.Context(), name); other != nil || version != 0 || err != nil {
			t.Errorf("%s: %q, %d, %v", name, other, version, err)
		}
	}
}

func readings(t *testing.T, s console.Store) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	of := func(n int, developer string) console.Reading {
		return console.Reading{
			ID: fmt.Sprintf("01a20c00-0000-7000-8000-%012d", n), At: at.Add(time.Duration(n) * time.Hour), Reader: "auditor", Role: "auditor",
			Developer: developer, Reason: "the incident of today", State: console.Asked,
		}
	}
	a, b, c := of(1, "alice@example.com"), of(2, "bob@example.com"), of(3, "alice@example.com")
	for _, r := range []console.Reading{c, a, b} {
		if err := s.PutReading(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	a.State, a.DecidedBy, a.Until = console.Granted, "admin", at.Add(5*time.Hour)
	if err := s.PutReading(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		developer string
		since     time.Time
		want      []console.Reading
	}{
		"all":           {"", at, []console.Reading{c, b, a}},
		"of alice":      {"alice@example.com", at, []console.Reading{c, a}},
		"since":         {"", b.At, []console.Reading{c, b}},
		"of nobody":     {"carol@example.com", at, nil},
		"in the future": {"", at.AddDate(0, 0, 1), nil},
	} {
		got, err := s.Readings(t.Context(), test.developer, test.since)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}
