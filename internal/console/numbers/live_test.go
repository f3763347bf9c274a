package numbers

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/exchange"
)

// run makes exchanges run that a hostile client began.
func (f *fixture) run(developers ...string) {
	for _, developer := range developers {
		f.running = append(f.running, exchange.Running{
			ID: exchange.NewID(now), Started: now.Add(-90 * time.Second), Developer: developer, Transport: exchange.WebSocket,
			Model: `<img src=x onerror=alert(1)>`, Client: "evil\u202e\x1b[2J</script><script>alert(1)</script>", ResponseBytes: 2048, Events: 7, OutputTokens: 12,
		})
	}
}

func (f *fixture) post(address string, form url.Values) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return f.ask(r)
}

func TestWhatRunsIsListedHoweverHostile(t *testing.T) {
	f := newFixture(t)
	has(t, f.page("/console/live"), "0 running", "Nothing runs just now.")
	f.run(alice, bob)
	page := f.page("/console/live")
	has(t, page, "2 running", alice, bob, "1 min 30 s", "2 KB", "~12", `name="csrf"`, "&lt;img src=x", `evil\u202e\x1b[2J`)
	lacks(t, page, "<img", "<script>alert", "\u202e")

	var answer struct {
		Running []struct{ ID, Developer, Model string }
	}
	if err := json.Unmarshal(f.get("/api/v1/live").Body.Bytes(), &answer); err != nil || len(answer.Running) != 2 || answer.Running[0].Developer != alice {
		t.Errorf("the API tells %+v, %v", answer, err)
	}
}

func TestAnAdministratorStopsWhatRuns(t *testing.T) {
	f := newFixture(t)
	f.run(alice, bob)
	if w := f.post("/console/live/stop", url.Values{"id": {f.running[0].ID}}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/console/live" {
		t.Errorf("stopped with %d to %q", w.Code, w.Header().Get("Location"))
	}
	if w := f.post("/api/v1/live/"+f.running[1].ID+"/stop", nil); w.Code != http.StatusOK {
		t.Errorf("the API stops with %d", w.Code)
	}
	if !f.running[0].Stopping || !f.running[1].Stopping || len(f.stoppedBy) != 2 || f.stoppedBy[0] != "root" {
		t.Errorf("stopped by %v: %+v", f.stoppedBy, f.running)
	}
	has(t, f.page("/console/live"), "Stopping")
	if w := f.post("/api/v1/live/nothing/stop", nil); w.Code != http.StatusNotFound {
		t.Errorf("what does not run was stopped with %d", w.Code)
	}
}

func TestEachRoleSeesAndStopsWhatItMay(t *testing.T) {
	for _, c := range []struct {
		viewer           access.Viewer
		seen, mayStop    int
		hears, hearsNone string
	}{
		{access.Viewer{Name: "root", Role: access.Admin}, 200, 303, "2 running", "\x00"},
		{access.Viewer{Name: "eve", Role: access.Auditor}, 200, 403, "2 running", "<button class=\"danger\""},
		{access.Viewer{Name: "fin", Role: access.Finance}, 403, 403, "not single exchanges", alice},
		{access.Viewer{Name: alice, Role: access.Developer, Only: alice}, 200, 403, "1 running", bob},
	} {
		f := newFixture(t)
		f.run(alice, bob)
		f.frame.viewer = c.viewer
		w := f.get("/console/live")
		if w.Code != c.seen {
			t.Errorf("%s sees the page with %d", c.viewer.Role, w.Code)
		}
		has(t, w.Body.String(), c.hears)
		lacks(t, w.Body.String(), c.hearsNone)
		if w := f.get("/api/v1/live"); w.Code != c.seen || strings.Contains(w.Body.String(), c.hearsNone) {
			t.Errorf("%s is told by the API with %d: %s", c.viewer.Role, w.Code, w.Body)
		}
		if w := f.post("/console/live/stop", url.Values{"id": {f.running[0].ID}}); w.Code != c.mayStop {
			t.Errorf("%s stops with %d", c.viewer.Role, w.Code)
		}
		if f.running[0].Stopping != (c.mayStop == 303) {
			t.Errorf("after %s tried, it is stopping: %t", c.viewer.Role, f.running[0].Stopping)
		}
	}
}
