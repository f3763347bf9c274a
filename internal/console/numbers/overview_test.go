package numbers

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/exchange"
)

func TestAnEmptyLedgerHasAnOverview(t *testing.T) {
	f := newFixture(t)
	has(t, f.page("/console/overview"), "Nothing went through the proxy", "$0.00", "–")
	for _, table := range []string{"groups", "steps", "errors"} {
		f.page("/console/overview/csv?table=" + table)
	}
	var answer struct {
		AddedUS *struct{} `json:"added_us"`
		Total   struct {
			Requests int64 `json:"requests"`
		} `json:"total"`
	}
	if err := json.Unmarshal([]byte(f.page("/api/v1/overview")), &answer); err != nil || answer.AddedUS != nil {
		t.Errorf("the API tells %+v, %v", answer, err)
	}
}

func TestAnOverviewAddsUpAndComparesWithThePeriodBefore(t *testing.T) {
	f := newFixture(t)
	f.run(alice, bob)
	f.add(
		spent(now.Add(-time.Hour), alice, "platform", "gpt-5.2", 150),
		spent(now.Add(-30*time.Hour), bob, "search", "gpt-5.1", 50),
		spent(now.AddDate(0, 0, -7).Add(-time.Hour), alice, "platform", "gpt-5.2", 100), // the same day, a week before
		spent(now.AddDate(0, 0, -7).Add(time.Hour), alice, "platform", "gpt-5.2", 900),  // later than now is today
	)
	failed := spent(now.Add(-2*time.Hour), bob, "search", "gpt-5.1", 0)
	failed.Outcome, failed.ErrorOrigin = exchange.Failed, exchange.OriginOpenAI
	refused := spent(now.Add(-2*time.Hour), bob, "search", "gpt-5.1", 0)
	refused.Outcome, refused.ErrorOrigin, refused.AddedMicros = exchange.Refused, exchange.OriginProxy, 90_000_000
	f.add(failed, refused)

	page := f.page("/console/overview")
	has(t, page, "$2.00", "&#43;100 %", "platform", "search", "75 % of input cached", "OpenAI 33 % · proxy 0 % · client 0 %", "1.4 ms", "p99 1.6 ms",
		`"unit":"usd"`, `"name":"platform"`, `aria-current="true">7 days`)
	lacks(t, f.page("/console/overview?compare=no"), "&#43;100 %", `class="before"`)
	has(t, f.page("/console/overview?range=today"), "$1.50")
	has(t, f.page("/console/overview?team=search&by=developer"), "$0.50", bob, "team search")
	lacks(t, f.page("/console/overview?team=search&by=developer"), alice)

	var answer struct {
		Total, Previous struct {
			Requests, Refused       int64
			CostUSD                 float64 `json:"cost_usd"`
			ErrorsOpenAI            int64   `json:"errors_openai"`
			ActiveDevelopers, Total int64
		}
		Steps []struct{ From, To time.Time }
		Live  int
	}
	if err := json.Unmarshal([]byte(f.page("/api/v1/overview")), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Total.CostUSD != 2 || answer.Previous.CostUSD != 1 || answer.Total.Requests != 3 || answer.Total.Refused != 1 ||
		answer.Total.ErrorsOpenAI != 1 || len(answer.Steps) != 7 || answer.Live != 2 {
		t.Errorf("the API tells %+v", answer)
	}
	var usage struct {
		Rows []struct {
			Developer string
			CostUSD   float64 `json:"cost_usd"`
		}
	}
	if err := json.Unmarshal([]byte(f.page("/api/v1/usage?by=developer")), &usage); err != nil || len(usage.Rows) != 2 || usage.Rows[0].Developer != alice || usage.Rows[0].CostUSD != 1.5 {
		t.Errorf("the API tells of usage %+v, %v", usage, err)
	}
}

func TestUnknownIsNotZero(t *testing.T) {
	f := newFixture(t)
	e := spent(now.Add(-time.Hour), alice, "", "gpt-unheard-of", 0)
	e.Cost, e.Usage = exchange.Cost{State: exchange.CostUnpriced}, exchange.Usage{State: exchange.UsageMissing}
	f.add(e)
	has(t, f.page("/console/overview"), "unpriced", "unknown", "no team")
	has(t, f.page("/api/v1/overview"), `"cost_usd":null`, `"total_tokens":null`)
	if lines := f.csv("/console/overview/csv?table=groups&by=model"); lines[1][7] != "" || lines[1][8] != "" {
		t.Errorf("the file says %q", lines[1])
	}
}

func TestDaysAreThoseOfTheTimeZone(t *testing.T) {
	f := newFixture(t)
	// New York's clocks went ahead on 8 March 2026, so that this day had 23 hours.
	for _, at := range []string{
		"2026-03-08T04:59:00Z", // still the 7th
		"2026-03-08T05:00:00Z", // the first moment of the 8th
		"2026-03-09T03:59:00Z", // the last hour of the 8th
		"2026-03-09T04:00:00Z", // the 9th
	} {
		began, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		f.add(spent(began, alice, "platform", "gpt-5.2", 100))
	}
	var answer struct {
		Timezone, Step string
		Steps          []struct {
			From, To time.Time
			Total    struct{ Requests int64 }
		}
	}
	read := func(address string) (requests []int64) {
		t.Helper()
		if err := json.Unmarshal([]byte(f.page(address)), &answer); err != nil {
			t.Fatal(err)
		}
		for _, s := range answer.Steps {
			requests = append(requests, s.Total.Requests)
		}
		return requests
	}
	if got := read("/api/v1/overview?from=2026-03-07&to=2026-03-09&zone=America/New_York"); !cmp.Equal(got, []int64{1, 2, 1}) || answer.Timezone != "America/New_York" {
		t.Errorf("the days have %v requests", got)
	}
	if length := answer.Steps[1].To.Sub(answer.Steps[1].From); length != 23*time.Hour {
		t.Errorf("the 8th has %v", length)
	}
	if got := read("/api/v1/overview?from=2026-03-08&to=2026-03-08&zone=America/New_York"); len(got) != 23 || answer.Step != "hour" || got[0] != 1 || got[22] != 1 {
		t.Errorf("its hours have %v requests", got)
	}
	if got := read("/api/v1/overview?from=2026-03-01&to=2026-07-31"); answer.Step != "week" || len(got) != 23 || got[1]+got[2] != 4 {
		t.Errorf("the %d steps of a %s have %v requests", len(got), answer.Step, got)
	}
	f.page("/api/v1/overview?from=2020-01-01&to=2026-03-18&zone=Asia/Kathmandu")
}

func TestWhatMakesNoSenseIsRefusedByWords(t *testing.T) {
	f := newFixture(t)
	for _, query := range []string{"from=yesterday", "from=2026-03-10&to=2026-03-01", "zone=/etc/passwd", "zone=Local", "by=session", "by=x", "metric=x", "range=x", "from=1026-01-01", "to=2100-01-01&from=2001-01-01"} {
		for _, address := range []string{"/console/overview?", "/console/overview/csv?table=groups&", "/api/v1/overview?"} {
			w := f.get(address + query)
			if w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "passwd") {
				t.Errorf("%s%s is answered with %d: %s", address, query, w.Code, w.Body)
			}
		}
	}
	if w := f.get("/console/overview/csv?table=x"); w.Code != http.StatusBadRequest {
		t.Errorf("a table that there is not: %d", w.Code)
	}
}

