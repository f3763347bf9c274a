package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/gateway"
)

// whoami asks the handler itself, as the routes are made by whoever wires it.
func (f *fixture) whoami(change func(*http.Request)) (*http.Response, string) {
	f.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(f.gateway.Whoami))
	defer server.Close()
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, server.URL+"/whoami", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.token)
	if change != nil {
		change(r)
	}
	response, body := f.do(r)
	return response, string(body)
}

func TestWhoamiTellsWhoseTheTokenIsAndWhatIsLeft(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{DeveloperBudgetNanos: 20e9, TeamBudgetNanos: 5e9}})
	f.spent = 7_250_000_001
	response, body := f.whoami(nil)
	var got struct {
		Developer, Team string
		TokenID         string `json:"token_id"`
		Expires         *time.Time
		Budget          struct {
			Limit    json.Number `json:"limit_usd"`
			Spent    json.Number `json:"spent_usd"`
			Left     json.Number `json:"left_usd"`
			ResetsAt time.Time   `json:"resets_at"`
		}
		TeamBudget struct {
			Left json.Number `json:"left_usd"`
		} `json:"team_budget"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	if got.Developer != "alice@example.com" || got.Team != "platform" || len(got.TokenID) != 8 || got.Expires != nil ||
		got.Budget.Limit != "20.00" || got.Budget.Spent != "7.250000001" || got.Budget.Left != "12.749999999" || got.TeamBudget.Left != "0.00" ||
		got.Budget.ResetsAt.Day() != 1 || !got.Budget.ResetsAt.After(time.Now()) {
		t.Errorf("got %s", body)
	}
	if strings.Contains(body, f.token) || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer holds the token, or may be kept: %v", response.Header)
	}
}

func TestWhoamiRefusesAsAnExchangeIsRefused(t *testing.T) {
	f := newFixture(t, options{})
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
		reason string
	}{
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, 401, "token_missing"},
		{"an unknown token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer legacy-token-of-nobody") }, 401, "token_unknown"},
		{"a web page", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.com") }, 403, "origin_refused"},
		{"a disabled developer", func(*http.Request) { f.setEnabled("alice@example.com", false) }, 401, "token_disabled"},
	} {
		response, body := f.whoami(c.change)
		id := response.Header.Get("X-Request-Id")
		if response.StatusCode != c.status || response.Header.Get("X-Codex-Proxy-Refusal") != c.reason || !strings.Contains(body, "(request "+id+")") {
			t.Errorf("%s: %d %v %s", c.name, response.StatusCode, response.Header, body)
		}
		if !strings.Contains(f.log.String(), id) {
			t.Errorf("%s: the log does not have the request's id", c.name)
		}
	}
}

// storeDown cannot answer.
type storeDown struct{ gateway.Authenticator }

func (storeDown) Authenticate(context.Context, string) (developer.Identity, error) {
	return developer.Identity{}, errors.New("database is locked")
}

func TestWhoamiSaysThatTheStoreIsDownRatherThanThatTheTokenIsBad(t *testing.T) {
	f := newFixture(t, options{authenticator: storeDown{}})
	if response, body := f.whoami(nil); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("X-Codex-Proxy-Refusal") != "proxy_unavailable" || strings.Contains(body, "locked") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}
