package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/console/visit"
)

// readingDays is how far back the pages list who read what.
const readingDays = 90

// MayRead reports whether the viewer may now read what the developer wrote and was
// answered: their own freely, that of others while a reason holds that they gave.
func (c *Console) MayRead(ctx context.Context, viewer access.Viewer, developer string) (bool, error) {
	if !viewer.Reads(developer) {
		return false, nil
	}
	if viewer.Only != "" {
		return true, nil
	}
	r, err := c.current(ctx, viewer, developer)
	return err == nil && r.State == Granted, err
}

// current returns the reading of a developer's words that the viewer has, or waits
// for; zero where there is none.
func (c *Console) current(ctx context.Context, viewer access.Viewer, developer string) (Reading, error) {
	now := c.Now()
	all, err := c.Store.Readings(ctx, developer, now.Add(-max(c.Settings.ReadingLife, 24*time.Hour)))
	if err != nil {
		return Reading{}, fmt.Errorf("look up who may read: %w", err)
	}
	for _, r := range all {
		if r.Reader == viewer.Name && r.Developer == developer && (r.State == Granted && now.Before(r.Until) || r.State == Asked) {
			return r, nil
		}
	}
	return Reading{}, nil
}

// askPage is what the form is given that asks for a reason.
type askPage struct {
	frame
	Developer, Next string
	Life            time.Duration
	Second, Waiting bool
	Never           bool
}

// Ask answers a request for what MayRead does not allow yet: it asks for a reason, or
// says no.
func (c *Console) Ask(w http.ResponseWriter, r *http.Request, viewer access.Viewer, developer string) {
	page := askPage{
		Developer: developer, Life: c.Settings.ReadingLife, Second: c.Settings.SecondPerson, Never: !viewer.Reads(developer),
		frame: frame{Hidden: c.Hidden(r)}, Next: root,
	}
	if r.Method == http.MethodGet {
		page.Next = r.URL.RequestURI()
	}
	if !page.Never {
		waiting, err := c.current(r.Context(), viewer, developer)
		if err != nil {
			c.broken(w, r, err)
			return
		}
		page.Waiting = waiting.State == Asked
	}
	if visit.IsCall(r) {
		visit.WriteProblem(w, page.problem())
		return
	}
	c.page(w, r, http.StatusForbidden, "Why do you want to read this?", "ask", page)
}

// problem says to a program what the page says.
func (p askPage) problem() visit.Problem {
	told := visit.Problem{Status: http.StatusForbidden, Code: "reason_needed", Text: "Say first why you want to read what " + p.Developer + " wrote: POST /api/v1/access with the developer and a reason."}
	switch {
	case p.Never:
		told.Code, told.Text = "not_allowed", "Your role does not read what others wrote."
	case p.Waiting:
		told.Code, told.Text = "waits", "You have asked to read what "+p.Developer+" wrote. A second person must agree first."
	}
	return told
}

// shortestReason and longestReason bound a reason, in characters.
const (
	shortestReason = 10
	longestReason  = 500
)

// AskToRead puts on record that somebody wants to read what a developer wrote and was
// answered, and why. They may from then on, for as long as the settings say, or once a
// second person agrees, where the settings ask for one. The error is for that person to
// read where it is unasked.
func AskToRead(ctx context.Context, store Store, reader access.Viewer, developer, reason string, now time.Time, settings Settings) (Reading, error) {
	reason = strings.TrimSpace(reason)
	switch n := len([]rune(reason)); {
	case reader.Role != access.Admin && reader.Role != access.Auditor:
		return Reading{}, unasked("the role " + string(reader.Role) + " never reads what others wrote")
	case developer == "":
		return Reading{}, unasked("say which developer's words are to be read")
	case n < shortestReason || n > longestReason:
		return Reading{}, unasked(fmt.Sprintf("give a reason of %d to %d characters, such as the ticket that it is about", shortestReason, longestReason))
	}
	now = now.UTC().Truncate(time.Millisecond)
	reading := Reading{
		ID: uuid.Must(uuid.NewV7()).String(), At: now, Reader: reader.Name, Role: string(reader.Role),
		Developer: developer, Reason: reason, State: Granted, Until: now.Add(settings.ReadingLife),
	}
	if settings.SecondPerson {
		reading.State, reading.Until = Asked, time.Time{}
	}
	return reading, store.PutReading(ctx, reading)
}

