package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"codex-proxy/internal/simulated"
)

// TestPagesWithinPagesAreForEverybody looks with axe-core at what the menu does not
// lead to: signing in, questions, answers and single things, light on a desk and dark on
// a phone.
func TestPagesWithinPagesAreForEverybody(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com", "--name", "Alice Example", "--team", "core")
	patch := "*** Begin Patch\n*** Update File: main.go\n@@ func main()\n-\tfmt.Println(\"pears\")\n+\tfmt.Println(\"apples\")\n*** End Patch"
	p.openai.Play(
		simulated.Answer{Reasoning: "**Looking**\n\nIn the garden.", Text: "On **trees**:\n```go\nfmt.Println(\"apples\")\n```", Calls: []simulated.Call{{Name: "apply_patch", Input: patch}, {Name: "shell", Arguments: `{"command":["ls","-l"]}`}}},
		simulated.Status(500),
	)
	ask := map[string]any{"model": "gpt-5.1-codex", "stream": true, "input": []any{map[string]any{"type": "message", "role": "user", "content": []any{
		map[string]any{"type": "input_text", "text": "Where do the apples grow? The key is AKIA" + "Z7QGN4T2KXW3PLVD."},
		map[string]any{"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="},
	}}}}
	headers := map[string]string{"Session-Id": "apples"}
	p.asked(token, headers, ask)
	p.asked(token, headers, ask)
	list := p.records(2)
	b := newBrowser(t, p.address)
	b.forgives403()
	b.forgives("400")
	looked := func(name string) {
		t.Helper()
		for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
			b.look(width, theme)
			for _, violation := range b.violations() {
				t.Errorf("%s, %s at %d: %s", name, theme, width, violation)
			}
			b.screenshot(fmt.Sprintf("within-%s-%s-%d", name, theme, width))
			var over float64
			b.js(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &over)
			if over > 1 {
				t.Errorf("%s at %d pixels can be scrolled sideways by %.0f", name, width, over)
			}
		}
		b.look(1280, "light")
	}
	b.open("/console/")
	looked("sign-in")
	b.forgives("401")
	b.do(chromedp.SendKeys(`input[name="credential"]`, "codexconsole_wrong", chromedp.ByQuery))
	b.press(".stack button.main", "[role=alert]")
	looked("sign-in-refused")
	b.signIn(p.administrator())
	b.openSession("alice@example.com", reasonBox)
	looked("reason")
	b.giveReason("The ticket 4711, about a slow answer", ".replay.session")
	b.do(chromedp.Click("#unfold", chromedp.ByQuery))
	looked("session")
	b.open("/console/records/" + list[1].ID)
	looked("record-that-went-wrong")
	b.open("/console/records/" + list[0].ID + "/item?side=response&n=2")
	looked("item")
	b.open("/console/records/" + list[0].ID + "/raw?side=request")
	looked("raw")
	b.open("/console/records/search")
	b.do(chromedp.SendKeys("input[name=text]", "apples", chromedp.ByQuery))
	b.press("form.filter button", ".progress.ended")
	looked("search")
	b.open("/console/records/origin")
	b.do(chromedp.SendKeys("input[name=text]", "high demand", chromedp.ByQuery))
	b.press("form.filter button", ".progress.ended")
	looked("origin")
	b.open("/console/findings")
	b.press("main tbody th a", "form.mark")
	looked("finding")
	b.open("/console/developers/alice@example.com")
	b.press("form.row button.main", ".fresh pre")
	looked("fresh-token")
	b.signOut()
	b.signIn(token)
	b.visit("/console/settings")
	looked("not-for-this-role")
	b.open("/console/me")
	looked("you")
}
