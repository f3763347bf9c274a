package ledgertest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/ledger"
)

// RunMarks tests the stores of marks that open makes; each must begin empty.
func RunMarks(t *testing.T, open func(t *testing.T) ledger.Marks) {
	for name, test := range map[string]func(*testing.T, ledger.Marks){
		"a mark comes back as it was made":                   markKept,
		"a later mark takes the place of the earlier one":    markReplaced,
		"a mark is taken back":                               markOpened,
		"a mark that makes no sense changes nothing":         markRefused,
		"marks that are made at once are all kept":           marksAtOnce,
		"a store that is asked under an ended context fails": marksEndedContext,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// mark makes a mark whose fingerprint is one digit over and over.
func mark(digit string, as ledger.MarkedAs) ledger.Mark {
	return ledger.Mark{
		Fingerprint: strings.Repeat(digit, 32), As: as, Note: "it's \"new\"; DROP TABLE marks — ☃",
		By: "alice@example.com", At: Start.Add(1234 * time.Millisecond),
	}
}

// kept checks which marks there are.
func kept(t *testing.T, store ledger.Marks, want ...ledger.Mark) {
	t.Helper()
	got, err := store.Marks(t.Context())
	succeeds(t, err)
	byFingerprint := func(a, b ledger.Mark) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) }
	slices.SortFunc(got, byFingerprint)
	slices.SortFunc(want, byFingerprint)
	equal(t, "the marks", got, want)
}

func markKept(t *testing.T, store ledger.Marks) {
	kept(t, store)
	succeeds(t, store.Mark(t.Context(), mark("a", ledger.Rotated)))
	bare := ledger.Mark{Fingerprint: strings.Repeat("0", 32), As: ledger.FalsePositive, At: Start}
	succeeds(t, store.Mark(t.Context(), bare))
	kept(t, store, mark("a", ledger.Rotated), bare)
}

func markReplaced(t *testing.T, store ledger.Marks) {
	succeeds(t, store.Mark(t.Context(), mark("a", ledger.Rotated)))
	second := mark("a", ledger.FalsePositive)
	second.Note, second.By, second.At = "", "bob@example.com", Start.Add(time.Hour)
	succeeds(t, store.Mark(t.Context(), second))
	kept(t, store, second)
}

func markOpened(t *testing.T, store ledger.Marks) {
	succeeds(t, store.Mark(t.Context(), mark("a", ledger.Rotated)))
	succeeds(t, store.Mark(t.Context(), mark("b", ledger.Rotated)))
	succeeds(t, store.Mark(t.Context(), mark("a", ledger.Open)))
	succeeds(t, store.Mark(t.Context(), mark("c", ledger.Open))) // never was marked
	kept(t, store, mark("b", ledger.Rotated))
}

func markRefused(t *testing.T, store ledger.Marks) {
	long := mark("a", ledger.Rotated)
	long.Note = strings.Repeat("x", 501)
	short := mark("a", ledger.Rotated)
	short.Fingerprint = "aa"
	for _, wrong := range []ledger.Mark{mark("a", "nothing"), mark("G", ledger.Rotated), long, short} {
		if err := store.Mark(t.Context(), wrong); err == nil {
			t.Errorf("%+v was kept", wrong)
		}
	}
	kept(t, store)
}

func marksAtOnce(t *testing.T, store ledger.Marks) {
	var want []ledger.Mark
	var marking sync.WaitGroup
	for _, end := range "01234567" {
		m := mark("a", ledger.Rotated)
		m.Fingerprint = m.Fingerprint[1:] + string(end)
		want = append(want, m)
		marking.Go(func() {
			if err := store.Mark(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	marking.Wait()
	kept(t, store, want...)
}

func marksEndedContext(t *testing.T, store ledger.Marks) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Mark(ctx, mark("a", ledger.Rotated)); err == nil {
		t.Error("Mark under an ended context succeeded")
	}
	if _, err := store.Marks(ctx); err == nil {
		t.Error("Marks under an ended context succeeded")
	}
}
