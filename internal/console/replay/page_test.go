package replay

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/simulated"
)

// hostile is text as a model, a tool or a web page may write it to harm who reads
// it. Each of them would change the page's title, or call the canary.
const hostile = `<script>document.title="pwned"</script><img src=x onerror="document.title='pwned'">
</pre></details><svg onload="document.title='pwned'"></svg><iframe src="http://canary.invalid/"></iframe>
[click](javascript:document.title="pwned") <a href="javascript:alert(1)">x</a> {{.Secret}} ${7*7}
<style>body{display:none}</style><base href="http://canary.invalid/"><meta http-equiv="refresh" content="0;url=http://canary.invalid/">
`

// unseenText has what a terminal or an eye would be misled by.
const unseenText = "\x1b[31mred\x1b[0m \u202egnp.exe\u202c zero\u200bwidth tag\U000E0041 bell\a nul\x00"

// pixel is a PNG of one pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

const patch = `*** Begin Patch
*** Update File: internal/parser/parser.go
@@ func parse(text string) (Node, error) {
-	if text == "" {
-		return Node{}, nil
+	if strings.TrimSpace(text) == "" {
+		return Node{}, errEmpty
 	}
*** Add File: internal/parser/<script>.go
+package parser
*** End Patch`

// githubToken is a secret of a form that the default rules find.
func githubToken() string { return "ghp_" + "wJ8mD2kQzX5vN7cR1tY4uB6eL9aS3fH0gPiO" }

// tell holds a conversation of every kind that there is.
func (f *fixture) tell() {
	f.t.Helper()
	c := &talk{f: f, session: thread}
	f.openai.Play(
		simulated.Answer{Reasoning: "**Looking at the failure**\n\nThe parser takes an empty text for a node. I will look at the tests first.", Text: "I will run the tests of the parser and look at what fails.", Calls: []simulated.Call{{Command: "go test ./internal/parser"}}},
		simulated.Answer{Text: "The parser accepts a text of spaces. This changes it:", Calls: []simulated.Call{{Name: "apply_patch", Input: patch}}},
		simulated.Answer{Text: "Done. The parser now refuses a text of white space:\n\n```go\nif strings.TrimSpace(text) == \"\" {\n\treturn Node{}, errEmpty\n}\n```\n\nThe tests pass."},
		simulated.Status(500),
		simulated.Cut("I was going to say something about the picture, and then the stream was cut.", 12),
		simulated.Say("The picture is one pixel. "+hostile),
		simulated.Answer{Text: "I will not print it.", Calls: []simulated.Call{{Name: "exec", Input: "const result = await tools.exec_command({cmd: \"git diff --stat\\ngit log -1\", workdir: \"/work\"});\ntext(result.output);\n"}}},
		simulated.Say("All is clean."),
	)
	calls := c.say(roleSaid("developer", "You are a coding agent. Work in the repository, keep changes small, and run the tests.\nNever push."),
		prompt("<environment_context>\n  <cwd>/work/parser</cwd>\n  <shell>bash</shell>\n</environment_context>"),
		prompt("The parser takes a text of spaces for a node.\nFind out why and mend it."))
	lines := "--- FAIL: TestParse (0.00s)\n    parser_test.go:14: parse(\"  \") = Node{}, want an error\n" + strings.Repeat("=== RUN   TestParse/one_of_many_cases\n", 40) + "FAIL\n"
	calls = c.say(output(calls[2], lines))
	c.say(output(calls[1], "Done.\ndiff --git a/parser.go b/parser.go\n--- a/parser.go\n+++ b/parser.go\n@@ -1,2 +1,2 @@\n-old\n+new\n context\n"))
	picture := `{"type":"message","role":"user","content":[{"type":"input_text","text":"What is this? It is not <b>bold</b>."},{"type":"input_image","image_url":"data:image/png;base64,` + pixel + `"},` +
		`{"type":"input_image","image_url":"data:image/svg+xml;base64,` + base64.StdEncoding.EncodeToString([]byte("<svg onload=alert(1)/>")) + `"}]}`
	c.say(picture)
	c.say()
	c.say()
	calls = c.say(prompt("My token is GITHUB_TOKEN=" + githubToken() + " and this came back: " + unseenText + hostile))
	c.say(output(calls[1], strings.Repeat("x", 50_000)+"\n"+hostile))
}

