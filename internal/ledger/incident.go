package ledger

import (
	"time"

	"codex-proxy/internal/exchange"
)

// Sighting is one secret in one exchange.
type Sighting struct {
	exchange.Secret
	// Exchange is the id, under which the record is found.
	Exchange                 string
	Started                  time.Time
	Developer, Team, Session string
	Outcome                  exchange.Outcome
}

// Incident is one secret, in however many exchanges it was sent.
type Incident struct {
	Fingerprint string
	// Rules and Developers are sorted.
	Rules, Developers []string
	// First and Last are when the first and the last of the exchanges began.
	First, Last time.Time
	// Sessions leaves out exchanges that belong to none.
	Sessions int64
	// Exchanges counts those that carried the secret, New those that brought it
	// anew.
	Exchanges, New int64
	// Left counts the exchanges with which the secret left as it was. With
	// Redacted and Blocked they add up to Exchanges.
	Left, Redacted, Blocked int64
}

// IncidentQuery chooses sightings. Empty fields choose all.
type IncidentQuery struct {
	// From and To are when the exchanges began: in [From, To).
	From, To time.Time
	// Fingerprint is the beginning of a fingerprint.
	Fingerprint           string
	Developer, Team, Rule string
	Mode                  exchange.FindingMode
}

// Secrets are counted secrets that exchanges brought anew, each once for an
// exchange, by what became of them.
type Secrets struct{ Reported, Redacted, Blocked int64 }

// Add returns the sum of s and t.
func (s Secrets) Add(t Secrets) Secrets {
	return Secrets{s.Reported + t.Reported, s.Redacted + t.Redacted, s.Blocked + t.Blocked}
}

// Sub returns what s has more than t.
func (s Secrets) Sub(t Secrets) Secrets {
	return Secrets{s.Reported - t.Reported, s.Redacted - t.Redacted, s.Blocked - t.Blocked}
}

// Total returns how many there are.
func (s Secrets) Total() int64 { return s.Reported + s.Redacted + s.Blocked }

// countSecrets counts what one exchange brought anew.
func countSecrets(e exchange.Exchange) (s Secrets) {
	for _, secret := range e.Secrets() {
		switch {
		case !secret.New:
		case secret.Mode == exchange.Reported:
			s.Reported++
		case secret.Mode == exchange.Blocked:
			s.Blocked++
		default:
			s.Redacted++
		}
	}
	return s
}
