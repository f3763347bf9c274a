package developertest

import (
	"crypto/rand"
	"testing"
	"time"

	"codex-proxy/internal/developer"
)

// TidyStore is a store that keeps new tokens in the place of old ones.
type TidyStore interface {
	developer.Store
	developer.Tidier
}

// RunTidy tests what a new token does to a developer's others. open returns two ways
// to the same store, which must begin empty.
func RunTidy(t *testing.T, open func(t *testing.T) (server, other TidyStore)) {
	for name, test := range map[string]func(t *testing.T, server, other TidyStore){
		"a new token ends and deletes those that are named":       tidyIsDone,
		"a token that cannot be added ends and deletes nothing":   tidyIsRefused,
		"of many tokens for one proof one is kept":                oneForAProof,
		"of many that come at once no more are left than allowed": tidyAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			server, other := open(t)
			test(t, server, other)
		})
	}
}

// naming names tokens that end and that are deleted.
func naming(ended, deleted []string) developer.Tidy {
	return func([]developer.TokenInfo) ([]string, []string) { return ended, deleted }
}

func tidyIsDone(t *testing.T, s, other TidyStore) {
	a, first := alice(t, s)
	bobs := credential(t, "bob", Now, time.Time{})
	succeeds(t, s.AddDeveloper(t.Context(), person(t, "bob", ""), bobs))
	soon, gone := credential(t, a.ID, Now, Now.Add(time.Minute)), credential(t, a.ID, Now.Add(time.Second), time.Time{})
	succeeds(t, s.AddToken(t.Context(), soon))
	succeeds(t, s.AddToken(t.Context(), gone))
	fresh := credential(t, a.ID, Now.Add(time.Hour), time.Time{})
	seen := 0
	succeeds(t, s.AddTokenAndTidy(t.Context(), fresh, func(tokens []developer.TokenInfo) (ended, deleted []string) {
		seen = len(tokens)
		equal(t, "the newest", tokens[len(tokens)-1].ID, gone.ID)
		return []string{first.ID, soon.ID, bobs.ID, "unknown"}, []string{gone.ID, bobs.ID, "unknown"}
	}))
	equal(t, "tokens seen", seen, 3)
	equal(t, "the first ends", must[developer.TokenInfo](t)(other.Token(t.Context(), first.ID)).Expires, fresh.Created)
	equal(t, "another's end comes no later", must[developer.TokenInfo](t)(other.Token(t.Context(), soon.ID)).Expires, soon.Expires)
	equal(t, "the new one", must[developer.Grant](t)(other.Grant(t.Context(), fresh.Hash)).TokenInfo, fresh.TokenInfo)
	equal(t, "another developer's", must[developer.TokenInfo](t)(other.Token(t.Context(), bobs.ID)), bobs.TokenInfo)
	_, err := other.Grant(t.Context(), gone.Hash)
	fails(t, err, developer.ErrNotFound)
	gone.Developer = "bob" // nobody's any more
	succeeds(t, other.AddToken(t.Context(), gone))
}

func tidyIsRefused(t *testing.T, s, other TidyStore) {
	a, first := alice(t, s)
	taken := credential(t, a.ID, Now, time.Time{})
	taken.ID = first.ID
	fails(t, other.AddTokenAndTidy(t.Context(), taken, naming([]string{first.ID}, nil)), developer.ErrExists)
	equal(t, "the first", must[developer.Grant](t)(s.Grant(t.Context(), first.Hash)).TokenInfo, first.TokenInfo)
	fails(t, other.AddTokenAndTidy(t.Context(), credential(t, "nobody", Now, time.Time{}), naming(nil, nil)), developer.ErrNotFound)
}

func oneForAProof(t *testing.T, s, other TidyStore) {
	a, _ := alice(t, s)
	add := func(i int) error {
		_, c, err := developer.IssueOnce(rand.Reader, []byte("a proof"), a.ID, "", Now, time.Time{})
		if err != nil {
			return err
		}
		return []TidyStore{s, other}[i%2].AddTokenAndTidy(t.Context(), c, naming(nil, nil))
	}
	onlyOne(t, atOnce(8, add))
	fails(t, add(0), developer.ErrExists)
	tokens := must[[]developer.TokenInfo](t)(s.Tokens(t.Context(), a.ID))
	equal(t, "tokens", len(tokens), 2)
	must[developer.TokenInfo](t)(s.RevokeToken(t.Context(), tokens[1].ID, Now))
	fails(t, add(1), developer.ErrExists)
	_, c, err := developer.IssueOnce(rand.Reader, []byte("another proof"), a.ID, "", Now, time.Time{})
	succeeds(t, err)
	succeeds(t, s.AddTokenAndTidy(t.Context(), c, naming(nil, nil)))
}

func tidyAtOnce(t *testing.T, s, other TidyStore) {
	succeeds(t, s.AddDeveloper(t.Context(), person(t, "alice", "")))
	const allowed = 3
	for _, err := range atOnce(12, func(i int) error {
		_, c := issue(t, "alice")
		return []TidyStore{s, other}[i%2].AddTokenAndTidy(t.Context(), c, func(tokens []developer.TokenInfo) (ended, deleted []string) {
			for _, old := range tokens[:max(0, len(tokens)-(allowed-1))] {
				deleted = append(deleted, old.ID)
			}
			return nil, deleted
		})
	}) {
		succeeds(t, err)
	}
	equal(t, "tokens", len(must[[]developer.TokenInfo](t)(s.Tokens(t.Context(), "alice"))), allowed)
}
