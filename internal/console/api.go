package console

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/ledger"
)

// openAPI describes the API; a test holds it to what is served.
//
//go:embed openapi.yaml
var openAPI []byte

// api adds what the API tells of developers and of who reads what they wrote. The
// pages' own packages add theirs.
func (c *Console) api(mux *http.ServeMux) {
	mux.HandleFunc("GET "+apiPath+"developers", c.developersJSON)
	mux.HandleFunc("GET "+apiPath+"developers/{id}", c.developerJSON)
	mux.HandleFunc("POST "+apiPath+"developers/{id}/enable", c.change(func(ctx context.Context, v access.Viewer, id string) (any, error) {
		return map[string]any{"id": id, "enabled": true}, c.enable(ctx, v, id, true)
	}))
	mux.HandleFunc("POST "+apiPath+"developers/{id}/disable", c.change(func(ctx context.Context, v access.Viewer, id string) (any, error) {
		return map[string]any{"id": id, "enabled": false}, c.enable(ctx, v, id, false)
	}))
	mux.HandleFunc("POST "+apiPath+"developers/{id}/tokens", c.change(func(ctx context.Context, v access.Viewer, id string) (any, error) {
		return issued(c.issue(ctx, v, id, ""))
	}))
	mux.HandleFunc("POST "+apiPath+"tokens/{id}/rotate", c.change(func(ctx context.Context, v access.Viewer, id string) (any, error) {
		fresh, _, err := c.rotate(ctx, v, id)
		return issued(fresh, err)
	}))
	mux.HandleFunc("POST "+apiPath+"tokens/{id}/revoke", c.change(func(ctx context.Context, _ access.Viewer, id string) (any, error) {
		info, err := c.Developers.RevokeToken(ctx, id, c.Now())
		return c.tokenJSON(info), err
	}))
	mux.HandleFunc("GET "+apiPath+"access", c.readingsJSON)
	mux.HandleFunc("POST "+apiPath+"access/{id}/approve", c.decideJSON(true))
	mux.HandleFunc("POST "+apiPath+"access/{id}/decline", c.decideJSON(false))
	for _, fact := range c.Facts {
		mux.HandleFunc("GET "+apiPath+fact.Name, c.factJSON(fact))
	}
	mux.HandleFunc("GET "+apiPath+"openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openAPI) // the caller may be gone
	})
}

func issued(fresh *freshToken, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return map[string]string{"id": fresh.ID, "token": fresh.Text}, nil
}

// change makes a handler of something that changes one thing.
func (c *Console) change(do func(ctx context.Context, viewer access.Viewer, id string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		viewer, ok := c.allowed(w, r, access.Viewer.Changes)
		if !ok {
			return
		}
		answer, err := do(r.Context(), viewer, r.PathValue("id"))
		c.answer(w, r, answer, err)
	}
}

// answer answers a call.
func (c *Console) answer(w http.ResponseWriter, r *http.Request, answer any, err error) {
	switch {
	case errors.Is(err, developer.ErrNotFound):
		visit.WriteProblem(w, visit.Problem{Status: http.StatusNotFound, Code: "not_found", Text: "there is no such developer or token"})
	case errors.As(err, new(undecided)):
		visit.WriteProblem(w, visit.Problem{Status: http.StatusConflict, Code: "not_to_decide", Text: err.Error()})
	case errors.Is(err, developer.ErrNotActive):
		visit.WriteProblem(w, visit.Problem{Status: http.StatusConflict, Code: "not_active", Text: "the token is no longer active"})
	case err != nil:
		c.Log.Error("a call of the API failed", "path", r.URL.Path, "error", err)
		visit.WriteProblem(w, visit.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Text: "a store does not answer just now: try again soon"})
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // the caller may be gone
	}
}

// personJSON is a developer, as the API tells of one.
type personJSON struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Team    string    `json:"team"`
	Enabled bool      `json:"enabled"`
	Used    usageJSON `json:"this_month"`
	// LastUsed is when a token of theirs was last used, exact to about a minute.
	LastUsed *time.Time `json:"last_used,omitempty"`
	// Tokens are given of one developer, and not in lists.
	Tokens []tokenJSON `json:"tokens,omitempty"`
}