// evil are names that would do harm where they were not treated as text.
var evil = []string{`</script><script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "=cmd|' /C calc'!A0", "\u202egnp.exe\x1b[2J", `javascript:alert(1)`}

func TestHostileNamesAreText(t *testing.T) {
	f := newFixture(t)
	for _, name := range evil {
		f.add(spent(now.Add(-time.Hour), name, name, name, 10))
	}
	for _, by := range []string{"team", "developer", "model"} {
		page := f.page("/console/overview?by=" + by)
		lacks(t, page, "<script>alert", "<img", "\u202e", "\x1b", `href="javascript:`)
		has(t, page, "&lt;img src=x")
		for _, address := range []string{"/console/overview/csv?table=groups&by=" + by, "/console/overview/csv?table=steps&by=" + by} {
			for _, line := range f.csv(address)[1:] {
				for _, cell := range line {
					if strings.IndexAny(strings.TrimSpace(cell), "=+@") == 0 || strings.ContainsAny(cell, "\x1b\u202e") {
						t.Errorf("%s has the cell %q", address, cell)
					}
				}
			}
		}
		lacks(t, f.page("/api/v1/overview?by="+by), "<script>", "\u202e")
	}
	lacks(t, f.page("/console/overview?developer=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E"), "<img")
}

func TestADeveloperSeesTheirOwnNumbersAlone(t *testing.T) {
	f := newFixture(t)
	f.run(alice, bob)
	late := spent(now.Add(-time.Hour), bob, "search", "gpt-5.1", 500)
	late.AddedMicros = 60_000_000
	f.add(spent(now.Add(-time.Hour), alice, "platform", "gpt-5.2", 100), late)
	f.frame.viewer = access.Viewer{Name: alice, Role: access.Developer, Only: alice}
	for _, address := range []string{
		"/console/overview?", "/console/overview?by=developer&", "/console/overview/csv?table=groups&", "/console/overview/csv?table=steps&by=developer&",
		"/console/overview/csv?table=errors&", "/api/v1/overview?", "/api/v1/usage?by=developer&",
	} {
		for _, query := range []string{"", "developer=" + bob, "team=search", "model=gpt-5.1"} {
			page := f.page(address + query)
			lacks(t, strings.ReplaceAll(page, "team search", ""), bob, "5.00", "60.")
		}
	}
	has(t, f.page("/api/v1/overview"), `"live":1`, `"cost_usd":1.00`)
}

