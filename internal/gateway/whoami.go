package gateway

import (
	"encoding/json"
	"net/http"
	"time"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/refusal"
)

// whoami is what a developer may know of themself.
type whoami struct {
	Developer string    `json:"developer"`
	Name      string    `json:"name"`
	Team      string    `json:"team"`
	TokenID   string    `json:"token_id"`
	Expires   time.Time `json:"expires,omitzero"`
	// Budget is the developer's own, TeamBudget what the whole team shares.
	Budget     *balance `json:"budget,omitempty"`
	TeamBudget *balance `json:"team_budget,omitempty"`
}

// balance is where a budget stands in the calendar month (UTC), in USD.
type balance struct {
	Limit    json.Number `json:"limit_usd"`
	Spent    json.Number `json:"spent_usd"`
	Left     json.Number `json:"left_usd"`
	ResetsAt time.Time   `json:"resets_at"`
}

// Whoami answers GET /whoami: whose the bearer is, until when it holds, and what
// is left of the budgets. It goes nowhere and is no exchange, so it is not put on
// record; it refuses as an exchange is refused.
func (g *Gateway) Whoami(w http.ResponseWriter, r *http.Request) {
	e := g.describe(r)
	who, no := developer.Identity{}, judgeOrigin(r)
	if no == nil {
		who, no = g.authenticate(r, &e)
	}
	var balances []admission.Balance
	if no == nil {
		var err error
		if balances, err = g.Desk.Balances(r.Context(), who); err != nil {
			g.Log.ErrorContext(r.Context(), "ledger cannot answer; whoami is refused with 503", "id", e.ID, "error", err)
			no = refusal.Unavailable("the ledger cannot answer just now, so what is left of your budget is not known. Try again soon.")
		}
	}
	if no != nil {
		g.refuseWhoami(w, r, e, no)
		return
	}
	answer := whoami{Developer: who.Developer, Name: who.Name, Team: who.Team, TokenID: who.TokenID, Expires: who.Expires}
	for _, b := range balances {
		stands := &balance{
			Limit: exchange.USD(b.LimitNanos), Spent: exchange.USD(b.SpentNanos),
			Left: exchange.USD(max(0, b.LimitNanos-b.SpentNanos)), ResetsAt: b.ResetsAt,
		}
		if b.Team {
			answer.TeamBudget = stands
		} else {
			answer.Budget = stands
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Request-Id", e.ID)
	_ = json.NewEncoder(w).Encode(answer) // the asker may be gone
}

func (g *Gateway) refuseWhoami(w http.ResponseWriter, r *http.Request, e exchange.Exchange, no *refusal.Refusal) {
	g.Meter.Refused(no.Reason)
	no.Answer(w, e.ID, false)
	g.Log.InfoContext(r.Context(), "request refused", "id", e.ID, "reason", no.Reason, "status", no.Status,
		"method", e.Method, "path", e.Path, "developer", e.Developer, "remote", r.RemoteAddr)
}
