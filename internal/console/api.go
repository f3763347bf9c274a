package console

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
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
	mux.HandleFunc("POST "+apiPath+"developers/{id}/tokens", c.issueJSON)
	mux.HandleFunc("POST "+apiPath+"tokens/{id}/rotate", c.rotateJSON)
	mux.HandleFunc("POST "+apiPath+"tokens/{id}/revoke", c.change(func(ctx context.Context, _ access.Viewer, id string) (any, error) {
		info, err := c.Developers.RevokeToken(ctx, id, c.Now())
		return c.tokenJSON(info), err
	}))
	mux.HandleFunc("GET "+apiPath+"access", c.readingsJSON)
	mux.HandleFunc("POST "+apiPath+"access", c.askJSON)
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

// issueJSON issues a token, with the label that a body may give.
func (c *Console) issueJSON(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, access.Viewer.Changes)
	if !ok {
		return
	}
	var asked struct {
		Label string `json:"label"`
	}
	if r.ContentLength != 0 {
		if err := visit.ReadJSON(w, r, &asked, `{"label": "laptop"}`); err != nil {
			c.answer(w, r, nil, err)
			return
		}
	}
	answer, err := issued(c.issue(r.Context(), viewer, r.PathValue("id"), strings.TrimSpace(asked.Label)))
	c.answer(w, r, answer, err)
}

// rotateJSON replaces a token; a body may say when the new one ends.
func (c *Console) rotateJSON(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, access.Viewer.Changes)
	if !ok {
		return
	}
	change, err := newRotation(w, r)
	if err != nil {
		c.answer(w, r, nil, err)
		return
	}
	fresh, _, err := c.rotate(r.Context(), viewer, r.PathValue("id"), change)
	answer, err := issued(fresh, err)
	c.answer(w, r, answer, err)
}

// newRotation reads what a call asks of a rotation.
func newRotation(w http.ResponseWriter, r *http.Request) (change developer.Rotation, err error) {
	const example = `{"expires": "2027-01-31T00:00:00Z"} or {"expires": "never"}`
	var asked struct {
		Expires string `json:"expires"`
	}
	if r.ContentLength == 0 {
		return change, nil
	}
	if err := visit.ReadJSON(w, r, &asked, example); err != nil {
		return change, err
	}
	change.ChangesEnd = asked.Expires != ""
	if asked.Expires == "" || asked.Expires == "never" {
		return change, nil
	}
	if change.Expires, err = time.Parse(time.RFC3339, asked.Expires); err != nil {
		return change, visit.BadRequest("Send JSON such as %s.", example)
	}
	return change, nil
}

// freshJSON is a new token, the one time that it can be told.
type freshJSON struct {
	ID      string     `json:"id"`
	Token   string     `json:"token"`
	Expires *time.Time `json:"expires,omitempty"`
}

func issued(fresh *freshToken, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return freshJSON{fresh.ID, fresh.Text, moment(fresh.Expires)}, nil
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
	var problem visit.Problem
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // the caller may be gone
		return
	case errors.As(err, &problem):
	case errors.Is(err, developer.ErrNotFound):
		problem = visit.Problem{Status: http.StatusNotFound, Code: "not_found", Text: "There is no such developer or token."}
	case errors.As(err, new(unasked)):
		problem = visit.Problem{Status: http.StatusBadRequest, Code: "bad_request", Text: sentence(err)}
	case errors.As(err, new(undecided)):
		problem = visit.Problem{Status: http.StatusConflict, Code: "not_to_decide", Text: sentence(err)}
	case errors.Is(err, developer.ErrNotActive):
		problem = visit.Problem{Status: http.StatusConflict, Code: "not_active", Text: "The token is no longer active."}
	default:
		c.Log.Error("a call of the API failed", "path", r.URL.Path, "error", err)
		problem = unavailable
	}
	visit.WriteProblem(w, problem)
}

