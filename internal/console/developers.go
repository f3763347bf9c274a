package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/ledger"
)

// rowsOnPage is how many developers a page lists.
const rowsOnPage = 100

// The orders of the list, which is by name otherwise.
const (
	byCost = "cost"
	bySeen = "seen"
)

// developerRow is a developer in the list.
type developerRow struct {
	developer.Developer
	Shown    string // the name, or a pseudonym
	Counts   ledger.Counts
	LastUsed time.Time
	// BudgetNanos is what they may spend in a month, in USD nanos; 0 is no budget.
	BudgetNanos int64
}

// developersPage lists developers.
type developersPage struct {
	Viewer      access.Viewer
	Find, Order string
	Rows        []developerRow
	All, Found  int
	Next        string
	Month       time.Time
}

// numbersOnly are those who see everyone's numbers.
func numbersOnly(v access.Viewer) bool { return v.Only == "" }

// developers lists developers with what they used this month.
func (c *Console) developers(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, numbersOnly)
	if !ok {
		return
	}
	p, err := c.listDevelopers(r.Context(), viewer, r.URL.Query())
	if err != nil {
		c.broken(w, r, err)
		return
	}
	c.page(w, r, http.StatusOK, "Developers", "developers", p)
}

func (c *Console) listDevelopers(ctx context.Context, viewer access.Viewer, q url.Values) (p developersPage, err error) {
	p = developersPage{Viewer: viewer, Find: strings.TrimSpace(q.Get("find")), Order: q.Get("order"), Month: month(c.Now())}
	all, err := c.Developers.Developers(ctx)
	if err != nil {
		return p, err
	}
	var used map[string]ledger.Counts
	if p.Order == byCost {
		if used, err = c.usedBy(ctx); err != nil {
			return p, err
		}
	}
	var seen map[string]time.Time
	if p.Order == bySeen {
		if seen, err = c.lastUsed(ctx, ""); err != nil {
			return p, err
		}
	}
	teams, err := c.Developers.Teams(ctx)
	if err != nil {
		return p, err
	}
	budgets := map[string]int64{}
	for _, team := range teams {
		budgets[team.Name] = team.Policy.DeveloperBudgetNanos
	}
	p.All = len(all)
	var rows []developerRow
	find := strings.ToLower(p.Find)
	for _, d := range all {
		row := developerRow{Developer: d, Shown: c.Name(viewer, d.ID), Counts: used[d.ID], LastUsed: seen[d.ID], BudgetNanos: budgets[d.Team]}
		if viewer.Pseudonyms {
			row.Name = ""
		}
		if find == "" || strings.Contains(strings.ToLower(row.Shown+" "+row.Name+" "+row.Team), find) {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b developerRow) int {
		switch p.Order {
		case byCost:
			return cmp.Compare(b.Counts.CostNanos, a.Counts.CostNanos)
		case bySeen:
			return b.LastUsed.Compare(a.LastUsed)
		}
		return cmp.Compare(a.Shown, b.Shown)
	})
	p.Found = len(rows)
	begin, _ := strconv.Atoi(q.Get("from")) // nonsense begins at the first
	begin = min(max(begin, 0), len(rows))
	end := min(begin+rowsOnPage, len(rows))
	p.Rows = rows[begin:end]
	if end < len(rows) {
		p.Next = peoplePath + "?" + url.Values{"find": {p.Find}, "order": {p.Order}, "from": {strconv.Itoa(end)}}.Encode()
	}
	return p, c.complete(ctx, p.Rows, used == nil, seen == nil)
}

// complete looks up what each row says of a developer: what they used, and when they
// were seen. Thousands are listed page by page, and few are asked about.
func (c *Console) complete(ctx context.Context, rows []developerRow, used, seen bool) error {
	const atOnce = 8
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(atOnce)
	for i := range rows {
		row := &rows[i]
		asking.Go(func() (err error) {
			if used {
				if row.Counts, err = c.usedThisMonth(ctx, ledger.Query{Developer: row.ID}); err != nil {
					return err
				}
			}
			if seen {
				all, err := c.lastUsed(ctx, row.ID)
				row.LastUsed = all[row.ID]
				return err
			}
			return nil
		})
	}
	return asking.Wait()
}

// lastUsed returns when a token of a developer's, or of everybody's when the name is
// empty, was last used.
func (c *Console) lastUsed(ctx context.Context, id string) (map[string]time.Time, error) {
	tokens, err := c.Developers.Tokens(ctx, id)
	last := map[string]time.Time{}
	for _, t := range tokens {
		if t.LastUsed.After(last[t.Developer]) {
			last[t.Developer] = t.LastUsed
		}
	}
	return last, err
}

