package numbers

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

const findingsPath = "/console/findings"

// findingsFilter is which incidents a list is asked for.
type findingsFilter struct {
	filter
	Rule, Mode string
	// Mark is what they are marked as: open for those without a mark.
	Mark string
}

// findingsFilter reads what is asked for from the address.
func (v *view) findingsFilter() (findingsFilter, error) {
	q := v.R.URL.Query()
	if q.Get("range") == "" && q.Get("from") == "" && q.Get("to") == "" {
		q.Set("range", "30d")
	}
	common, err := v.filterOf(q, ledger.ByDeveloper, ledger.ByTeam, ledger.ByModel)
	f := findingsFilter{common, q.Get("rule"), q.Get("mode"), q.Get("mark")}
	switch {
	case err != nil:
	case f.Mode != "" && becameWords[exchange.FindingMode(f.Mode)] == "":
		err = visit.BadRequest("What became of a secret is report, redact or block.")
	case f.Mark != "" && markWords[ledger.MarkedAs(f.Mark)] == "":
		err = visit.BadRequest("A secret is marked rotated, false-positive or open.")
	}
	return f, err
}

// query is the address of the list, with some of it changed.
func (f findingsFilter) query(changes ...string) string {
	return f.filter.query(append([]string{"by", "", "rule", f.Rule, "mode", f.Mode, "mark", f.Mark}, changes...)...)
}

// becameWords say what became of a secret.
var becameWords = map[exchange.FindingMode]string{
	exchange.Reported: "left as it was", exchange.Redacted: "replaced by a placeholder", exchange.Blocked: "refused",
}

// markWords say what a secret was marked as.
var markWords = map[ledger.MarkedAs]string{
	ledger.Open: "open", ledger.Rotated: "rotated", ledger.FalsePositive: "false positive",
}

// finding is an incident as a viewer sees it.
type finding struct {
	ledger.Incident
	Rule string
	// Names are the developers', as the viewer sees them.
	Names []string
	Mark  *ledger.Mark
	// MarkedAs is in words; "open" without a mark.
	MarkedAs string
}

// Short is as much of the fingerprint as tells it from others.
func (f finding) Short() string { return f.Fingerprint[:min(12, len(f.Fingerprint))] }

// Address is where the finding is.
func (f finding) Address() string { return findingsPath + "/" + url.PathEscape(f.Fingerprint) }

// findings returns the incidents that a viewer asks for and may see.
func (v *view) findings(f findingsFilter) ([]finding, error) {
	from, to := startOfDay(f.first, f.zone), startOfDay(f.last.AddDate(0, 0, 1), f.zone)
	incidents, err := v.Ledger.Incidents(v.R.Context(), ledger.IncidentQuery{
		From: from, To: to, Developer: f.whose, Team: f.Team, Rule: f.Rule, Mode: exchange.FindingMode(f.Mode),
	})
	if err != nil {
		return nil, err
	}
	marks, err := v.marks()
	if err != nil {
		return nil, err
	}
	all := []finding{}
	for _, i := range incidents {
		found := v.finding(i, marks)
		if f.Mark == "" || found.MarkedAs == markWords[ledger.MarkedAs(f.Mark)] {
			all = append(all, found)
		}
	}
	return all, nil
}

func (v *view) marks() (map[string]ledger.Mark, error) {
	all, err := v.Marks.Marks(v.R.Context())
	marks := make(map[string]ledger.Mark, len(all))
	for _, m := range all {
		marks[m.Fingerprint] = m
	}
	return marks, err
}

func (v *view) finding(i ledger.Incident, marks map[string]ledger.Mark) finding {
	found := finding{Incident: i, Rule: terminal.Safe(strings.Join(i.Rules, ", ")), MarkedAs: markWords[ledger.Open]}
	for _, developer := range i.Developers {
		found.Names = append(found.Names, terminal.Safe(v.name(developer)))
	}
	if m, ok := marks[i.Fingerprint]; ok {
		m.Note, m.By = terminal.Safe(m.Note), terminal.Safe(m.By)
		found.Mark, found.MarkedAs = &m, markWords[m.As]
	}
	return found
}

// findingsPage is what the template shows.
type findingsPage struct {
	Filter   findingsFilter
	Ranges   []link
	Marks    []link
	Span     string
	Findings []finding
	// More is how many are left out, and Left how many of all left and are open.
	More, Left int
	CSV        string
	Modes      []choice
}

