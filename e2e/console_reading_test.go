package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"codex-proxy/internal/simulated"
)

const reasonBox = "textarea[name=reason]"

// openSession follows the first link of the list of sessions of a developer, to what
// it shows.
func (b *browser) openSession(developer, shows string) {
	b.t.Helper()
	b.open("/console/sessions?developer=" + developer)
	b.press("table a[href^='/console/sessions/view']", shows)
}

// giveReason fills in the reason that a page asks for, and sends it.
func (b *browser) giveReason(reason, shows string) {
	b.t.Helper()
	b.do(chromedp.SetValue(reasonBox, reason, chromedp.ByQuery))
	b.press(".stack button.main", shows)
}

// readings are the rows about who has read what, each as one line.
func (b *browser) readings() string {
	b.t.Helper()
	var rows []string
	b.js(`[...document.querySelectorAll("[aria-label=Readings] tbody tr")].map(row => [...row.cells].map(cell => cell.innerText.trim()).join(" | "))`, &rows)
	return strings.Join(rows, "\n")
}

func TestReadingWhatSomebodyWroteTakesAReasonThatTheySee(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	p.openai.Play(simulated.Say("On trees."))
	p.newCLI(overHTTP, token).run("Where do the apples grow?").must(t, "On trees.")
	p.records(1)
	b := newBrowser(t, p.address)
	b.forgives403()

	b.signIn(p.person("audrey@example.com", "auditor"))
	b.openSession("alice@example.com", reasonBox)
	if text := b.text(); strings.Contains(text, "apples") || !strings.Contains(text, "alice@example.com sees them") {
		t.Errorf("the page says:\n%s", text)
	}
	var asked string
	b.do(chromedp.Location(&asked))
	// The form itself says that a reason is too short, and the server whoever sends
	// one without it.
	b.do(chromedp.SendKeys(reasonBox, "just so", chromedp.ByQuery), chromedp.Click(".stack button.main", chromedp.ByQuery))
	var complaint string
	b.js(`document.querySelector("`+reasonBox+`").validationMessage`, &complaint)
	if complaint == "" {
		t.Error("the form takes a reason of seven characters")
	}
	b.forgives("400")
	b.js(`document.querySelector("`+reasonBox+`").form.noValidate = true`, nil)
	b.giveReason("just so", ".notice")
	if text := b.text(); !strings.Contains(text, "Give a reason of 10 to 500 characters") {
		t.Errorf("the server says of it:\n%s", text)
	}
	b.do(chromedp.Navigate(asked), chromedp.WaitReady(reasonBox, chromedp.ByQuery))
	b.giveReason("The ticket 4711, about a slow answer", ".replay.session")
	var location string
	b.do(chromedp.Location(&location))
	if text := b.text(); !strings.Contains(text, "apples") || location != asked {
		t.Errorf("at %s, where %s was asked for, is:\n%s", location, asked, text)
	}
	b.openSession("alice@example.com", ".replay.session") // while the reason holds
	b.signOut()

	b.signIn(token)
	b.open("/console/me")
	if got := b.readings(); !strings.Contains(got, " | audrey@example.com (auditor) | The ticket 4711, about a slow answer | granted, until ") || strings.Contains(got, "\n") || strings.Contains(got, "just so") {
		t.Errorf("alice is told:\n%s", got)
	}
}

func TestWhereItTakesTwoASecondPersonDecidesWhetherSomebodyReads(t *testing.T) {
	p := newProxy(t, simulated.Options{}, settingsFile(t, "[console]\nsecond_person = true\n"))
	token := p.developer("alice@example.com")
	p.openai.Play(simulated.Say("On trees."))
	p.newCLI(overHTTP, token).run("Where do the apples grow?").must(t, "On trees.")
	p.records(1)
	auditor, admin := newBrowser(t, p.address), newBrowser(t, p.address)
	auditor.signIn(p.person("audrey@example.com", "auditor"))
	admin.signIn(p.administrator())
	auditor.forgives403()
	admin.forgives403()
	const alice = "alice@example.com"
	// ask asks, and finds that nobody decides about what they ask themselves.
	ask := func(reason string) {
		t.Helper()
		auditor.openSession(alice, reasonBox)
		auditor.giveReason(reason, "[aria-label=Readings]")
		if got := auditor.readings(); !strings.Contains(got, reason+" | waits for a second person | ") || strings.Contains(got, "Agree") {
			t.Errorf("the auditor sees:\n%s", got)
		}
		auditor.openSession(alice, ".narrow .notice")
		if text := auditor.text(); strings.Contains(text, "apples") || !strings.Contains(text, "A second person must agree first") {
			t.Errorf("before anybody has agreed:\n%s", text)
		}
	}

	ask("The ticket 4711, about a slow answer")
	admin.open("/console/access")
	if got := admin.readings(); !strings.Contains(got, " | Agree Decline") {
		t.Fatalf("the administrator sees:\n%s", got)
	}
	// Who makes the form up that they are not offered is told no.
	var id string
	admin.js(`document.querySelector("form[action='/console/access/decide'] input[name=id]").value`, &id)
	auditor.open("/console/access")
	var answer struct {
		Status int
		Text   string
	}
	auditor.forgives("409")
	auditor.js(fmt.Sprintf(`fetch("/console/access/decide", {method: "POST", body: new URLSearchParams({form: document.querySelector("input[name=form]").value, id: %q, answer: "yes"})}).then(async r => ({Status: r.status, Text: await r.text()}))`, id), &answer)
	if answer.Status != http.StatusConflict || !strings.Contains(answer.Text, "Another person than audrey@example.com must decide") {
		t.Errorf("agreeing to one's own: %d %s", answer.Status, answer.Text)
	}

	admin.press(`button[name=answer][value=no]`, "[aria-label=Readings]")
	auditor.openSession(alice, reasonBox) // and may ask again
	ask("The ticket 4711 again, now with a name")
	admin.open("/console/access")
	admin.press(`button[name=answer][value=yes]`, "[aria-label=Readings]")
	if got := admin.readings(); !strings.Contains(got, "granted by admin, until ") || !strings.Contains(got, "declined by admin") || strings.Contains(got, "Agree") {
		t.Errorf("the administrator sees:\n%s", got)
	}
	auditor.openSession(alice, ".replay.session")
	if text := auditor.text(); !strings.Contains(text, "apples") {
		t.Errorf("after somebody has agreed:\n%s", text)
	}
	admin.openSession(alice, reasonBox) // who has agreed has not asked
	admin.signOut()
	admin.signIn(token)
	admin.open("/console/me")
	for i, line := range strings.Split(admin.readings(), "\n") {
		want := []string{" | audrey@example.com (auditor) | The ticket 4711 again, now with a name | granted by admin, until ", " | audrey@example.com (auditor) | The ticket 4711, about a slow answer | declined by admin"}
		if i >= len(want) || !strings.Contains(line, want[i]) {
			t.Errorf("alice is told in line %d: %s", i, line)
		}
	}
}
