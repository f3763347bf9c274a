package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/simulated"
)

// TestAConversationOfTheRealCLIIsFoundAndLookedAt clicks through what a developer can
// do with their own sessions and records.
func TestAConversationOfTheRealCLIIsFoundAndLookedAt(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	wrong := p.newCLI(overHTTP, token).run("-c", "model_providers.p.request_max_retries=0", "-c", "model_providers.p.stream_max_retries=0", "simulate: 500")
	p.openai.Play(
		simulated.Answer{Reasoning: "**A plan**\n\nI look for the marmalade.", Calls: []simulated.Call{{Command: "echo the marmalade is in the cellar"}}},
		simulated.Run("seq 1 60"),
		simulated.Say("The Marmalade is in the cellar."),
	)
	p.newCLI(overHTTP, token).run("Where is the marmalade?").must(t, "The Marmalade is in the cellar.")
	highDemand := regexp.MustCompile(`(?m)^ERROR: .*high demand.*$`).FindString(wrong.err)
	if highDemand == "" {
		t.Fatalf("codex said:\n%s", wrong.err)
	}
	list := p.records(4)
	last := list[len(list)-1]
	b := newBrowser(t, p.address)
	b.signIn(token)

	// The theme stays what somebody chose, on every page.
	b.look(1280, "light")
	ground := func() (colour string) {
		b.js("getComputedStyle(document.body).backgroundColor", &colour)
		return colour
	}
	light := ground()
	for system, offers := range map[string]string{"light": "Dark", "dark": "Light"} { // also while the page is open
		b.look(1280, system)
		b.until("the button offers the other theme than "+system, fmt.Sprintf(`document.getElementById("theme").textContent === %q`, offers))
	}
	b.look(1280, "light")
	b.do(chromedp.Click("#theme", chromedp.ByQuery))
	dark := ground()
	b.open("/console/records")
	var button string
	b.do(chromedp.Text("#theme", &button, chromedp.ByQuery))
	if dark == light || ground() != dark || button != "Light" {
		t.Errorf("the page is %s, then %s, and the next one %s with a button %q", light, dark, ground(), button)
	}
	b.do(chromedp.Click("#theme", chromedp.ByQuery))
	if ground() != light {
		t.Error("the button does not lead back to light")
	}

	// Finding on the page of a session.
	b.open("/console/sessions/view?developer=alice@example.com&session=" + last.Session)
	found := func() (text string) {
		b.js(`document.getElementById("find-count").value`, &text)
		return text
	}
	b.do(typed("/cellar"))
	b.until("the places are counted", `document.getElementById("find-count").value`)
	var places int
	if _, err := fmt.Sscan(found(), &places); err != nil || places < 3 {
		t.Errorf("found: %q", found())
	}
	counted := func(key string, want int) {
		t.Helper()
		b.do(typed(key))
		if got := found(); got != fmt.Sprintf("%d of %d", want, places) {
			t.Errorf("found: %q, want the %d of %d", got, want, places)
		}
	}
	counted(kb.Enter, 1)
	counted(kb.Enter, 2)
	b.do(chromedp.Click("#find-back", chromedp.ByQuery), chromedp.Click("#find-back", chromedp.ByQuery))
	if got := found(); got != fmt.Sprintf("%d of %d", places, places) {
		t.Errorf("two back from the second: %q", got)
	}
	var highlit int
	b.js(`CSS.highlights.get("replay-found").size * 100 + CSS.highlights.get("replay-current").size`, &highlit)
	if highlit != places*100+1 {
		t.Errorf("%d places are marked, of %d", highlit, places)
	}
	b.js(`document.getElementById("find-text").select()`, nil)
	b.do(typed("jam from nowhere"))
	b.until("nothing is found", `document.getElementById("find-count").value === "not found"`)

	folded := b.count(".turns details:not([open])")
	b.do(chromedp.Click("#unfold", chromedp.ByQuery))
	if left := b.count(".turns details:not([open])"); folded == 0 || left > 0 {
		t.Errorf("%d were folded, and %d are after unfolding all", folded, left)
	}
	if text := b.text(); !strings.Contains(text, "I look for the marmalade.") || !strings.Contains(text, "\n59\n") {
		t.Errorf("unfolded:\n%s", text)
	}
	b.do(chromedp.Click("#unfold", chromedp.ByQuery))
	if left := b.count(".turns details[open]"); left > 0 {
		t.Errorf("%d are open after folding all", left)
	}
	// A place inside what is folded is unfolded by walking to it.
	b.js(`document.getElementById("find-text").select()`, nil)
	b.do(typed("look for the marmalade"))
	b.until("its summary and its text are found", `document.getElementById("find-count").value === "2"`)
	b.do(typed(kb.Enter))
	if b.count(".turns .reasoning details[open]") != 1 {
		t.Error("the reasoning stays folded around what was found in it")
	}

	// The turn that an address names is what one sees, also within the page.
	b.open("/console/sessions/view?developer=alice@example.com&session=" + last.Session + "#turn-3")
	b.untilSeen("#turn-3 h2")

	// Full-text search.
	b.open("/console/records/search")
	b.do(chromedp.SendKeys("input[name=text]", "marmalade is in the CELLAR", chromedp.ByQuery))
	b.press("form.filter button", ".progress.ended")
	if text := b.text(); !strings.Contains(text, "in 4 exchanges searched") || b.count(".hit") < 3 || b.count(".hit .match") < 3 {
		t.Errorf("the search shows:\n%s", text)
	}
	if address := b.location(); strings.Contains(strings.ToLower(address), "cellar") || strings.Contains(address, "?") {
		t.Errorf("what was searched for stands in the address: %s", address)
	}
	b.screenshot("search-hits")
	b.press(`.hit a[href*="#exchange-"]`, ".turns")
	_, anchor, _ := strings.Cut(b.location(), "#")
	b.untilSeen(`[id="` + anchor + `"]`)
	b.open("/console/records/search")
	b.do(chromedp.SendKeys("input[name=text]", "marmalade is in the CELLAR", chromedp.ByQuery), chromedp.Click("input[name=case]", chromedp.ByQuery))
	b.press("form.filter button", ".progress.ended")
	if b.count(".hit") != 0 || !strings.Contains(b.text(), "0 hits in 4 exchanges searched") {
		t.Errorf("with upper and lower case apart:\n%s", b.text())
	}

	// Who said it?
	b.open("/console/records/origin")
	b.do(chromedp.SendKeys("input[name=text]", highDemand, chromedp.ByQuery))
	b.press("form.filter button", ".progress.ended")
	if text := b.text(); b.count(".hit") != 1 || !strings.Contains(text, "OpenAI said: ") || !strings.Contains(text, "Codex showed: ") || !strings.Contains(text, "1 exchange said it") {
		t.Errorf("who said %q:\n%s", highDemand, text)
	}
	b.screenshot("origin-hits")
	b.press(".hit a", ".origin")
	if text := b.text(); !strings.Contains(text, "Who said it") || !strings.Contains(text, "high demand") {
		t.Errorf("its record:\n%s", text)
	}

	// The raw body, page by page, is the body, and so is the download.
	received := p.openai.Received()
	sent := received[len(received)-1].Body
	if coding := received[len(received)-1].Header.Get("Content-Encoding"); coding == "zstd" {
		decoder, err := zstd.NewReader(nil)
		if err == nil {
			sent, err = decoder.DecodeAll(sent, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.open("/console/records/" + last.ID + "/raw?side=response")
	if text := b.text(); !strings.Contains(text, "response.completed") {
		t.Errorf("the raw answer:\n%.2000s", text)
	}
	b.open("/console/records/" + last.ID)
	b.do(chromedp.Click(".block summary", chromedp.ByQuery))
	body := b.fetched(`.block a[href*="/body?side=request"]`)
	if sum := sha256.Sum256(sent); body.Hash != hex.EncodeToString(sum[:]) {
		t.Errorf("the body has %d bytes and another hash than the %d that were sent", body.Size, len(sent))
	}
	for _, file := range []download{body, b.fetched(`.pages a[href$="/download"]`)} {
		if file.Status != http.StatusOK || !strings.HasPrefix(file.Disposition, "attachment;") || file.Type != "application/octet-stream" || file.Policy != "default-src 'none'; sandbox" {
			t.Errorf("a download is answered with %+v", file)
		}
	}
}

// download is how a file is answered.
type download struct {
	Status                          int
	Type, Disposition, Policy, Hash string
	Size                            int
	Text                            string
}

// fetched fetches in the page what a link leads to.
func (b *browser) fetched(selector string) (file download) {
	b.t.Helper()
	b.js(fmt.Sprintf(`fetch(document.querySelector(%q).href).then(async r => {
		const bytes = await r.arrayBuffer()
		const hash = [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map(b => b.toString(16).padStart(2, "0")).join("")
		const header = name => r.headers.get(name) ?? ""
		return {Status: r.status, Type: header("content-type"), Disposition: header("content-disposition"), Policy: header("content-security-policy"), Hash: hash, Size: bytes.byteLength, Text: new TextDecoder().decode(bytes).slice(0, 65536)}
	})`, selector), &file)
	return file
}

// TestLongListsAndBodiesGoOnPageByPage makes more of everything than a page has.
func TestLongListsAndBodiesGoOnPageByPage(t *testing.T) {
	const turns, sessions, developers = 60, 55, 120
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	roster := &bytes.Buffer{}
	fmt.Fprintln(roster, "id,name,team")
	for n := range developers {
		fmt.Fprintf(roster, "developer-%03d@example.com,Developer %d,core\n", n, n)
	}
	file := filepath.Join(t.TempDir(), "roster.csv")
	if err := os.WriteFile(file, roster.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	p.command("developer", "import", file, "--no-tokens")
	for n := range turns {
		p.asked(token, map[string]string{"Session-Id": "a-long-one"}, map[string]any{"model": "gpt-5.1-codex", "input": fmt.Sprintf("the question %d", n+1)})
	}
	for n := range sessions {
		p.asked(token, map[string]string{"Session-Id": fmt.Sprintf("short-%03d", n)}, map[string]any{"model": "=1+2", "input": "hello"})
	}
	line := strings.Repeat("äöü€ and so on; ", 12_000)
	long := map[string]any{"model": "gpt-5.1-codex", "input": line}
	p.asked(token, nil, long)
	list := p.records(turns + sessions + 1)
	b := newBrowser(t, p.address)
	b.signIn(token)

	rows := func() (ids []string) {
		b.js(`[...document.querySelectorAll("main tbody tr td code")].map(e => e.title)`, &ids)
		return ids
	}
	for path, want := range map[string]int{"/console/sessions": sessions + 1, "/console/records": len(list)} {
		b.open(path)
		seen := map[string]bool{}
		for page := 1; ; page++ {
			ids := rows()
			for _, id := range ids {
				seen[id] = true
			}
			if b.count("a[rel=next]") == 0 || page > 5 {
				break
			}
			b.press("a[rel=next]", "table")
		}
		if len(seen) != want {
			t.Errorf("all pages of %s list %d, want %d", path, len(seen), want)
		}
	}

	// A turn that is on another page of its session is led to by its exchange.
	turn := list[54] // the 55th
	b.open("/console/records?session=a-long-one")
	b.do(chromedp.Navigate("http://"+b.host+"/console/sessions/view?developer=alice@example.com&session=a-long-one&exchange="+turn.ID+"#exchange-"+turn.ID), chromedp.WaitReady("#turn-55", chromedp.ByQuery))
	b.untilSeen("#exchange-" + turn.ID)
	if text := b.text(); !strings.Contains(text, "the question 55") || strings.Contains(text, "the question 50\n") {
		t.Errorf("the page of turn 55:\n%s", text)
	}
	b.press(`nav[aria-label=Turns] a[href$="#turn-1"]`, "#turn-1")
	b.untilSeen("#turn-1 h2")
	b.press(`nav[aria-label=Turns] a[href*="all="]`, "#turn-60")
	if n := b.count(".turn"); n != turns {
		t.Errorf("the page of all turns has %d, want %d", n, turns)
	}
	b.open("/console/sessions/view?developer=alice@example.com&session=a-long-one&turn=60#turn-60")
	b.untilSeen("#turn-60 h2")

	// The pages of a raw body, one after the other, are the body.
	b.open("/console/records/" + list[len(list)-1].ID + "/raw?side=request")
	var whole strings.Builder
	pages := 0
	for {
		var part string
		b.js(`document.querySelector("pre.raw").textContent`, &part)
		whole.WriteString(part)
		if pages++; b.count("a[rel=next]") == 0 || pages > 9 {
			break
		}
		b.press("a[rel=next]", "pre.raw")
	}
	raw := marshalled(t, long)
	if whole.String() != string(raw) || pages < 4 {
		t.Errorf("%d pages make %d bytes, and %d were sent", pages, whole.Len(), len(raw))
	}
	b.press("a[rel=prev]", "a[rel=next]")
	for label, first := range map[string]bool{"Beginning": true, "End": false} {
		b.follow(".pages a", label)
		var part string
		b.js(`document.querySelector("pre.raw").textContent`, &part)
		if strings.HasPrefix(part, "{") != first || strings.HasSuffix(part, "}") == first {
			t.Errorf("%s shows %.40s … %s", label, part, part[len(part)-40:])
		}
		if first {
			continue
		}
		b.press("a[rel=prev]", "a[rel=next]") // so that there is a beginning to go to
	}

	b.signOut()
	b.signIn(p.administrator())

	// Of what has no price nothing is said to cost nothing.
	b.open("/console/overview?model=%3D1%2B2")
	if text := b.text(); !strings.Contains(text, "55 exchanges unpriced") || strings.Contains(text, "$0.00") {
		t.Errorf("a model without a price:\n%s", text)
	}

	// A model whose name a spreadsheet would take for a formula.
	b.open("/console/overview?by=model")
	var tables int
	for i, link := range b.links("a[download]") {
		csv := b.fetched(fmt.Sprintf("a[download][href=%q]", link))
		if csv.Status != http.StatusOK || csv.Type != "text/csv; charset=utf-8" || !strings.HasPrefix(csv.Disposition, "attachment;") {
			t.Errorf("the file %d is answered with %+v", i, csv)
		}
		if strings.Contains(csv.Text, "1+2") {
			tables++
			if !strings.Contains(csv.Text, "'=1+2") || regexp.MustCompile(`(?m)(^|,)"?=`).MatchString(csv.Text) {
				t.Errorf("a formula is in:\n%s", csv.Text)
			}
		}
	}
	if tables != 2 {
		t.Errorf("%d files have the model, want 2", tables)
	}
	b.open("/console/developers")
	first := b.count("main tbody tr")
	b.press("a[rel=next]", "table")
	if second := b.count("main tbody tr"); first != 100 || first+second != developers+1 || b.count("a[rel=next]") != 0 {
		t.Errorf("two pages of developers have %d and %d", first, second)
	}
}

// TestFindingsAreFilteredAndMarkedAsRotated is about secrets of the real CLI.
func TestFindingsAreFilteredAndMarkedAsRotated(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	p.openai.Play(simulated.Say("Noted."))
	p.newCLI(overHTTP, token).run("The key is AKIA"+"Z7QGN4T2KXW3PLVD, and the database is postgres://app:"+"vT9xK2mWd4Zq7@db.example.com/app.").must(t, "Noted.")
	p.records(1)
	b := newBrowser(t, p.address)
	b.signIn(p.administrator())
	b.open("/console/findings")
	kinds := func() (kinds []string) {
		b.js(`[...document.querySelectorAll("main tbody th")].map(e => e.innerText)`, &kinds)
		return kinds
	}
	all := kinds()
	if len(all) < 2 {
		t.Fatalf("two secrets were sent, and these are listed: %q\n%s", all, b.text())
	}
	b.do(chromedp.SendKeys("input[name=rule]", all[0], chromedp.ByQuery))
	b.press("form.filter button", "main")
	if got := kinds(); len(got) != 1 || got[0] != all[0] {
		t.Errorf("of the rule %s: %q", all[0], got)
	}
	b.do(chromedp.SetValue("select[name=mode]", "block", chromedp.ByQuery))
	b.press("form.filter button", "main")
	if got := kinds(); len(got) != 0 {
		t.Errorf("refused were: %q", got)
	}
	b.open("/console/findings?rule=" + all[0])
	b.press("main tbody th a", "form.mark")
	b.do(chromedp.Click("input[name=as][value=rotated]", chromedp.ByQuery), chromedp.SendKeys("textarea[name=note]", "replaced on the same day", chromedp.ByQuery))
	b.press("form.mark button.main", "form.mark")
	if text := b.text(); !strings.Contains(text, "1 exchange of 1 session;") || !strings.Contains(text, "rotated by admin on ") || !strings.Contains(text, "replaced on the same day") {
		t.Errorf("the finding says:\n%s", text)
	}
	b.open("/console/findings")
	for label, want := range map[string]int{"Rotated": 1, "Open": len(all) - 1, "False positives": 0, "All": len(all)} {
		b.follow("nav[aria-label=Marked] a", label)
		if got := kinds(); len(got) != want || want == 1 && label == "Rotated" && got[0] != all[0] {
			t.Errorf("%s: %q", label, got)
		}
	}
	b.open("/console/findings")
	if csv := b.fetched("a[download]"); csv.Type != "text/csv; charset=utf-8" || !strings.Contains(csv.Text, ",rotated,admin,") {
		t.Errorf("the file of findings: %+v", csv)
	}
	var listed []struct{ Marked string }
	if out := p.command("secrets", "list", "--json"); json.Unmarshal([]byte(out), &listed) != nil || !strings.Contains(out, "rotated") {
		t.Errorf("the command line lists:\n%s", out)
	}
}

// TestTheLivePageKeepsItselfUpToDate does not load it again. The page's clock is made
// faster, and counted.
func TestTheLivePageKeepsItselfUpToDate(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	b := newBrowser(t, p.address)
	b.signIn(p.administrator())
	b.open("/console/live")
	b.js(`(later => { window.rounds = 0; window.setTimeout = (f, ms) => later(() => { if (ms === 2000) window.rounds++; f() }, 30) })(window.setTimeout)`, nil)
	begin := func(model string) *http.Response {
		p.openai.Play(simulated.Stall("thinking about it", 8))
		return p.ask(token, map[string]string{"User-Agent": "codex_cli_rs/0.1"}, map[string]any{"model": model, "stream": true, "input": "Go on."})
	}
	shows := func(what, model string) {
		b.until(what, fmt.Sprintf(`document.getElementById("live-rows").innerText.includes(%q)`, model))
	}
	first := begin("gpt-5.1-codex")
	shows("a row appears", "gpt-5.1-codex")
	b.until("its tokens are counted", `/^~\d/.test(document.querySelector("[data-field=tokens]").textContent)`)
	if text := b.text(); !strings.Contains(text, "1 running") || !strings.Contains(text, "codex_cli_rs/0.1") || strings.Contains(text, "Nothing runs") {
		t.Errorf("the page says:\n%s", text)
	}

	b.do(chromedp.Click("#live-pause", chromedp.ByQuery))
	begin("gpt-5.2")
	p.eventually("the second one runs", func() bool {
		var running struct{ Running []struct{ Model string } }
		b.js(`fetch("/console/live/data").then(r => r.json())`, &running)
		return len(running.Running) == 2 && running.Running[0].Model != "" && running.Running[1].Model != ""
	})
	b.js("window.rounds = 0", nil)
	b.until("the page's clock has gone on", "window.rounds > 4")
	var button, pressed string
	b.js(`document.getElementById("live-pause").textContent`, &button)
	b.js(`document.getElementById("live-pause").getAttribute("aria-pressed")`, &pressed)
	if n := b.count("#live-rows tr"); n != 1 || button != "Go on" || pressed != "true" {
		t.Errorf("while it is paused the page has %d rows, and a button %q, pressed %s", n, button, pressed)
	}
	b.do(chromedp.Click("#live-pause", chromedp.ByQuery))
	shows("the second row appears", "gpt-5.2")

	first.Body.Close()
	b.until("the first row vanishes", `document.querySelectorAll("#live-rows tr").length === 1`)
	shows("the second stays", "gpt-5.2")
	var same bool
	if b.js("window.rounds > 0", &same); !same {
		t.Error("the page was loaded again")
	}
	// What came by the script can be stopped as what came with the page.
	b.press("#live-rows form button", "#live")
	if list := p.records(2); list[0].Outcome != "client_cancelled" || list[1].Outcome != "interrupted" {
		t.Errorf("on record: %+v", list)
	}
}
