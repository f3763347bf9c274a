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

// The fingerprints of the tests' secrets.
const (
	firstSecret  = "aa000000000000000000000000000001"
	secondSecret = "bb000000000000000000000000000002"
)

// leak is an exchange that carried secrets; of which one was left, the other
// replaced.
func leak(at time.Time, developer string, fingerprints ...string) exchange.Exchange {
	e := spent(at, developer, "platform", "gpt-5.2", 1)
	for _, fingerprint := range fingerprints {
		mode, rule := exchange.Reported, `<b onmouseover="alert(1)">rule`
		if fingerprint == secondSecret {
			mode, rule = exchange.Redacted, "github-token"
		}
		e.Findings = append(e.Findings, exchange.Finding{Rule: rule, Fingerprint: fingerprint, Mode: mode, Path: "input[3]<script>\u202e", New: true})
	}
	return e
}

func TestFindingsAreIncidentsAndNotRepetitions(t *testing.T) {
	f := newFixture(t)
	has(t, f.page("/console/findings"), "No such secret was seen")
	for n := range 5 {
		f.add(leak(now.Add(-time.Duration(n)*time.Hour), alice, firstSecret))
	}
	f.add(leak(now.Add(-time.Minute), bob, secondSecret))
	page := f.page("/console/findings")
	has(t, page, "5 left", "1 replaced", firstSecret[:12], alice, bob, "1 secret", "&lt;b onmouseover")
	lacks(t, page, "<b onmouseover")
	lacks(t, f.page("/console/findings?rule=github-token"), firstSecret[:12])
	lacks(t, f.page("/console/findings?mode=report"), secondSecret[:12])
	lacks(t, f.page("/console/findings?developer="+bob), alice)
	lacks(t, f.page("/console/findings?range=yesterday"), firstSecret[:12])

	one := f.page("/console/findings/" + firstSecret)
	has(t, one, firstSecret, "Carried by", "left as it was", "/console/records/", `input[3]&lt;script&gt;\u202e`)
	lacks(t, one, "<script>\u202e")
	for _, none := range []string{"aa", strings.Repeat("c", 32), "%3Cscript%3E"} {
		if w := f.get("/console/findings/" + none); w.Code != http.StatusNotFound {
			t.Errorf("%s is found with %d", none, w.Code)
		}
	}
	for _, wrong := range []string{"mode=x", "mark=x", "from=x", "zone=../../etc/passwd", "range=x"} {
		if w := f.get("/console/findings?" + wrong); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "passwd") {
			t.Errorf("?%s is answered with %d", wrong, w.Code)
		}
	}
}

func TestAnAdministratorMarksAFinding(t *testing.T) {
	f := newFixture(t)
	f.add(leak(now.Add(-time.Hour), alice, firstSecret, secondSecret))
	w := f.post("/console/findings/"+firstSecret+"/mark", url.Values{"as": {"rotated"}, "note": {" <script>alert(1)</script> "}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/console/findings/"+firstSecret {
		t.Fatalf("marked with %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	one := f.page("/console/findings/" + firstSecret)
	has(t, one, "rotated", "root", "&lt;script&gt;alert(1)&lt;/script&gt;", "take the mark back")
	lacks(t, one, "<script>alert")
	has(t, f.page("/console/findings?mark=rotated"), firstSecret[:12])
	lacks(t, f.page("/console/findings?mark=open"), firstSecret[:12], "have no mark yet", "has no mark yet")

	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/findings/"+secondSecret+"/mark", strings.NewReader(`{"as":"false-positive","note":"a test tenant"}`))
	if w := f.ask(r); w.Code != http.StatusOK {
		t.Fatalf("the API marks with %d: %s", w.Code, w.Body)
	}
	var list struct {
		Findings []struct {
			Fingerprint string
			Mark        *struct{ As, By, Note string }
		}
	}
	if err := json.Unmarshal(f.get("/api/v1/findings?mark=false-positive").Body.Bytes(), &list); err != nil || len(list.Findings) != 1 ||
		list.Findings[0].Fingerprint != secondSecret || list.Findings[0].Mark.As != "false-positive" || list.Findings[0].Mark.Note != "a test tenant" {
		t.Errorf("the API lists %+v, %v", list, err)
	}
	f.post("/console/findings/"+firstSecret+"/mark", url.Values{"as": {"open"}})
	has(t, f.page("/console/findings?mark=open"), firstSecret[:12])

	for name, code := range map[string]int{
		"as=nothing": http.StatusBadRequest,
		"as=rotated&note=" + strings.Repeat("x", 501): http.StatusBadRequest,
	} {
		form, _ := url.ParseQuery(name)
		if w := f.post("/console/findings/"+firstSecret+"/mark", form); w.Code != code {
			t.Errorf("%.20s is answered with %d", name, w.Code)
		}
	}
	if w := f.post("/console/findings/"+strings.Repeat("c", 32)+"/mark", url.Values{"as": {"rotated"}}); w.Code != http.StatusNotFound {
		t.Errorf("a secret that was never seen is marked with %d", w.Code)
	}
	bad := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/findings/"+firstSecret+"/mark", strings.NewReader(`{"as":"rotated","sudo":true}`))
	if w := f.ask(bad); w.Code != http.StatusBadRequest {
		t.Errorf("unknown JSON is answered with %d", w.Code)
	}
}

func TestADeveloperSeesTheirOwnFindingsAlone(t *testing.T) {
	f := newFixture(t)
	f.add(leak(now.Add(-time.Hour), alice, firstSecret), leak(now.Add(-2*time.Hour), bob, firstSecret, secondSecret))
	f.frame.viewer = access.Viewer{Name: alice, Role: access.Developer, Only: alice}
	for _, address := range []string{"/console/findings", "/console/findings?developer=" + bob, "/console/findings/" + firstSecret, "/console/findings/csv", "/api/v1/findings", "/api/v1/findings/" + firstSecret} {
		page := f.page(address)
		has(t, page, firstSecret[:12])
		lacks(t, page, bob, secondSecret[:12])
	}
	if w := f.get("/console/findings/" + secondSecret); w.Code != http.StatusNotFound {
		t.Errorf("another's finding is shown with %d", w.Code)
	}
	if w := f.post("/console/findings/"+firstSecret+"/mark", url.Values{"as": {"false-positive"}}); w.Code != http.StatusForbidden {
		t.Errorf("a developer marks with %d", w.Code)
	}
	f.frame.viewer = access.Viewer{Name: "fin", Role: access.Finance, Pseudonyms: true}
	for _, address := range []string{"/console/findings", "/console/findings/" + firstSecret, "/console/findings/csv", "/api/v1/findings"} {
		if w := f.get(address); w.Code != http.StatusForbidden {
			t.Errorf("finance gets %s with %d", address, w.Code)
		}
	}
}