func TestHostileTextStaysText(t *testing.T) {
	f := newFixture(t)
	f.tell()
	f.exchanges()
	for _, address := range f.addresses() {
		answer := f.get(address)
		if answer.Code != http.StatusOK {
			t.Errorf("%s: %d", address, answer.Code)
		}
		page := answer.Body.String()
		if secret := githubToken(); strings.Contains(page, secret) {
			t.Errorf("%s shows a secret", address)
		}
		for _, forbidden := range []string{`<script>`, "<iframe", "<style", "<base", "http-equiv", "onerror=\"", "onload=", "<b>bold", "style=", "\x1b", "\u202e", "\u200b", "\U000E0041", "\x00"} {
			if shown := regexp.MustCompile(`<svg class="spans"`).ReplaceAllString(page, ""); strings.Contains(shown, forbidden) && !escaped(shown, forbidden) {
				t.Errorf("%s holds %q", address, forbidden)
			}
		}
		for _, attribute := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
			if to := attribute[1]; !strings.HasPrefix(to, "/console/") && !strings.HasPrefix(to, "#") && !strings.HasPrefix(to, "?") && !strings.HasPrefix(to, "data:image/png;base64,") && to != "/frame.css" {
				t.Errorf("%s leads to %q", address, to)
			}
		}
	}
}

// escaped reports whether a text occurs only as text, which means behind an
// escaped angle bracket.
func escaped(page, text string) bool {
	for _, tag := range regexp.MustCompile(`<[^>]*>`).FindAllString(page, -1) {
		if strings.Contains(tag, text) {
			return false
		}
	}
	return !strings.ContainsAny(text, "\x00\x1b\u202e\u200b\U000E0041")
}

// addresses are all pages there are about what the fixture recorded.
func (f *fixture) addresses() []string {
	all := []string{sessionsPath, recordsPath, recordsPath + "/search", recordsPath + "/origin", sessionAddress(alice, thread), sessionAddress(alice, thread) + "&all=1"}
	for _, e := range f.exchanges() {
		at := recordAddress(e.ID)
		all = append(all, at, at+"?whole=1", at+"/raw?side=request", at+"/raw?side=response", at+"/item?side=request&n=0")
	}
	return all
}

func TestASessionsPageShowsWhatAPersonLooksFor(t *testing.T) {
	f := newFixture(t)
	f.tell()
	f.exchanges()
	page := f.get(sessionAddress(alice, thread)).Body.String()
	for what, want := range map[string]string{
		"a deep link":                "id=\"turn-3\"",
		"a command":                  `<span class="cmd">$ go test ./internal/parser</span>`,
		"a command inside a script":  "<span class=\"cmd\">$ git diff --stat\n  git log -1",
		"an added line":              "<span class=\"add\">&#43;\tif strings.TrimSpace(text) == &#34;&#34; {\n</span>",
		"a deleted line":             "<span class=\"del\">-\tif text == &#34;&#34; {\n</span>",
		"a hunk":                     `<span class="hunk">@@ func parse`,
		"a folded output":            "more lines</summary>",
		"a picture":                  `<img src="data:image/png;base64,` + strings.ReplaceAll(pixel, "+", "&#43;"),
		"a picture that is none":     "not a PNG, JPEG, GIF or WebP",
		"a placeholder":              `<mark class="secret" title="github-token, fingerprint `,
		"a finding":                  `<mark>github-token</mark> replaced by a placeholder, new here`,
		"who said an error":          "<strong>OpenAI said:</strong>",
		"a retry":                    "sends turn <a href=\"#turn-4\">4</a> again",
		"what was tried again":       "tried again in turn",
		"an answer that was cut":     "cut off here",
		"an escape sequence":         `<span class="ctl">\x1b</span>[31mred`,
		"a mark of direction":        `<span class="ctl">\u202e</span>gnp.exe`,
		"how the time went":          "waiting for OpenAI",
		"a tool's time":              "tool on the developer’s side",
		"a way to all of a long one": "/item?n=",
		"the session's cost so far":  "so far $",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s: %q", what, want)
		}
	}
}

