package replay

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

// Where the API tells of sessions and records.
const (
	sessionsAPI = visit.APIPath + "sessions"
	recordsAPI  = visit.APIPath + "records"
)

// SessionJSON is a session as programs are told of it, by the API and by the command
// line.
type SessionJSON struct {
	ID        string `json:"session"`
	Developer string `json:"developer"`
	Team      string `json:"team"`
	// Begun and LastUsed are when its first and its last exchange began.
	Begun    time.Time `json:"begun"`
	LastUsed time.Time `json:"last_used"`
	// Client is what was used last.
	Client    string   `json:"client"`
	Models    []string `json:"models"`
	Exchanges int64    `json:"exchanges"`
	ledger.UseJSON
	// Last is the last exchange's id, and Outcome and Status are how it ended.
	Last    string           `json:"last_exchange"`
	Outcome exchange.Outcome `json:"last_outcome"`
	Status  int              `json:"last_status"`
}

// NewSessionJSON tells of a session.
func NewSessionJSON(s ledger.Session) SessionJSON {
	return SessionJSON{
		ID: s.ID, Developer: s.Developer, Team: s.Team, Begun: s.Begun, LastUsed: s.Last.Started, Client: s.Last.Client,
		Models: append([]string{}, s.Models...), Exchanges: s.Records, UseJSON: s.Use(),
		Last: s.Last.ID, Outcome: s.Last.Outcome, Status: s.Last.Status,
	}
}

// TurnJSON is a turn of a session as programs are told of it: the exchange's facts, and
// what is new in it.
type TurnJSON struct {
	Number   int               `json:"turn"`
	Exchange exchange.Exchange `json:"exchange"`
	// Retry is the turn whose request this one sends again, RetriedBy the one that
	// sends this again.
	Retry     int `json:"sends_again_turn,omitempty"`
	RetriedBy int `json:"tried_again_in_turn,omitempty"`
	// Waited, Generated and Gap are the times until the answer began, until it ended,
	// and until the next turn, in microseconds.
	Waited    int64 `json:"wait_us"`
	Generated int64 `json:"generate_us"`
	Gap       int64 `json:"gap_us"`
	// SoFar is what the session adds up to, with this turn.
	SoFar ledger.UseJSON `json:"so_far"`
	// Unread says why there are no items, and Incomplete which body is not whole.
	Unread     string   `json:"unread,omitempty"`
	Incomplete []string `json:"incomplete,omitempty"`
	// Repeated is how many items the request sent again, and More how many others are
	// left out, as there are so many.
	Repeated int `json:"repeated_items"`
	More     int `json:"more_items"`
	// Earlier are items of turns that are not on record.
	Earlier  []ItemJSON `json:"earlier"`
	Asked    []ItemJSON `json:"asked"`
	Answered []ItemJSON `json:"answered"`
}

// ItemJSON is one thing that was said.
type ItemJSON struct {
	// Kind is what it is: "user", "call" and so on.
	Kind  string `json:"kind"`
	Title string `json:"title"`
	// Text is what was said, with placeholders in the place of secrets; of a long one
	// the beginning. Bytes is the whole text's size, and LeftOut how many are not here.
	Text    string `json:"text"`
	Bytes   int    `json:"bytes"`
	LeftOut int    `json:"left_out_bytes"`
	// Cut says that the answer broke off within it.
	Cut     bool         `json:"cut"`
	Images  []ImageJSON  `json:"images,omitempty"`
	Secrets []SecretJSON `json:"secrets,omitempty"`
}

// ImageJSON is a picture of an item, which its record holds.
type ImageJSON struct {
	MediaType string `json:"media_type"`
	Bytes     int    `json:"bytes"`
}

// SecretJSON is a secret that stands in an item.
type SecretJSON struct {
	Rule        string `json:"rule"`
	Fingerprint string `json:"fingerprint"`
	Path        string `json:"path"`
	// Left says that it went out as it was, New that no earlier turn had sent it.
	Left bool `json:"left"`
	New  bool `json:"new"`
}

// NewTurnJSON tells of a turn.
func NewTurnJSON(t *Turn) TurnJSON {
	return TurnJSON{
		Number: t.Number, Exchange: t.Exchange, Retry: t.Retry, RetriedBy: t.RetriedBy,
		Waited: t.Bar.Wait.Microseconds(), Generated: t.Bar.Generate.Microseconds(), Gap: t.Bar.Gap.Microseconds(), SoFar: t.Running.Use(),
		Unread: t.Unread, Incomplete: t.Incomplete, Repeated: t.Repeated, More: t.More,
		Earlier: newItemsJSON(t.Earlier), Asked: newItemsJSON(t.Asked), Answered: newItemsJSON(t.Answered),
	}
}

func newItemsJSON(items []Item) []ItemJSON {
	all := make([]ItemJSON, 0, len(items))
	for _, item := range items {
		one := ItemJSON{Kind: item.Kind, Title: item.Title, Text: item.Text, Bytes: item.Size, LeftOut: item.Left, Cut: item.Cut}
		for _, image := range item.Images {
			one.Images = append(one.Images, ImageJSON{image.Media, image.Size})
		}
		for _, s := range item.Secrets {
			one.Secrets = append(one.Secrets, SecretJSON{s.Rule, s.Fingerprint, s.Path, s.Left, s.New})
		}
		all = append(all, one)
	}
	return all
}

// sessionsJSON tells which sessions there are.
func (v *view) sessionsJSON() error {
	list, err := v.listSessions()
	if err != nil {
		return err
	}
	all := make([]SessionJSON, 0, len(list.Sessions))
	for _, s := range list.Sessions {
		all = append(all, NewSessionJSON(s))
	}
	return v.Tell(page("sessions", all, list.Before))
}