// month is the beginning of the month of budgets.
func month(now time.Time) time.Time {
	now = now.UTC()
	return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// usedBy returns what developers used this month.
func (c *Console) usedBy(ctx context.Context) (map[string]ledger.Counts, error) {
	report, err := c.thisMonth(ctx, ledger.Query{})
	if err != nil {
		return nil, err
	}
	used := map[string]ledger.Counts{}
	for _, row := range report.Rows {
		used[row.Key] = row.Counts
	}
	return used, nil
}

// usedThisMonth adds up what the query chooses of this month.
func (c *Console) usedThisMonth(ctx context.Context, q ledger.Query) (ledger.Counts, error) {
	report, err := c.thisMonth(ctx, q)
	if err != nil {
		return ledger.Counts{}, err
	}
	return report.Total.Counts, nil
}

// thisMonth reports by developer on what the query chooses of the month of budgets.
func (c *Console) thisMonth(ctx context.Context, q ledger.Query) (*ledger.Report, error) {
	q.From, q.To, q.By, q.Zone = month(c.Now()), c.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1), ledger.ByDeveloper, time.UTC
	return ledger.NewReport(ctx, c.Ledger, q)
}

// developerPage is one developer.
type developerPage struct {
	frame
	developer.Developer
	Shown   string
	Mine    bool
	Changes bool
	Lists   bool
	// Counts are theirs this month, Team's those of all of the team.
	Counts, TeamCounts ledger.Counts
	Policy             developer.Policy
	Tokens             []developer.TokenInfo
	Now                time.Time
	Sessions           []ledger.Session
	Readings           []Reading
	All                string // where all their sessions are
	// Usage is where their usage over time is.
	Usage string
	// Fresh is a token that was just issued.
	Fresh *freshToken
}

// freshToken is a token in the clear, to be shown this once.
type freshToken struct {
	ID, Text string
	// Expires is when it ends; zero means never.
	Expires time.Time
}

// developer shows one developer.
func (c *Console) developer(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, readers)
	if ok {
		c.showDeveloper(w, r, viewer, r.PathValue("id"), nil)
	}
}

func (c *Console) showDeveloper(w http.ResponseWriter, r *http.Request, viewer access.Viewer, id string, fresh *freshToken) {
	p, err := c.gatherDeveloper(r.Context(), viewer, id)
	if errors.Is(err, developer.ErrNotFound) {
		c.say(w, r, http.StatusNotFound, "Not found", "There is no such developer.")
		return
	}
	if err != nil {
		c.broken(w, r, err)
		return
	}
	p.Hidden, p.Fresh = c.Hidden(r), fresh
	c.page(w, r, http.StatusOK, p.ID, "developer", p)
}

func (c *Console) gatherDeveloper(ctx context.Context, viewer access.Viewer, id string) (p developerPage, err error) {
	p = developerPage{Mine: viewer.Only == id, Changes: viewer.Changes(), Lists: viewer.Lists(), Now: c.Now(), All: sessionsOf(id), Usage: usageOf(id)}
	if p.Developer, err = c.Developers.Developer(ctx, id); err != nil {
		return p, err
	}
	p.Shown = c.Name(viewer, id)
	if p.Tokens, err = c.Developers.Tokens(ctx, id); err != nil {
		return p, err
	}
	slices.Reverse(p.Tokens) // the newest first
	team, err := c.Developers.Team(ctx, p.Team)
	if err != nil && !errors.Is(err, developer.ErrNotFound) {
		return p, err
	}
	p.Policy = team.Policy
	if p.Counts, err = c.usedThisMonth(ctx, ledger.Query{Developer: id}); err != nil {
		return p, err
	}
	if p.Policy.TeamBudgetNanos > 0 {
		if p.TeamCounts, err = c.usedThisMonth(ctx, ledger.Query{Team: p.Team}); err != nil {
			return p, err
		}
	}
	if p.Sessions, err = c.Ledger.Sessions(ctx, ledger.SessionQuery{Developer: id, Limit: 10}); err != nil {
		return p, err
	}
	p.Readings, err = c.Store.Readings(ctx, id, c.Now().AddDate(0, 0, -readingDays))
	return p, err
}

// LastSeen is when one of the developer's tokens was last used, exact to about a
// minute; zero if none was.
func (p developerPage) LastSeen() (last time.Time) {
	for _, t := range p.Tokens {
		if t.LastUsed.After(last) {
			last = t.LastUsed
		}
	}
	return last
}

// Client is what the developer last used.
func (p developerPage) Client() string {
	if len(p.Sessions) == 0 {
		return ""
	}
	return p.Sessions[0].Last.Client
}