func (v *view) findingsList() error {
	f, err := v.findingsFilter()
	if err != nil {
		return err
	}
	all, err := v.findings(f)
	if err != nil {
		return err
	}
	page := findingsPage{
		Filter: f, Span: span(f.filter), Findings: all, CSV: findingsPath + "/csv" + f.query(),
		Modes: []choice{{"", "anything"}, {"report", "left as it was"}, {"redact", "replaced"}, {"block", "refused"}},
	}
	for _, found := range all {
		if found.Left > 0 && found.Mark == nil {
			page.Left++
		}
	}
	const most = 200
	if len(all) > most {
		page.Findings, page.More = all[:most], len(all)-most
	}
	for _, r := range ranges {
		page.Ranges = append(page.Ranges, link{r.Label, findingsPath + f.query("range", r.Value, "from", "", "to", ""), r.Value == f.Range})
	}
	for _, m := range []choice{{"", "All"}, {"open", "Open"}, {"rotated", "Rotated"}, {"false-positive", "False positives"}} {
		page.Marks = append(page.Marks, link{m.Label, findingsPath + f.query("mark", m.Value), m.Value == f.Mark})
	}
	return v.Page("Findings", "findings", page)
}

func (v *view) findingsCSV() error {
	f, err := v.findingsFilter()
	if err != nil {
		return err
	}
	all, err := v.findings(f)
	if err != nil {
		return err
	}
	lines := [][]string{{
		"fingerprint", "rules", "first_seen", "last_seen", "developers", "sessions", "exchanges", "new", "reported", "redacted", "blocked",
		"marked", "marked_by", "marked_at", "note",
	}}
	for _, found := range all {
		line := []string{found.Fingerprint, found.Rule, moment(found.First.In(f.zone)), moment(found.Last.In(f.zone)), strings.Join(found.Names, " ")}
		line = append(line, decimals(found.Sessions, found.Exchanges, found.New, found.Left, found.Redacted, found.Blocked)...)
		if m := found.Mark; m != nil {
			line = append(line, string(m.As), m.By, moment(m.At), m.Note)
		} else {
			line = append(line, "", "", "", "")
		}
		lines = append(lines, line)
	}
	return v.csv("findings-"+f.From+"-"+f.To, lines)
}

// sighting is an exchange that carried a secret, as a viewer sees it.
type sighting struct {
	ledger.Sighting
	Name   string
	Became string
	// Record and Session are where they are; empty for those who see no names.
	Record, SessionAddress string
}

// findingPage is what the template shows of one finding.
type findingPage struct {
	finding
	Sightings []sighting
	More      int
	Form      form
	Choices   []choice
	Zone      *time.Location
}

// mostSightings is how many a page and an answer have, the last ones.
const mostSightings = 200

// one finds the secret that the address names, and what the viewer may see of it.
func (v *view) one() (findingPage, error) {
	page := findingPage{Form: v.form(), Zone: v.Zone}
	fingerprint := v.R.PathValue("id")
	none := visit.NotFound("There is no such finding.")
	if (ledger.Mark{Fingerprint: fingerprint, As: ledger.Open}).Validate() != nil {
		return page, none
	}
	incidents, err := v.Ledger.Incidents(v.R.Context(), ledger.IncidentQuery{Fingerprint: fingerprint, Developer: v.Viewer.Only})
	if err != nil {
		return page, err
	}
	if len(incidents) != 1 {
		return page, none
	}
	marks, err := v.marks()
	if err != nil {
		return page, err
	}
	page.finding = v.finding(incidents[0], marks)
	for s, err := range v.Ledger.Sightings(v.R.Context(), fingerprint) {
		if err != nil {
			return page, err
		}
		if v.Viewer.Only != "" && v.Viewer.Only != s.Developer {
			continue
		}
		seen := sighting{Sighting: s, Name: terminal.Safe(v.name(s.Developer)), Became: becameWords[s.Mode]}
		seen.Path, seen.Rule = terminal.Safe(s.Path), terminal.Safe(s.Rule)
		if !v.Viewer.Pseudonyms {
			seen.Record = "/console/records/" + url.PathEscape(s.Exchange)
			if s.Session != "" {
				seen.SessionAddress = "/console/sessions/view?" + url.Values{"developer": {s.Developer}, "session": {s.Session}, "exchange": {s.Exchange}}.Encode() + "#exchange-" + url.PathEscape(s.Exchange)
			}
		}
		if page.Sightings = append(page.Sightings, seen); len(page.Sightings) > mostSightings {
			page.Sightings = page.Sightings[1:]
			page.More++
		}
	}
	page.Choices = []choice{{string(ledger.Rotated), "Rotated: it was real, and is replaced"}, {string(ledger.FalsePositive), "False positive: it is no secret; allow it"}}
	if page.Mark != nil {
		page.Choices = append(page.Choices, choice{string(ledger.Open), "Open: take the mark back"})
	}
	return page, nil
}

func (v *view) findingPage() error {
	page, err := v.one()
	if err != nil {
		return err
	}
	return v.Page("Finding "+page.Short(), "finding", page)
}

