package main

import (
	"context"
	"fmt"
	"iter"

	"codex-proxy/internal/ledger"
)

// sessionCommand looks up conversations.
type sessionCommand struct {
	List sessionListCommand `cmd:"" help:"List sessions, the one that was used last first."`
	Show sessionShowCommand `cmd:"" help:"Show a session's conversation turn by turn, of each what is new in it."`
}

// sessions yields the sessions that a query chooses, however many there are.
func sessions(ctx context.Context, store books, q ledger.SessionQuery) iter.Seq2[ledger.Session, error] {
	return func(yield func(ledger.Session, error) bool) {
		for {
			q.Limit = 200 // at a time
			some, err := store.Sessions(ctx, q)
			if err != nil {
				yield(ledger.Session{}, err)
				return
			}
			for _, s := range some {
				if !yield(s, nil) {
					return
				}
			}
			if len(some) < q.Limit {
				return
			}
			q.Before = some[len(some)-1].Last.ID
		}
	}
}

// cachedShare is how much of the input OpenAI had in its cache.
func cachedShare(cached, input int64) string {
	if input <= 0 {
		return "-"
	}
	return fmt.Sprintf("%d %%", cached*100/input)
}
