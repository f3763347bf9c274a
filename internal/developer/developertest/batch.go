package developertest

import (
	"errors"
	"testing"
	"time"

	"codex-proxy/internal/developer"
)

// BatchStore is a store that can do many things at once.
type BatchStore interface {
	developer.Store
	developer.Batcher
}

// RunBatches tests the stores that open makes; each must begin empty.
func RunBatches(t *testing.T, open func(t *testing.T) BatchStore) {
	for name, test := range map[string]func(*testing.T, BatchStore){
		"a batch is done whole": batchIsDone,
		"a batch of which one part cannot be done changes nothing": batchIsRefused,
		"who disabled a developer is kept":                         disabledByIsKept,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func batchIsDone(t *testing.T, s BatchStore) {
	a, first := alice(t, s)
	b, c := person(t, "bob", "core"), person(t, "carol", "core")
	issued := credential(t, "bob", Now, time.Time{})
	more := credential(t, a.ID, Now, time.Time{})
	moved := a
	moved.Name, moved.Team = "Alice", "infra"
	moved.Disable(developer.DisabledBySync, Now.Add(time.Hour))
	succeeds(t, s.ApplyBatch(t.Context(), developer.Batch{
		Add:    []developer.Developer{b, c},
		Change: []developer.Change{{Before: a, After: moved}},
		Tokens: []developer.Credential{issued, more},
	}))
	equal(t, "developers", must[[]developer.Developer](t)(s.Developers(t.Context())), []developer.Developer{moved, b, c})
	equal(t, "holder", must[developer.Grant](t)(s.Grant(t.Context(), first.Hash)).Holder, moved)
	equal(t, "added token", must[developer.Grant](t)(s.Grant(t.Context(), issued.Hash)).Holder, b)
	equal(t, "tokens of alice", len(must[[]developer.TokenInfo](t)(s.Tokens(t.Context(), a.ID))), 2)
	succeeds(t, s.ApplyBatch(t.Context(), developer.Batch{}))
}

func batchIsRefused(t *testing.T, s BatchStore) {
	a, taken := alice(t, s)
	good := person(t, "bob", "core")
	stolen := taken
	stolen.Developer = "bob"
	gone, stale, unprintable := person(t, "gone", ""), a, a
	stale.Name, unprintable.Name = "Not so", "\x1b"
	for name, c := range map[string]struct {
		batch developer.Batch
		want  error
	}{
		"a developer who exists":      {developer.Batch{Add: []developer.Developer{good, a}}, developer.ErrExists},
		"the same developer twice":    {developer.Batch{Add: []developer.Developer{good, good}}, developer.ErrExists},
		"a token in use":              {developer.Batch{Add: []developer.Developer{good}, Tokens: []developer.Credential{stolen}}, developer.ErrExists},
		"a token of nobody":           {developer.Batch{Add: []developer.Developer{good}, Tokens: []developer.Credential{credential(t, "gone", Now, time.Time{})}}, developer.ErrNotFound},
		"a change of nobody":          {developer.Batch{Add: []developer.Developer{good}, Change: []developer.Change{{Before: gone, After: gone}}}, developer.ErrNotFound},
		"a change of what is no more": {developer.Batch{Add: []developer.Developer{good}, Change: []developer.Change{{Before: stale, After: a}}}, developer.ErrChanged},
		"two changes of the same":     {developer.Batch{Change: []developer.Change{{Before: a, After: stale}, {Before: a, After: a}}}, developer.ErrChanged},
		"a change that cannot be":     {developer.Batch{Add: []developer.Developer{good}, Change: []developer.Change{{Before: a, After: unprintable}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.ApplyBatch(t.Context(), c.batch)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error: %v, want one that wraps %v", err, c.want)
			}
			equal(t, "developers", must[[]developer.Developer](t)(s.Developers(t.Context())), []developer.Developer{a})
			equal(t, "teams", len(must[[]developer.Team](t)(s.Teams(t.Context()))), 1)
		})
	}
}

func disabledByIsKept(t *testing.T, s BatchStore) {
	a, _ := alice(t, s)
	for _, by := range []string{developer.DisabledBySync, ""} {
		want := must[developer.Developer](t)(s.UpdateDeveloper(t.Context(), a.ID, func(d *developer.Developer) error {
			d.Disable(by, Now)
			return nil
		}))
		equal(t, "kept", must[developer.Developer](t)(s.Developer(t.Context(), a.ID)), want)
		equal(t, "by", want.DisabledBy, by)
	}
}