// usageOf is where a developer's usage over time is.
func usageOf(id string) string {
	return "/console/overview?" + url.Values{"developer": {id}, "by": {"model"}, "range": {"month"}}.Encode()
}

// back leads to a developer's page after something was done.
func back(w http.ResponseWriter, r *http.Request, id string) {
	http.Redirect(w, r, peoplePath+"/"+url.PathEscape(id), http.StatusSeeOther)
}

// setAccess lets a developer in, or shuts them out.
func (c *Console) setAccess(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, access.Viewer.Changes)
	if !ok {
		return
	}
	id := r.PathValue("id")
	if err := c.enable(r.Context(), viewer, id, r.PostFormValue("enabled") == "true"); err != nil {
		c.failed(w, r, err)
		return
	}
	back(w, r, id)
}

func (c *Console) enable(ctx context.Context, viewer access.Viewer, id string, enabled bool) error {
	_, err := c.Developers.UpdateDeveloper(ctx, id, func(d *developer.Developer) error {
		if enabled {
			d.Enable(c.Now())
		} else {
			d.Disable("", c.Now())
		}
		return nil
	})
	if err == nil {
		c.Log.Warn("a developer's access was changed in the console", "developer", id, "enabled", enabled, "by", viewer.Name)
	}
	return err
}

// failed says why something was not done.
func (c *Console) failed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, developer.ErrNotFound):
		c.say(w, r, http.StatusNotFound, "Not found", "There is no such developer or token.")
	case errors.Is(err, developer.ErrNotActive):
		c.say(w, r, http.StatusConflict, "Not done", "The token is no longer active. Issue a new one instead.")
	default:
		c.broken(w, r, err)
	}
}

func (c *Console) issueToken(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, access.Viewer.Changes)
	if !ok {
		return
	}
	id := r.PathValue("id")
	fresh, err := c.issue(r.Context(), viewer, id, strings.TrimSpace(r.PostFormValue("label")))
	if err != nil {
		c.failed(w, r, err)
		return
	}
	c.showDeveloper(w, r, viewer, id, fresh) // the answer to the form alone has it
}

func (c *Console) issue(ctx context.Context, viewer access.Viewer, id, label string) (*freshToken, error) {
	if _, err := c.Developers.Developer(ctx, id); err != nil {
		return nil, err
	}
	token, credential, err := developer.Issue(rand.Reader, id, label, c.Now().UTC().Truncate(time.Millisecond), time.Time{})
	if err == nil {
		err = c.Developers.AddToken(ctx, credential)
	}
	if err != nil {
		return nil, err
	}
	c.Log.Warn("a token was issued in the console", "developer", id, "token", credential.ID, "by", viewer.Name)
	return &freshToken{ID: credential.ID, Text: token.Reveal()}, nil
}

func (c *Console) revokeToken(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, access.Viewer.Changes)
	if !ok {
		return
	}
	info, err := c.Developers.RevokeToken(r.Context(), r.PathValue("id"), c.Now())
	if err != nil {
		c.failed(w, r, err)
		return
	}
	c.Log.Warn("a token was revoked in the console", "developer", info.Developer, "token", info.ID, "by", viewer.Name)
	back(w, r, info.Developer)
}

func (c *Console) rotateToken(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, access.Viewer.Changes)
	if !ok {
		return
	}
	fresh, id, err := c.rotate(r.Context(), viewer, r.PathValue("id"), developer.Rotation{})
	if err != nil {
		c.failed(w, r, err)
		return
	}
	c.showDeveloper(w, r, viewer, id, fresh)
}

// rotate puts a new token in the place of one, which stays valid for a while.
func (c *Console) rotate(ctx context.Context, viewer access.Viewer, old string, change developer.Rotation) (fresh *freshToken, id string, err error) {
	info, err := c.Developers.Token(ctx, old)
	if err != nil {
		return nil, "", err
	}
	now := c.Now().UTC().Truncate(time.Millisecond)
	token, credential, err := developer.Rotate(rand.Reader, info, change, now)
	if err != nil && !errors.Is(err, developer.ErrNotActive) {
		return nil, "", visit.BadRequest("%s", sentence(err))
	}
	if err == nil {
		err = c.Developers.RotateToken(ctx, old, credential, now.Add(developer.DefaultGrace))
	}
	if err != nil {
		return nil, "", err
	}
	c.Log.Warn("a token was rotated in the console", "developer", info.Developer, "token", old, "replaced_by", credential.ID, "by", viewer.Name)
	return &freshToken{credential.ID, token.Reveal(), credential.Expires}, info.Developer, nil
}
