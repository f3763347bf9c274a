package ledger

import (
	"time"

	"codex-proxy/internal/exchange"
)

// ExchangeQuery chooses exchanges to be listed one by one, the newest first.
// Empty fields choose all.
type ExchangeQuery struct {
	// From and To are when the exchanges began: in [From, To).
	From, To time.Time
	// Before is an exchange's id: those that began before it are chosen. It is
	// how a list goes on from its last row.
	Before                          string
	ID                              string
	Developer, Team, Session, Model string
	Outcome                         exchange.Outcome
	Origin                          exchange.Origin
	Transport                       exchange.Transport
	Refusal                         string
	Status                          int
	// Secrets chooses those that brought one.
	Secrets bool
	// Limit is how many are returned at most.
	Limit int
}

// SessionQuery chooses sessions by their last exchange, the one that was used
// last first. Empty fields choose all.
type SessionQuery struct {
	// From and To are when the last exchange began: in [From, To).
	From, To time.Time
	// Before is the id of a session's last exchange: sessions that were used last
	// before it are chosen. It is how a list goes on from its last row.
	Before                 string
	Developer, Team, Model string
	Outcome                exchange.Outcome
	// Limit is how many are returned at most.
	Limit int
}

// Session is what the exchanges of one session add up to. Two developers never
// share one, whatever their clients send.
type Session struct {
	ID, Developer, Team string
	// Begun is when its first exchange began.
	Begun time.Time
	// Last is its last exchange, without findings.
	Last exchange.Exchange
	// Models are those that answered, sorted.
	Models []string
	Counts
}