// sentence is what an error says, for a page and for the API's callers.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// unasked says why a wish to read is not put on record.
type unasked string

func (why unasked) Error() string { return string(why) }

// readers are those who see everybody's exchanges, and may read them for a reason.
func readers(v access.Viewer) bool { return v.Only == "" && v.Lists() }

// ask puts on record that somebody wants to read. Nobody reads who is not on record.
func (c *Console) ask(ctx context.Context, viewer access.Viewer, developer, reason string) (Reading, error) {
	reading, err := AskToRead(ctx, c.Store, viewer, developer, reason, c.Now(), c.Settings)
	if err == nil {
		c.Log.Warn("somebody reads what a developer wrote", "reader", viewer.Name, "developer", reading.Developer, "state", reading.State, "reading", reading.ID)
	}
	return reading, err
}

// askToRead is a reason that was given on a page.
func (c *Console) askToRead(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, readers)
	if !ok {
		return
	}
	reading, err := c.ask(r.Context(), viewer, r.PostFormValue("developer"), r.PostFormValue("reason"))
	if errors.As(err, new(unasked)) {
		c.say(w, r, http.StatusBadRequest, "Not done", sentence(err))
		return
	}
	if err != nil {
		c.broken(w, r, err)
		return
	}
	if reading.State == Asked {
		http.Redirect(w, r, readingPath, http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, next(r), http.StatusSeeOther)
}

// readingsPage lists who reads what.
type readingsPage struct {
	frame
	Readings []Reading
	Now      time.Time
	Days     int
	// Decides says that the viewer may decide about what others ask.
	Decides bool
}

func (c *Console) readings(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, readers)
	if !ok {
		return
	}
	all, err := c.Store.Readings(r.Context(), "", c.Now().AddDate(0, 0, -readingDays))
	if err != nil {
		c.broken(w, r, err)
		return
	}
	c.page(w, r, http.StatusOK, "Who has read what others wrote", "readings", readingsPage{
		frame: frame{Hidden: c.Hidden(r), Viewer: viewer}, Readings: all, Now: c.Now(), Days: readingDays, Decides: true,
	})
}

// decide is a second person's yes or no.
func (c *Console) decide(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.allowed(w, r, readers)
	if !ok {
		return
	}
	_, err := Decide(r.Context(), c.Store, r.PostFormValue("id"), viewer.Name, r.PostFormValue("answer") == "yes", c.Now(), c.Settings.ReadingLife)
	if errors.As(err, new(undecided)) {
		c.say(w, r, http.StatusConflict, "Not done", sentence(err))
		return
	}
	if err != nil {
		c.broken(w, r, err)
		return
	}
	http.Redirect(w, r, readingPath, http.StatusSeeOther)
}

// Decide answers somebody's wish to read on behalf of a second person, who must be
// another one. The error is for that person to read.
func Decide(ctx context.Context, store Store, id, by string, yes bool, now time.Time, life time.Duration) (Reading, error) {
	all, err := store.Readings(ctx, "", now.AddDate(0, 0, -readingDays))
	if err != nil {
		return Reading{}, err
	}
	for _, r := range all {
		switch {
		case r.ID != id:
			continue
		case r.State != Asked:
			return r, undecided("this has been decided already: " + string(r.State))
		case r.Reader == by:
			return r, undecided("another person than " + by + " must decide")
		}
		r.State, r.DecidedBy = Declined, by
		if yes {
			r.State, r.Until = Granted, now.UTC().Truncate(time.Millisecond).Add(life)
		}
		return r, store.PutReading(ctx, r)
	}
	return Reading{}, undecided(fmt.Sprintf("nobody asks to read under the id %q", id))
}

// undecided says why there is nothing for this person to decide.
type undecided string

func (why undecided) Error() string { return string(why) }

// me shows a developer what is kept of them.
func (c *Console) me(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.Who(w, r)
	switch {
	case !ok:
	case viewer.Only == "": // who has no page of their own
		http.Redirect(w, r, root, http.StatusSeeOther)
	default:
		c.showDeveloper(w, r, viewer, viewer.Only, nil)
	}
}

// sessionsOf is where a developer's sessions are listed.
func sessionsOf(developer string) string {
	return "/console/sessions?" + url.Values{"developer": {developer}}.Encode()
}
