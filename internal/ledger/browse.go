package ledger

import (
	"strings"
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
	// Token is a token's public id, Client a part of the User-Agent, Tier the service
	// tier.
	Token, Client, Tier string
	// CostNanos and Duration choose those that cost, and took, at least so much.
	CostNanos int64
	Duration  time.Duration
	// Secrets chooses those that brought one.
	Secrets bool
	// Limit is how many are returned at most.
	Limit int
}

// Chooses reports whether the query chooses an exchange, as far as its row tells: not
// by Secrets and Limit.
func (q ExchangeQuery) Chooses(e exchange.Exchange) bool {
	return isWithin(q.From, q.To, q.Before, e) &&
		(q.ID == "" || e.ID == q.ID) &&
		(q.Developer == "" || e.Developer == q.Developer) &&
		(q.Team == "" || e.Team == q.Team) &&
		(q.Session == "" || e.Session == q.Session) &&
		(q.Model == "" || e.Model == q.Model) &&
		(q.Outcome == "" || e.Outcome == q.Outcome) &&
		(q.Origin == "" || e.ErrorOrigin == q.Origin) &&
		(q.Transport == "" || e.Transport == q.Transport) &&
		(q.Refusal == "" || e.Refusal == q.Refusal) &&
		(q.Status == 0 || e.Status == q.Status) &&
		(q.Token == "" || e.TokenID == q.Token) &&
		strings.Contains(e.Client, q.Client) &&
		(q.Tier == "" || e.Tier == q.Tier) &&
		(q.CostNanos == 0 || e.Cost.State == exchange.CostPriced && e.Cost.Nanos >= q.CostNanos) &&
		e.DurationMicros >= q.Duration.Microseconds()
}

// isWithin reports whether an exchange began in [from, to) and sorts before an id.
func isWithin(from, to time.Time, before string, e exchange.Exchange) bool {
	return (from.IsZero() || !e.Started.Before(from)) && (to.IsZero() || e.Started.Before(to)) && (before == "" || e.ID < before)
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

// Chooses reports whether the query chooses a session by its last exchange.
func (q SessionQuery) Chooses(last exchange.Exchange) bool {
	return isWithin(q.From, q.To, q.Before, last) &&
		(q.Developer == "" || last.Developer == q.Developer) &&
		(q.Team == "" || last.Team == q.Team) &&
		(q.Model == "" || last.Model == q.Model) &&
		(q.Outcome == "" || last.Outcome == q.Outcome)
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