func TestAWebSocketsTurnsAreShownAsTheyGrow(t *testing.T) {
	f := newFixture(t)
	f.openai.Play(simulated.Say("hello"), simulated.Say("hello"))
	header := http.Header{"Authorization": {"Bearer " + f.token}, "Session-Id": {thread}, "OpenAI-Beta": {"responses_websockets=2026-02-06"}}
	c, _, err := websocket.Dial(t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	previous := ""
	for _, frame := range []string{`"generate":false,"input":[]`, `"input":[` + prompt("hi") + `]`, `"input":[` + prompt("hi") + `]`} {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"response.create","model":"gpt-5.1-codex",`+previous+frame+`}`)); err != nil {
			t.Fatal(err)
		}
		f.sent++
		for {
			_, event, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if openai.FrameType(event) == "response.completed" {
				previous = `"previous_response_id":"` + regexp.MustCompile(`"id":"(resp_[^"]+)"`).FindStringSubmatch(string(event))[1] + `",`
				break
			}
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	got := transcript(Turns(t.Context(), f.archive, f.exchanges(), 1, 10))
	want := "turn 1 completed warm-up\nturn 2 completed\n> Prompt: hi\n< Answer: hello\nturn 3 completed\n> Prompt: hi\n< Answer: hello\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestBodiesThatAreNoConversationAreShownAllTheSame(t *testing.T) {
	f := newFixtureUnder(t, `mode = "report"`) // else they would not leave
	f.post("/v1/chat/completions", thread, []byte(`{"model":"gpt-5.1","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"hello"}]}`))
	f.post("/v1/responses", thread, []byte(`{"model":"gpt-5.1-codex","input":[{"role":"us`))
	f.post("/v1/embeddings", thread, []byte("not JSON \xff\xfe\x1b[2J"))
	got := transcript(Turns(t.Context(), f.archive, f.exchanges(), 1, 10))
	for _, want := range []string{"> Instructions (system): Be brief.\n> Prompt: hello\n< Answer: ", "not readable as JSON", "[binary, "} {
		if !strings.Contains(got, want) {
			t.Errorf("the turns lack %q:\n%s", want, got)
		}
	}
}

// TestNothingHostileRunsInABrowser opens the page in a real browser, with the
// scripts and styles that the page itself has.
func TestNothingHostileRunsInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("there is no chromium here")
	}
	f := newFixture(t)
	f.tell()
	f.exchanges()
	mux := http.NewServeMux()
	mux.Handle("/console/", f.pages)
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(),
		"--virtual-time-budget=3000", "--dump-dom", server.URL+sessionAddress(alice, thread))
	command.WaitDelay = 5 * time.Second
	dom, err := command.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	page := string(dom)
	if title := regexp.MustCompile(`<title>([^<]*)`).FindStringSubmatch(page); title == nil || title[1] != "Session of "+alice {
		t.Errorf("the page's title became %q", title)
	}
	if strings.Contains(page, "<iframe") || strings.Contains(page, "<svg onload") {
		t.Error("hostile text became a part of the page")
	}
	if !strings.Contains(page, `<form id="find" class="find" role="search">`) {
		t.Error("the page's own script did not run: the search is hidden")
	}
}

func TestWhatAPersonMayNotReadIsNotShown(t *testing.T) {
	f := newFixture(t)
	f.openai.Play(simulated.Say("the answer"))
	(&talk{f: f, session: thread}).say(prompt("the question"))
	id := f.exchanges()[0].ID

	f.frame.withheld = []string{alice}
	for _, address := range []string{
		sessionAddress(alice, thread), recordAddress(id), recordAddress(id) + "/raw?side=request", recordAddress(id) + "/body?side=request",
		recordAddress(id) + "/download", recordAddress(id) + "/item?side=request&n=1",
	} {
		answer := f.get(address)
		if answer.Code != http.StatusForbidden || strings.Contains(answer.Body.String(), "the question") {
			t.Errorf("%s: %d\n%s", address, answer.Code, answer.Body)
		}
	}
	if hits := f.search("question", "").Body.String(); strings.Contains(hits, "the question") || !strings.Contains(hits, "1 exchange left out") {
		t.Errorf("the search tells what may not be read:\n%s", hits)
	}
	if answer := f.search("question", alice); answer.Code != http.StatusForbidden {
		t.Errorf("a search of a developer's words: %d", answer.Code)
	}
	if list := f.get(sessionsPath); list.Code != http.StatusOK || !strings.Contains(list.Body.String(), thread) {
		t.Errorf("the list of sessions, which holds no words: %d", list.Code)
	}

	f.frame.withheld, f.frame.viewer = nil, access.Viewer{Name: bob, Role: access.Developer, Only: bob}
	for _, address := range []string{sessionAddress(alice, thread), recordAddress(id), recordAddress(id) + "/download"} {
		if answer := f.get(address); answer.Code != http.StatusNotFound {
			t.Errorf("%s for another developer: %d", address, answer.Code)
		}
	}
	for _, address := range []string{sessionsPath + "?developer=" + url.QueryEscape(alice), recordsPath + "?developer=" + url.QueryEscape(alice)} {
		if list := f.get(address).Body.String(); strings.Contains(list, thread) || strings.Contains(list, id) {
			t.Errorf("%s shows another developer's", address)
		}
	}
}

