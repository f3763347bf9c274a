package numbers

import (
	"net/http"
	"slices"
	"time"

	"codex-proxy/internal/console/figure"
	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/terminal"
)

const livePath = "/console/live"

// running are the exchanges that run now, of those that the filter chooses.
func (v *view) running(f filter) []exchange.Running {
	return slices.DeleteFunc(v.Running(), func(e exchange.Running) bool {
		return f.whose != "" && f.whose != e.Developer || f.Team != "" && f.Team != e.Team || f.Model != "" && f.Model != e.Model
	})
}

// stream is an exchange that runs, as a viewer sees it.
type stream struct {
	ID        string    `json:"id"`
	Started   time.Time `json:"started"`
	Seconds   float64   `json:"seconds"`
	Developer string    `json:"developer"`
	Team      string    `json:"team,omitempty"`
	Session   string    `json:"session,omitempty"`
	Client    string    `json:"client,omitempty"`
	Transport string    `json:"transport"`
	Model     string    `json:"model,omitempty"`
	// RequestBytes and ResponseBytes have passed so far.
	RequestBytes  int64 `json:"request_bytes"`
	ResponseBytes int64 `json:"response_bytes"`
	Events        int64 `json:"events"`
	// OutputTokens is an estimate.
	OutputTokens int64 `json:"output_tokens_estimated"`
	Stopping     bool  `json:"stopping"`
}

// streams are the exchanges that the viewer may see running.
func (v *view) streams() []stream {
	all := []stream{}
	for _, e := range v.running(filter{whose: v.Viewer.Only}) {
		all = append(all, stream{
			ID: e.ID, Started: e.Started, Seconds: v.Now().Sub(e.Started).Round(100 * time.Millisecond).Seconds(),
			Developer: terminal.Safe(v.name(e.Developer)), Team: terminal.Safe(e.Team), Session: terminal.Safe(e.Session), Client: terminal.Safe(e.Client),
			Transport: string(e.Transport), Model: terminal.Safe(e.Model), RequestBytes: e.RequestBytes, ResponseBytes: e.ResponseBytes,
			Events: e.Events, OutputTokens: e.OutputTokens, Stopping: e.Stopping,
		})
	}
	return all
}

// Age is how long it has run.
func (s stream) Age() string {
	return figure.Duration(time.Duration(s.Seconds * float64(time.Second)).Round(time.Second))
}

// Sent and Received are its bytes, for people.
func (s stream) Sent() string     { return figure.Size(s.RequestBytes) }
func (s stream) Received() string { return figure.Size(s.ResponseBytes) }

// Tokens is what it has been answered so far.
func (s stream) Tokens() string {
	if s.OutputTokens == 0 {
		return "–"
	}
	return "~" + figure.Thousands(s.OutputTokens)
}

// livePage is what the template shows.
type livePage struct {
	Streams []stream
	// Empty is what the script makes a row of.
	Empty stream
	Form  form
	At    time.Time
}

// form is what a page's forms have in common.
type form struct {
	// Allowed says that the viewer may post it.
	Allowed bool
	Hidden  any
}

func (v *view) form() form { return form{v.Viewer.Changes(), v.Frame.Hidden(v.R)} }

func (v *view) live() error {
	return v.Page("Live", "live", livePage{Streams: v.streams(), Form: v.form(), At: v.Now().In(v.Zone)})
}

// liveJSON tells the page's script, and programs, what runs.
func (v *view) liveJSON() error {
	return v.Tell(map[string]any{"at": v.Now().UTC(), "running": v.streams()})
}

// stopForm stops the exchange that a page's form names.
func (v *view) stopForm() error {
	if err := v.stop(v.R.PostFormValue("id")); err != nil {
		return err
	}
	http.Redirect(v.W, v.R, livePath, http.StatusSeeOther)
	return nil
}

// stopJSON stops the exchange that a program names.
func (v *view) stopJSON() error {
	id := v.R.PathValue("id")
	if err := v.stop(id); err != nil {
		return err
	}
	return v.Tell(map[string]any{"id": id, "stopping": true})
}

func (v *view) stop(id string) error {
	if !v.Stop(id, v.Viewer.Name) {
		return visit.NotFound("This exchange does not run here any more.")
	}
	v.Log.InfoContext(v.R.Context(), "an exchange was stopped", "id", id, "by", v.Viewer.Name)
	return nil
}
