package sqlite

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/redaction"
)

func TestASetOfRulesIsKeptOnceAsLongAsItIsTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "developers.db")
	store := openDevelopers(t, path)
	start := time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)
	for _, add := range []struct {
		after    time.Duration
		document string
	}{
		{0, "a"},
		{time.Hour, "a"},
		{2 * time.Hour, "b"},
		{3 * time.Hour, "a"},
		{time.Hour, "c"}, // by a clock that is behind
		{time.Hour, "d"},
	} {
		if err := store.AddRuleSet(t.Context(), redaction.RuleSet{Since: start.Add(add.after), Document: []byte(add.document)}); err != nil {
			t.Fatal(err)
		}
	}
	want := []redaction.RuleSet{
		{Since: start, Document: []byte("a")},
		{Since: start.Add(2 * time.Hour), Document: []byte("b")},
		{Since: start.Add(3 * time.Hour), Document: []byte("a")},
		{Since: start.Add(3*time.Hour + time.Millisecond), Document: []byte("c")},
		{Since: start.Add(3*time.Hour + 2*time.Millisecond), Document: []byte("d")},
	}
	for _, s := range []*Developers{store, openDevelopers(t, path)} {
		got, err := s.RuleSets(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, kept (-want +got):\n%s", err, diff)
		}
	}
}

// TestReplicasThatStartAtOnceAddOneSet: each has its own connections to the file.
func TestReplicasThatStartAtOnceAddOneSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "developers.db")
	var replicas [4]*Developers
	for i := range replicas {
		replicas[i] = openDevelopers(t, path)
	}
	for round := range 10 {
		var starting sync.WaitGroup
		for i, replica := range replicas {
			starting.Go(func() {
				set := redaction.RuleSet{Since: time.UnixMilli(int64(1000 + 10*round + i)), Document: fmt.Append(nil, "round ", round)}
				if err := replica.AddRuleSet(t.Context(), set); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
	}
	if kept, err := replicas[0].RuleSets(t.Context()); err != nil || len(kept) != 10 {
		t.Errorf("%d sets are kept (%v), want 10", len(kept), err)
	}
}