func TestPseudonymsStandForNamesEverywhere(t *testing.T) {
	f := newFixture(t)
	f.add(spent(now.Add(-time.Hour), alice, "platform", "gpt-5.2", 100), spent(now.Add(-time.Hour), bob, "platform", "gpt-5.2", 300))
	f.frame.viewer = access.Viewer{Name: "fin", Role: access.Finance, Pseudonyms: true}
	pseudonym := f.frame.Name(f.frame.viewer, alice)
	for _, address := range []string{
		"/console/overview?by=developer", "/console/overview/csv?table=groups&by=developer", "/console/overview/csv?table=steps&by=developer",
		"/api/v1/overview?by=developer", "/api/v1/usage?by=developer",
	} {
		page := f.page(address)
		has(t, page, pseudonym)
		lacks(t, page, alice, bob, "alice")
	}
	has(t, f.page("/api/v1/overview?developer="+pseudonym), `"cost_usd":1.00`)
	lacks(t, f.page("/console/overview?by=model&developer="+pseudonym), "$4.00", "$3.00", alice)
	if w := f.get("/console/overview?developer=" + alice); w.Code != http.StatusNotFound {
		t.Errorf("a name is found with %d by someone who may not know it", w.Code)
	}
	if w := f.get("/api/v1/usage?by=session"); w.Code != http.StatusBadRequest {
		t.Errorf("finance is told of sessions with %d", w.Code)
	}
}

func TestAChartHasTheRestAsOne(t *testing.T) {
	f := newFixture(t)
	for n := range 20 {
		f.add(spent(now.Add(-time.Hour), string(rune('a'+n))+"@example.com", "platform", "gpt-5.2", int64(100+n)))
	}
	has(t, f.page("/console/overview?by=developer"), "all others", `"values":[0,0,0,0,0,0,12.66]`)
}

func TestFilesOfThePagesMayBeKept(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"numbers.css", "charts.js", "live.js", "vendor/uplot.js", "vendor/uplot.css"} {
		w := f.get("/console/overview/static/" + name)
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %s", name, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	if total := len(f.page("/console/overview/static/vendor/uplot.js")) + len(f.page("/console/overview")); total > 100<<10 {
		t.Errorf("the first page takes %d bytes, with its largest script", total)
	}
}

// csv asks for a file and reads it.
func (f *fixture) csv(address string) [][]string {
	f.t.Helper()
	lines, err := csv.NewReader(strings.NewReader(f.page(address))).ReadAll()
	if err != nil {
		f.t.Fatal(err)
	}
	return lines
}
