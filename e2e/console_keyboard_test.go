package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"codex-proxy/internal/simulated"
)

// focused tells of what has the focus, and whether it looks unlike what has not:
// by its outline, which nothing else here has.
const focused = `(() => {
	const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect()
	const name = e.localName + (e.id ? "#" + e.id : "") + (e.name ? "[" + e.name + "]" : "") + " " + (e.textContent.trim() || e.getAttribute("aria-label") || "").slice(0, 30)
	return {
		At: [...document.querySelectorAll("*")].indexOf(e), Name: name,
		Outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1 && style.outlineColor !== getComputedStyle(document.body).backgroundColor,
		Seen: box.width > 0 && box.height > 0 && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight,
	}
})()`

// stop is where the focus is.
type stop struct {
	At             int
	Name           string
	Outlined, Seen bool
}

// stops presses Tab from the top of the page to its end, and returns where the focus
// was on the way.
func (b *browser) stops() (all []stop) {
	b.t.Helper()
	const most = 300
	for range most {
		b.do(typed(kb.Tab))
		var is stop
		b.js(focused, &is)
		if strings.HasPrefix(is.Name, "body") {
			return all
		}
		if len(all) > 0 && all[len(all)-1].At == is.At {
			continue // a date has parts
		}
		if len(all) > 0 && all[0].At == is.At {
			return all // around
		}
		all = append(all, is)
	}
	b.t.Fatalf("Tab goes on after %d", most)
	return nil
}

// tab presses Tab until what has the focus is of a selector.
func (b *browser) tab(selector string) {
	b.t.Helper()
	const most = 300
	for range most {
		b.do(typed(kb.Tab))
		var there bool
		if b.js(fmt.Sprintf("document.activeElement.matches(%q)", selector), &there); there {
			return
		}
	}
	b.t.Fatalf("Tab does not reach %s", selector)
}

func TestTabReachesEverythingOnAPageInItsOrderAndShowsWhere(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	p.openai.Play(simulated.Say("On trees."), simulated.Status(500))
	ask := map[string]any{"model": "gpt-5.1-codex", "input": "Where do the apples grow? The key is AKIA" + "Z7QGN4T2KXW3PLVD."}
	headers := map[string]string{"Session-Id": "apples"}
	p.asked(token, headers, ask)
	p.asked(token, headers, ask)
	list := p.records(2)
	p.openai.Play(simulated.Stall("thinking", 5))
	p.ask(token, nil, map[string]any{"model": "gpt-5.1-codex", "stream": true, "input": "Go on."})
	b := newBrowser(t, p.address)
	b.forgives403()
	b.signIn(p.administrator())
	b.openSession("alice@example.com", reasonBox)
	b.giveReason("The ticket 4711, about a slow answer", ".replay.session")
	for path, theme := range map[string]string{
		"/console/overview": "light", "/console/sessions": "light", "/console/sessions/view?developer=alice@example.com&session=apples": "dark", "/console/records/" + list[0].ID: "light",
		"/console/live": "dark", "/console/developers/alice@example.com": "light", "/console/findings": "dark",
	} {
		b.look(1280, theme)
		b.open(path)
		// What can be used, and what scrolls, in the order of the page.
		var want []stop
		b.js(`[...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter(e => e.type !== "hidden" && !e.disabled && (e.matches(".skip") || e.checkVisibility({visibilityProperty: true})))
			.map(e => ({At: [...document.querySelectorAll("*")].indexOf(e), Name: e.localName + " " + (e.textContent.trim() || e.name || "").slice(0, 30)}))`, &want)
		got := b.stops()
		reached := map[int]bool{}
		for i, is := range got {
			reached[is.At] = true
			if i == 0 && !strings.HasSuffix(is.Name, "To the content") {
				t.Errorf("%s: the first is %s", path, is.Name)
			}
			if i > 0 && is.At < got[i-1].At {
				t.Errorf("%s: %s comes after %s", path, is.Name, got[i-1].Name)
			}
			if !is.Outlined || !is.Seen {
				t.Errorf("%s: where the focus is cannot be seen, on %+v", path, is)
			}
		}
		for _, is := range want {
			if !reached[is.At] {
				t.Errorf("%s: Tab does not reach %s", path, is.Name)
			}
		}
	}
}

// TestThePagesAreUsedByTheKeyboardAlone signs in, skips the menu, chooses a session,
// gives a reason, finds a word, looks behind a chart, and signs out.
func TestThePagesAreUsedByTheKeyboardAlone(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	p.openai.Play(simulated.Say("On trees."))
	p.asked(token, map[string]string{"Session-Id": "apples"}, map[string]any{"model": "gpt-5.1-codex", "input": "Where do the apples grow?"})
	p.records(1)
	b := newBrowser(t, p.address)
	b.forgives403()
	enter := typed(kb.Enter)

	b.open("/console/")
	b.do(typed(p.administrator())) // the field has the focus
	b.leads("signing in", enter, ".bar nav")
	b.tab(".skip")
	b.do(enter)
	b.do(typed(kb.Tab))
	var inside bool
	if b.js(`document.querySelector("main").contains(document.activeElement)`, &inside); !inside {
		t.Error("the skip link does not lead past the menu")
	}

	// What a chart shows is in a table, which opens by a key.
	b.tab("section.panel details summary")
	b.do(enter)
	b.until("the table is open", `document.querySelector("section.panel details[open] table tbody tr td").checkVisibility()`)
	b.tab(`nav[aria-label='Group by'] a[href*="by=developer"], section.panel details a[download]`)

	b.open("/console/overview")
	b.tab(`.bar nav a[href="/console/sessions"]`)
	b.leads("going to sessions", enter, "table")
	b.tab(`table a[href^="/console/sessions/view"]`)
	b.leads("choosing a session", enter, reasonBox)
	b.tab(reasonBox)
	b.do(typed("The ticket 4711, about a slow answer"))
	b.tab(".stack button.main")
	b.leads("giving a reason", typed(" "), ".replay.session")
	b.do(typed("/apples"), enter)
	b.until("the word is found", `document.getElementById("find-count").value.startsWith("1 of ")`)
	b.tab(".turn a[href^='/console/records/']")
	b.leads("opening the record", enter, ".record")
	if text := b.text(); !strings.Contains(text, "Where do the apples grow?") {
		t.Errorf("the record shows:\n%s", text)
	}
	b.open("/console/records")
	b.tab(".whoever form button")
	b.leads("signing out", enter, "input[name=credential]")
}