// search posts the form of a search.
func (f *fixture) search(text, developer string) *httptest.ResponseRecorder {
	form := url.Values{"text": {text}, "developer": {developer}}
	r := httptest.NewRequestWithContext(f.t.Context(), http.MethodPost, recordsPath+"/search", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return f.ask(r)
}

func TestASearchFindsWhatWasSaid(t *testing.T) {
	f := newFixture(t)
	f.tell()
	f.exchanges()
	page := f.search("TRIMSPACE", "").Body.String()
	if !strings.Contains(page, `<b class="match">TrimSpace</b>`) || !strings.Contains(page, "8 exchanges searched") || !strings.Contains(page, "All was searched.") {
		t.Errorf("the search found:\n%s", page)
	}
	if answer := f.search("", ""); answer.Code != http.StatusBadRequest {
		t.Errorf("a search for nothing: %d", answer.Code)
	}
}

func TestWhoSaidItIsAnswered(t *testing.T) {
	f := newFixture(t)
	f.tell()
	wrong := f.exchanges()[3]
	ask := func(text string) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, recordsPath+"/origin", strings.NewReader(url.Values{"text": {text}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return f.ask(r).Body.String()
	}
	for _, text := range []string{"currently experiencing HIGH demand", "server had an error while processing", "see " + wrong.UpstreamRequestID} {
		page := ask(text)
		for _, want := range []string{"<strong>OpenAI</strong> said: ", "in words of its own", "Advice about failed.", "1 exchange said it", recordAddress(wrong.ID)} {
			if !strings.Contains(page, want) {
				t.Errorf("%q: the page lacks %q:\n%s", text, want, page)
			}
		}
	}
	if page := ask("the moon"); !strings.Contains(page, "None said it") {
		t.Errorf("what nobody said:\n%s", page)
	}
	f.frame.withheld = []string{alice}
	if page := ask("high demand"); strings.Contains(page, wrong.ID) || !strings.Contains(page, "2 exchanges left out") {
		t.Errorf("it tells what may not be read:\n%s", page)
	}
}

func TestARecordIsGivenOutAsItIs(t *testing.T) {
	f := newFixture(t)
	body := []byte(`{"model":"gpt-5.1-codex","input":"` + strings.Repeat("grüße ", 40_000) + `"}`)
	f.post("/v1/responses", thread, body)
	id := f.exchanges()[0].ID

	answer := f.get(recordAddress(id) + "/body?side=request")
	if got := answer.Body.String(); got != string(body) {
		t.Errorf("the body has %d bytes, want %d", len(got), len(body))
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "Content-Disposition": `attachment; filename="` + id + `.request"`,
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := answer.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := f.get(recordAddress(id) + "/download").Body.Bytes(); len(got) < 4 || string(got[:4]) != "\x28\xb5\x2f\xfd" {
		t.Errorf("the record is not as the archive keeps it")
	}

	// The pages of the raw body are the body.
	var all strings.Builder
	next := recordAddress(id) + "/raw?side=request"
	for range 10 {
		page := f.get(next).Body.String()
		all.WriteString(regexp.MustCompile(`(?s)<pre class="raw"[^>]*>(.*)</pre>`).FindStringSubmatch(page)[1])
		link := regexp.MustCompile(`<a href="([^"]*)" rel="next">`).FindStringSubmatch(page)
		if link == nil {
			break
		}
		next = strings.ReplaceAll(link[1], "&amp;", "&")
	}
	if got := strings.ReplaceAll(all.String(), "&#34;", `"`); got != string(body) {
		t.Errorf("the raw pages have %d bytes, want %d", len(got), len(body))
	}
}

func TestWhatIsNotThereIsSaidSo(t *testing.T) {
	f := newFixture(t)
	for address, want := range map[string]int{
		sessionAddress(alice, "none"):                             http.StatusNotFound,
		recordAddress("../../etc/passwd"):                         http.StatusNotFound,
		recordAddress("0198a000-0000-7000-8000-000000000001"):     http.StatusNotFound,
		sessionsPath + "?from=yesterday":                          http.StatusBadRequest,
		recordsPath + "?from=2026-02-02&to=2026-02-01":            http.StatusBadRequest,
		recordsPath + "?status=many":                              http.StatusBadRequest,
		recordsPath + "?min_cost=cheap":                           http.StatusBadRequest,
		recordsPath + "?min_seconds=-1":                           http.StatusBadRequest,
		recordsPath + "?min_seconds=NaN":                          http.StatusBadRequest,
		recordsPath + "?developer=" + url.QueryEscape("' OR 1=1"): http.StatusOK,
		staticPath + "/../replay.go":                              http.StatusTemporaryRedirect,
		staticPath + "/replay.js":                                 http.StatusOK,
	} {
		if answer := f.get(address); answer.Code != want {
			t.Errorf("%s: %d, want %d", address, answer.Code, want)
		}
	}
}
