package replay

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/simulated"
)

// call asks the API, with a body where one is given, and reads the answer.
func (f *fixture) call(method, path, body string, into any) *httptest.ResponseRecorder {
	f.t.Helper()
	w := f.ask(httptest.NewRequestWithContext(f.t.Context(), method, path, strings.NewReader(body)))
	if into != nil {
		if w.Code != http.StatusOK {
			f.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			f.t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
	return w
}

func TestProgramsAreToldWhatThePagesShow(t *testing.T) {
	f := newFixture(t)
	f.tell()
	all := f.exchanges()

	var sessions struct {
		Sessions []SessionJSON
		Before   *string
	}
	f.call(http.MethodGet, sessionsAPI+"?developer="+alice, "", &sessions)
	if len(sessions.Sessions) != 1 || sessions.Before != nil {
		t.Fatalf("the sessions: %+v", sessions)
	}
	if s := sessions.Sessions[0]; s.ID != thread || s.Exchanges != int64(len(all)) || s.Errors != 2 || s.TotalTokens == nil || *s.TotalTokens == 0 || len(s.Models) != 1 || s.Outcome != exchange.Completed || s.Last != all[len(all)-1].ID {
		t.Errorf("the session: %+v", s)
	}

	var told struct {
		AllTurns int  `json:"all_turns"`
		NextTurn *int `json:"next_turn"`
		Turns    []TurnJSON
	}
	raw := f.call(http.MethodGet, sessionsAPI+"/"+thread+"?developer="+alice, "", &told).Body.String()
	if len(told.Turns) != len(all) || told.AllTurns != len(all) || told.NextTurn != nil {
		t.Errorf("%d of %d turns, all are %d", len(told.Turns), told.AllTurns, len(all))
	}
	var texts []string
	for i, turn := range told.Turns {
		if turn.Number != i+1 || turn.Exchange.ID != all[i].ID || turn.Unread != "" {
			t.Errorf("turn %d: number %d of %s, %q", i+1, turn.Number, turn.Exchange.ID, turn.Unread)
		}
		for _, item := range turn.Asked {
			texts = append(texts, "asked "+item.Kind+": "+item.Text)
		}
		for _, item := range turn.Answered {
			texts = append(texts, "answered "+item.Kind+": "+item.Text)
		}
	}
	for _, want := range []string{"asked user: The parser takes a text of spaces for a node.\nFind out why and mend it.", "answered call: " + patch} {
		if got := count(texts, want); got != 1 {
			t.Errorf("%q is told %d times", want, got)
		}
	}
	if strings.Contains(raw, githubToken()) || !strings.Contains(raw, "__SECRET_") || !strings.Contains(raw, `"media_type":"image/png"`) {
		t.Error("a secret is told, its placeholder is not, or a picture is not named")
	}
	f.call(http.MethodGet, sessionsAPI+"/"+thread+"?developer="+alice+"&turn=3", "", &told)
	if told.Turns[0].Number != 3 {
		t.Errorf("from turn %d", told.Turns[0].Number)
	}

	var records struct {
		Records []exchange.Exchange
		Before  *string
	}
	f.call(http.MethodGet, recordsAPI+"?outcome=failed", "", &records)
	if len(records.Records) != 1 || records.Records[0].Status != 500 || records.Records[0].ErrorOrigin != exchange.OriginOpenAI {
		t.Errorf("what failed: %+v", records.Records)
	}
	var doc record.Document
	f.call(http.MethodGet, recordsAPI+"/"+all[0].ID, "", &doc)
	if doc.Exchange.ID != all[0].ID || !strings.Contains(doc.Request.Body, "The parser takes") {
		t.Errorf("the record: %+v", doc.Exchange)
	}
	body := f.call(http.MethodGet, recordsAPI+"/"+all[0].ID+"/body?side=request", "", nil)
	if !bytes.Equal(body.Body.Bytes(), doc.Request.Bytes()) || !strings.HasPrefix(body.Header().Get("Content-Disposition"), "attachment") {
		t.Errorf("the body: %d bytes, %v", body.Body.Len(), body.Header())
	}
	archived, err := record.ReadDocument(f.call(http.MethodGet, recordsAPI+"/"+all[0].ID+"/archived", "", nil).Body)
	if err != nil || archived.Exchange.ID != all[0].ID {
		t.Errorf("the archived record: %v", err)
	}
}

func TestRecordsAreFoundByAnythingThatTheLedgerKnows(t *testing.T) {
	f := newFixture(t)
	f.tell()
	all := f.exchanges()
	found := func(conditions string) int {
		t.Helper()
		var records struct{ Records []exchange.Exchange }
		f.call(http.MethodGet, recordsAPI+"?"+conditions, "", &records)
		if page := f.get(recordsPath + "?" + conditions).Body.String(); strings.Count(page, "<tr")-1 != max(1, len(records.Records)) { // one says that there are none
			t.Errorf("%s: the page lists others than the API", conditions)
		}
		return len(records.Records)
	}
	for conditions, want := range map[string]int{
		"": len(all), "developer=" + alice: len(all), "developer=" + bob: 0, "team=platform": len(all), "team=research": 0, "session=" + thread: len(all), "session=x": 0,
		"model=gpt-9": 0, "outcome=failed": 1, "origin=openai": 2, "refusal=rate_limited": 0, "status=500": 1, "transport=http": len(all), "transport=websocket": 0,
		"token=" + all[0].TokenID: len(all), "token=x": 0, "client=/0.169.": len(all), "client=/0.1.": 0, "tier=default": len(all) - 1, "tier=flex": 0,
		"min_cost=0.000001": len(all) - 1, "min_cost=900": 0, "min_seconds=0": len(all), "min_seconds=86400": 0, "secrets=1": 2,
	} {
		if got := found(conditions); got != want {
			t.Errorf("%q finds %d, want %d", conditions, got, want)
		}
	}
}

func count(texts []string, want string) (n int) {
	for _, text := range texts {
		if strings.TrimSpace(text) == strings.TrimSpace(want) {
			n++
		}
	}
	return n
}

// searched is what a search tells, line by line.
func (f *fixture) searched(body string) (hits []HitJSON, end progressJSON) {
	f.t.Helper()
	w := f.call(http.MethodPost, recordsAPI+"/search", body, nil)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-ndjson" {
		f.t.Fatalf("a search: %d %v %s", w.Code, w.Header(), w.Body)
	}
	why := ""
	for line := range bytes.Lines(w.Body.Bytes()) {
		var told struct {
			Hit      *HitJSON
			Progress *progressJSON
			End      string
		}
		if err := json.Unmarshal(line, &told); err != nil {
			f.t.Fatalf("%v: %s", err, line)
		}
		if told.Hit != nil {
			hits = append(hits, *told.Hit)
		}
		if why = told.End; why != "" {
			end = *told.Progress
		}
	}
	if why == "" {
		f.t.Error("the last line does not say that the search ended")
	}
	return hits, end
}

func TestProgramsSearchWhatWasSaid(t *testing.T) {
	f := newFixture(t)
	f.tell()
	all := f.exchanges()
	hits, end := f.searched(`{"text": "TAKES A TEXT of spaces", "ignore_case": true}`)
	if len(hits) == 0 || end.Hits != int64(len(hits)) || end.Searched != int64(len(all)) || end.Withheld != 0 {
		t.Errorf("%d hits, %+v", len(hits), end)
	}
	if hit := hits[len(hits)-1]; hit.ID != all[0].ID || hit.Where != record.SideRequest || hit.Match != "takes a text of spaces" || hit.Session != thread {
		t.Errorf("the first to say it: %+v", hit)
	}
	if hits, _ := f.searched(`{"text": "TAKES A TEXT of spaces"}`); len(hits) != 0 {
		t.Errorf("%d hits in another case", len(hits))
	}
	f.frame.withheld = []string{alice}
	if hits, end := f.searched(`{"text": "spaces"}`); len(hits) != 0 || end.Searched != 0 || end.Withheld != int64(len(all)) {
		t.Errorf("without a reason: %d hits, %+v", len(hits), end)
	}
}

func TestProgramsAskWhoSaidAnError(t *testing.T) {
	f := newFixture(t)
	f.openai.Play(simulated.Status(500))
	c := &talk{f: f, session: thread}
	c.say(prompt("hello"))
	c.say(prompt("hello again"))
	failed, completed := f.exchanges()[0], f.exchanges()[1]
	var told struct {
		Exchanges        []VerdictJSON
		Looked, Withheld int64
	}
	f.call(http.MethodPost, recordsAPI+"/origin", `{"text": "high demand"}`, &told)
	if len(told.Exchanges) != 1 || told.Looked != 1 {
		t.Fatalf("told: %+v", told)
	}
	if v := told.Exchanges[0]; v.ID != failed.ID || v.SaidBy != exchange.OriginOpenAI || !v.WordedByCodex || !strings.Contains(v.Shown, "high demand") || v.Advice == "" {
		t.Errorf("told: %+v", v)
	}
	for _, id := range []string{failed.ID, completed.ID} {
		f.call(http.MethodPost, recordsAPI+"/origin", `{"text": "`+id+`"}`, &told)
		if len(told.Exchanges) != 1 || told.Exchanges[0].ID != id {
			t.Errorf("by the id %s: %+v", id, told)
		}
	}
	f.call(http.MethodPost, recordsAPI+"/origin", `{"text": "`+failed.UpstreamRequestID+`"}`, &told)
	if len(told.Exchanges) != 1 || told.Exchanges[0].ID != failed.ID {
		t.Errorf("by OpenAI's request id: %+v", told)
	}
}

func TestProgramsAreToldWhatIsWrong(t *testing.T) {
	f := newFixture(t)
	f.tell()
	id := f.exchanges()[0].ID
	refuse := func(method, path, body string, status int, code string) {
		t.Helper()
		w := f.call(method, path, body, nil)
		var said struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &said); w.Code != status || err != nil || said.Error.Code != code || said.Error.Message == "" {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	refuse(http.MethodGet, recordsAPI+"/nothing", "", 404, "not_found")
	refuse(http.MethodGet, recordsAPI+"?from=yesterday", "", 400, "bad_request")
	refuse(http.MethodGet, recordsAPI+"/"+id+"/body?side=inside", "", 404, "not_found")
	refuse(http.MethodGet, sessionsAPI+"/"+thread, "", 404, "not_found")
	refuse(http.MethodGet, sessionsAPI+"/"+thread+"?developer="+url.QueryEscape(alice)+"&turn=900", "", 404, "not_found")
	refuse(http.MethodPost, recordsAPI+"/search", `{"text": ""}`, 400, "bad_request")
	refuse(http.MethodPost, recordsAPI+"/search", `{"words": "x"}`, 400, "bad_request")
	refuse(http.MethodPost, recordsAPI+"/origin", `text=x`, 400, "bad_request")
	f.frame.viewer = access.Viewer{Name: "carol@example.com", Role: access.Finance}
	for _, path := range []string{sessionsAPI, recordsAPI, recordsAPI + "/" + id, recordsAPI + "/" + id + "/body?side=request"} {
		refuse(http.MethodGet, path, "", 403, "not_allowed")
	}
}

func TestWhoSeesNumbersSeesNoSingleExchanges(t *testing.T) {
	f := newFixture(t)
	f.tell()
	f.exchanges()
	addresses := f.addresses()
	f.frame.viewer = access.Viewer{Name: "carol@example.com", Role: access.Finance}
	for _, address := range addresses {
		if w := f.get(address); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), alice) {
			t.Errorf("%s: %d", address, w.Code)
		}
	}
	if len(f.frame.reads) > 0 && slices.Contains(f.frame.reads, alice) {
		t.Error("it was looked up whether they may read")
	}
}