// page is a part of a list; before is where the next one begins, if there is one.
func page(name string, rows any, before string) map[string]any {
	answer := map[string]any{name: rows, "before": nil}
	if before != "" {
		answer["before"] = before
	}
	return answer
}

// sessionJSON tells some turns of a session.
func (v *view) sessionJSON() error {
	q := v.R.URL.Query()
	facts, truncated, allowed, err := v.factsOf(cmp.Or(q.Get("developer"), v.Viewer.Only), v.R.PathValue("id"))
	if !allowed {
		return err
	}
	first, err := wantedTurn(q, facts)
	if err != nil {
		return err
	}
	turns := []TurnJSON{}
	for turn := range Turns(v.R.Context(), v.Archive, facts, first, turnsOnPage) {
		turns = append(turns, NewTurnJSON(turn))
	}
	answer := map[string]any{"developer": facts[0].Developer, "session": facts[0].Session, "turns": turns, "all_turns": len(facts), "truncated": truncated, "next_turn": nil}
	if next := first + len(turns); next <= len(facts) {
		answer["next_turn"] = next
	}
	return v.Tell(answer)
}

// recordsJSON tells which exchanges there are, without their findings.
func (v *view) recordsJSON() error {
	list, err := v.listRecords()
	if err != nil {
		return err
	}
	return v.Tell(page("records", append([]exchange.Exchange{}, list.Records...), list.Before))
}

// recordJSON tells a record, as 'codex-proxy record show --json' does.
func (v *view) recordJSON(e exchange.Exchange) error {
	doc, err := record.LoadWithin(v.R.Context(), v.Archive, record.Key(e), mostDocument)
	if err != nil {
		return visit.NotFound("%s", unreadable(err))
	}
	return v.Tell(doc)
}

// question is what a program looks for in what was said. It is content, and comes in
// a body.
type question struct {
	Text       string `json:"text"`
	IgnoreCase bool   `json:"ignore_case"`
	From       string `json:"from"`
	To         string `json:"to"`
	Developer  string `json:"developer"`
	Session    string `json:"session"`
	Model      string `json:"model"`
	Outcome    string `json:"outcome"`
}

// asked reads the question of a program.
func (v *view) asked() (q question, f filter, err error) {
	if err := visit.ReadJSON(v.W, v.R, &q, `{"text": "what to look for", "from": "2026-02-16"}`); err != nil {
		return q, f, err
	}
	f = filter{From: q.From, To: q.To, Developer: q.Developer, Session: q.Session, Model: q.Model, Outcome: q.Outcome}
	return q, f, v.complete(&f)
}

// HitJSON is a place in which a text was found, as programs are told of it, by the API
// and by the command line.
type HitJSON struct {
	ID        string      `json:"id"`
	Developer string      `json:"developer"`
	Started   time.Time   `json:"started"`
	Session   string      `json:"session"`
	Where     record.Side `json:"where"`
	Count     int         `json:"count"`
	Before    string      `json:"before"`
	Match     string      `json:"match"`
	After     string      `json:"after"`
}

// NewHitJSON tells of a hit in an exchange, with U+FFFD in the place of bytes that are no
// character.
func NewHitJSON(e exchange.Exchange, found record.Hit) HitJSON {
	found = found.Whole()
	valid := func(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
	return HitJSON{e.ID, e.Developer, e.Started, e.Session, found.Side, found.Count, valid(found.Before), valid(found.Match), valid(found.After)}
}

// progressJSON is how far a search is.
type progressJSON struct {
	Searched int64 `json:"searched"`
	Hits     int64 `json:"hits"`
	Withheld int64 `json:"withheld"`
	Unread   int64 `json:"unread"`
	// BackTo is when the exchange began that was looked at last.
	BackTo *time.Time `json:"back_to"`
}

func newProgressJSON(p progress) progressJSON {
	told := progressJSON{Searched: p.Searched, Hits: p.Hits, Withheld: p.Withheld, Unread: p.Unread}
	if !p.At.IsZero() {
		told.BackTo = &p.At
	}
	return told
}

// searchJSON looks through the archive, and tells of each hit as it is found: a line
// of JSON each, with lines of progress between. The last line says why it ended.
func (v *view) searchJSON() error {
	q, f, err := v.asked()
	if err != nil {
		return err
	}
	query := record.Query{Text: q.Text, IgnoreCase: q.IgnoreCase}
	done, allowed, err := v.begin(f, query)
	if !allowed {
		return err
	}
	defer done()
	lines := json.NewEncoder(v.File("application/x-ndjson"))
	end, err := v.find(f, query, func(e exchange.Exchange, found record.Hit) error {
		return lines.Encode(map[string]HitJSON{"hit": NewHitJSON(e, found)})
	}, func(p progress) error {
		defer v.Flush()
		return lines.Encode(map[string]progressJSON{"progress": newProgressJSON(p)})
	})
	if err != nil {
		return err
	}
	return lines.Encode(map[string]any{"end": end.Why, "progress": newProgressJSON(end)})
}

// originJSON tells who said what a developer saw.
func (v *view) originJSON() error {
	q, f, err := v.asked()
	if err != nil {
		return err
	}
	text := strings.TrimSpace(q.Text)
	wrong, allowed, err := v.suspects(f, text)
	if !allowed {
		return err
	}
	all := []VerdictJSON{}
	end, err := v.origins(wrong, text, func(found Verdict) error {
		all = append(all, found.JSON())
		return nil
	})
	if err != nil {
		return err
	}
	return v.Tell(map[string]any{"exchanges": all, "looked": end.Looked, "withheld": end.Withheld, "unread": end.Unread})
}