type usageJSON struct {
	Requests    int64 `json:"requests"`
	TotalTokens int64 `json:"total_tokens"`
	CostNanos   int64 `json:"cost_usd_nanos"`
	Unpriced    int64 `json:"unpriced"`
}

type tokenJSON struct {
	ID       string     `json:"id"`
	Label    string     `json:"label,omitempty"`
	State    string     `json:"state"`
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires,omitempty"`
	LastUsed *time.Time `json:"last_used,omitempty"`
}

func known64(c ledger.Counts) usageJSON {
	return usageJSON{c.Requests, c.Usage.Total, c.CostNanos, c.Unpriced}
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (c *Console) tokenJSON(t developer.TokenInfo) tokenJSON {
	return tokenJSON{t.ID, t.Label, t.State(c.Now()), t.Created, moment(t.Expires), moment(t.LastUsed)}
}

func (c *Console) developersJSON(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, numbersOnly)
	if !ok {
		return
	}
	p, err := c.listDevelopers(r.Context(), viewer, r.URL.Query())
	all := make([]personJSON, 0, len(p.Rows))
	for _, row := range p.Rows {
		all = append(all, personJSON{ID: row.Shown, Name: row.Name, Team: row.Team, Enabled: row.Enabled, Used: known64(row.Counts), LastUsed: moment(row.LastUsed)})
	}
	c.answer(w, r, map[string]any{"developers": all, "found": p.Found, "more": p.Next != ""}, err)
}

func (c *Console) developerJSON(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, func(v access.Viewer) bool { return v.Only == "" && v.Lists() })
	if !ok {
		return
	}
	p, err := c.gatherDeveloper(r.Context(), viewer, r.PathValue("id"))
	one := personJSON{ID: p.ID, Name: p.Developer.Name, Team: p.Team, Enabled: p.Enabled, Used: known64(p.Counts)}
	for _, t := range p.Tokens {
		one.Tokens = append(one.Tokens, c.tokenJSON(t))
		if seen := moment(t.LastUsed); seen != nil && (one.LastUsed == nil || seen.After(*one.LastUsed)) {
			one.LastUsed = seen
		}
	}
	c.answer(w, r, one, err)
}

// readingJSON is a Reading, as the API tells of one.
type readingJSON struct {
	ID        string       `json:"id"`
	At        time.Time    `json:"at"`
	Reader    string       `json:"reader"`
	Role      string       `json:"role"`
	Developer string       `json:"developer"`
	Reason    string       `json:"reason"`
	State     ReadingState `json:"state"`
	Until     *time.Time   `json:"until,omitempty"`
	DecidedBy string       `json:"decided_by,omitempty"`
}

func newReadingJSON(r Reading) readingJSON {
	return readingJSON{r.ID, r.At, r.Reader, r.Role, r.Developer, r.Reason, r.State, moment(r.Until), r.DecidedBy}
}

// decideJSON answers somebody's wish to read, in the name of the credential's holder,
// as a second person.
func (c *Console) decideJSON(yes bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		viewer, ok := c.allowed(w, r, func(v access.Viewer) bool { return v.Only == "" && v.Lists() })
		if !ok {
			return
		}
		decided, err := Decide(r.Context(), c.Store, r.PathValue("id"), viewer.Name, yes, c.Now(), c.Settings.ReadingLife)
		c.answer(w, r, newReadingJSON(decided), err)
	}
}

func (c *Console) readingsJSON(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.allowed(w, r, func(v access.Viewer) bool { return v.Only == "" && v.Lists() }); !ok {
		return
	}
	readings, err := c.Store.Readings(r.Context(), r.URL.Query().Get("developer"), c.Now().AddDate(0, 0, -readingDays))
	all := make([]readingJSON, 0, len(readings))
	for _, x := range readings {
		all = append(all, newReadingJSON(x))
	}
	c.answer(w, r, map[string]any{"readings": all}, err)
}