// personJSON is a developer, as the API tells of one.
type personJSON struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Team    string `json:"team"`
	Enabled bool   `json:"enabled"`
	// Used is of this calendar month (UTC), and so is Budget, which is null where
	// there is none.
	Used   ledger.CountsJSON `json:"this_month"`
	Budget *json.Number      `json:"budget_usd"`
	// LastUsed is when a token of theirs was last used, exact to about a minute.
	LastUsed *time.Time `json:"last_used,omitempty"`
	// Client and Tokens are given of one developer, and not in lists.
	Client string      `json:"client,omitempty"`
	Tokens []tokenJSON `json:"tokens,omitempty"`
}

type tokenJSON struct {
	ID       string     `json:"id"`
	Label    string     `json:"label,omitempty"`
	State    string     `json:"state"`
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires,omitempty"`
	LastUsed *time.Time `json:"last_used,omitempty"`
}

// budgetJSON is a budget in USD; nil for none.
func budgetJSON(nanos int64) *json.Number {
	if nanos == 0 {
		return nil
	}
	usd := exchange.USD(nanos)
	return &usd
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
		all = append(all, personJSON{ID: row.Shown, Name: row.Name, Team: row.Team, Enabled: row.Enabled, Used: row.Counts.JSON(), Budget: budgetJSON(row.BudgetNanos), LastUsed: moment(row.LastUsed)})
	}
	c.answer(w, r, map[string]any{"developers": all, "found": p.Found, "more": p.Next != ""}, err)
}

// about are those who may see what there is about one developer: who sees everybody's,
// and the developer.
func about(developer string) func(access.Viewer) bool {
	return func(v access.Viewer) bool { return v.Lists() && (v.Only == "" || v.Only == developer) }
}

func (c *Console) developerJSON(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	viewer, ok := c.allowed(w, r, about(id))
	if !ok {
		return
	}
	p, err := c.gatherDeveloper(r.Context(), viewer, id)
	one := personJSON{
		ID: p.ID, Name: p.Developer.Name, Team: p.Team, Enabled: p.Enabled, Used: p.Counts.JSON(), Budget: budgetJSON(p.Policy.DeveloperBudgetNanos),
		LastUsed: moment(p.LastSeen()), Client: p.Client(),
	}
	for _, t := range p.Tokens {
		one.Tokens = append(one.Tokens, c.tokenJSON(t))
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
		viewer, ok := c.allowed(w, r, readers)
		if !ok {
			return
		}
		decided, err := Decide(r.Context(), c.Store, r.PathValue("id"), viewer.Name, yes, c.Now(), c.Settings.ReadingLife)
		c.answer(w, r, newReadingJSON(decided), err)
	}
}

// askJSON puts on record that the credential's holder wants to read what a developer
// wrote, and why.
func (c *Console) askJSON(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, readers)
	if !ok {
		return
	}
	var asked struct {
		Developer string `json:"developer"`
		Reason    string `json:"reason"`
	}
	if err := visit.ReadJSON(w, r, &asked, `{"developer": "alice@example.com", "reason": "the ticket 4711"}`); err != nil {
		c.answer(w, r, nil, err)
		return
	}
	reading, err := c.ask(r.Context(), viewer, asked.Developer, asked.Reason)
	c.answer(w, r, newReadingJSON(reading), err)
}

// readingsJSON tells who has read what developers wrote; a developer, who has read
// what they wrote.
func (c *Console) readingsJSON(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, access.Viewer.Lists)
	if !ok {
		return
	}
	whose := cmp.Or(viewer.Only, r.URL.Query().Get("developer"))
	readings, err := c.Store.Readings(r.Context(), whose, c.Now().AddDate(0, 0, -readingDays))
	all := make([]readingJSON, 0, len(readings))
	for _, x := range readings {
		all = append(all, newReadingJSON(x))
	}
	c.answer(w, r, map[string]any{"readings": all}, err)
}
