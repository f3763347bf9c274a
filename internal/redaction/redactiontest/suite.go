// Package redactiontest tests stores of the rules for secrets that were in force.
package redactiontest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/redaction"
)

// Run tests the stores that open makes, as a replica each of one and the same store
// that begins empty.
func Run(t *testing.T, open func(t *testing.T) (replica func() redaction.History)) {
	t.Run("a set of rules is kept once as long as it is the newest", func(t *testing.T) { keptOnce(t, open(t)) })
	t.Run("replicas that start at once add one set", func(t *testing.T) { replicasAddOne(t, open(t)) })
}

func keptOnce(t *testing.T, replica func() redaction.History) {
	store := replica()
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
	for _, s := range []redaction.History{store, replica()} {
		got, err := s.RuleSets(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, kept (-want +got):\n%s", err, diff)
		}
	}
}

func replicasAddOne(t *testing.T, replica func() redaction.History) {
	var replicas [4]redaction.History
	for i := range replicas {
		replicas[i] = replica()
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