// markForm marks the secret that the address names.
func (v *view) markForm() error {
	page, err := v.one()
	if err == nil {
		_, err = v.mark(page.Fingerprint, v.R.PostFormValue("as"), v.R.PostFormValue("note"))
	}
	if err != nil {
		return err
	}
	http.Redirect(v.W, v.R, page.Address(), http.StatusSeeOther)
	return nil
}

// markJSON does the same for programs.
func (v *view) markJSON() error {
	page, err := v.one()
	if err != nil {
		return err
	}
	var asked struct {
		As   string `json:"as"`
		Note string `json:"note"`
	}
	if err := visit.ReadJSON(v.W, v.R, &asked, `{"as": "rotated", "note": "…"}`); err != nil {
		return err
	}
	m, err := v.mark(page.Fingerprint, asked.As, asked.Note)
	if err != nil {
		return err
	}
	return v.Tell(map[string]any{"fingerprint": page.Fingerprint, "mark": newMarkJSON(&m)})
}

func (v *view) mark(fingerprint, as, note string) (ledger.Mark, error) {
	m := ledger.Mark{Fingerprint: fingerprint, As: ledger.MarkedAs(as), Note: strings.TrimSpace(note), By: v.Viewer.Name, At: v.Now().UTC()}
	if err := m.Validate(); err != nil {
		return m, visit.BadRequest("%s.", terminal.Safe(err.Error()))
	}
	if err := v.Marks.Mark(v.R.Context(), m); err != nil {
		return m, err
	}
	v.Log.InfoContext(v.R.Context(), "a secret was marked", "fingerprint", fingerprint, "as", as, "by", v.Viewer.Name)
	return m, nil
}

// findingJSON is an incident for programs, as 'codex-proxy secrets list --json' has
// it.
type findingJSON struct {
	Fingerprint string         `json:"fingerprint"`
	Rules       []string       `json:"rules"`
	FirstSeen   time.Time      `json:"first_seen"`
	LastSeen    time.Time      `json:"last_seen"`
	Developers  []string       `json:"developers"`
	Sessions    int64          `json:"sessions"`
	Exchanges   int64          `json:"exchanges"`
	New         int64          `json:"new"`
	Reported    int64          `json:"reported"`
	Redacted    int64          `json:"redacted"`
	Blocked     int64          `json:"blocked"`
	Mark        *markJSON      `json:"mark"`
	Sightings   []sightingJSON `json:"sightings,omitempty"`
}

type markJSON struct {
	As   ledger.MarkedAs `json:"as"`
	Note string          `json:"note,omitempty"`
	By   string          `json:"by"`
	At   time.Time       `json:"at"`
}

func newMarkJSON(m *ledger.Mark) *markJSON {
	if m == nil || m.As == ledger.Open {
		return nil
	}
	return &markJSON{m.As, m.Note, m.By, m.At}
}

type sightingJSON struct {
	ID        string               `json:"id"`
	Started   time.Time            `json:"started"`
	Developer string               `json:"developer"`
	Team      string               `json:"team"`
	Session   string               `json:"session"`
	Rule      string               `json:"rule"`
	Mode      exchange.FindingMode `json:"mode"`
	Path      string               `json:"path"`
	Places    int                  `json:"places"`
	New       bool                 `json:"new"`
	Outcome   exchange.Outcome     `json:"outcome"`
}

func newFindingJSON(f finding) findingJSON {
	return findingJSON{
		Fingerprint: f.Fingerprint, Rules: f.Rules, FirstSeen: f.First, LastSeen: f.Last, Developers: f.Names, Sessions: f.Sessions,
		Exchanges: f.Exchanges, New: f.New, Reported: f.Left, Redacted: f.Redacted, Blocked: f.Blocked, Mark: newMarkJSON(f.Mark),
	}
}

func (v *view) findingsJSON() error {
	f, err := v.findingsFilter()
	if err != nil {
		return err
	}
	found, err := v.findings(f)
	if err != nil {
		return err
	}
	all := []findingJSON{}
	for _, one := range found {
		all = append(all, newFindingJSON(one))
	}
	return v.Tell(map[string]any{"from": f.From, "to": f.To, "timezone": f.Zone, "findings": all})
}

func (v *view) findingJSON() error {
	page, err := v.one()
	if err != nil {
		return err
	}
	answer := newFindingJSON(page.finding)
	for _, s := range page.Sightings {
		answer.Sightings = append(answer.Sightings, sightingJSON{
			s.Exchange, s.Started, s.Name, s.Team, s.Session, s.Rule, s.Mode, s.Path, s.Places, s.New, s.Outcome,
		})
	}
	return v.Tell(answer)
}
