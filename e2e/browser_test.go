package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// demo is the demo in a process of its own, with its sample data.
type demo struct{ address, credential, data string }

func startDemo(t *testing.T) demo {
	t.Helper()
	data := t.TempDir()
	process := exec.Command(binary, "demo", "--listen", "127.0.0.1:0", "--data", data)
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log := &output{}
	process.Stderr = log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		if t.Failed() {
			t.Logf("the demo's log:\n%s", log)
		}
	})
	began := make(chan demo, 1)
	go func() {
		found := regexp.MustCompile(`http://(\S+)/console/`)
		credential := regexp.MustCompile(`sign in with (\S+)`)
		d := demo{data: data}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := found.FindStringSubmatch(lines.Text()); m != nil {
				d.address = m[1]
			}
			if m := credential.FindStringSubmatch(lines.Text()); m != nil {
				d.credential = m[1]
				began <- d
			}
		}
	}()
	select {
	case d := <-began:
		return d
	case <-time.After(time.Minute):
		t.Fatalf("the demo does not start:\n%s", log)
		return demo{}
	}
}

// browser is a headless Chromium, and what it complains of.
type browser struct {
	t    *testing.T
	ctx  context.Context
	host string

	mu    sync.Mutex
	wrong []string
	bytes float64
	// issuer is another host that the browser may be sent to; empty is none.
	issuer string
	// forgiven are the statuses of answers that are let pass.
	forgiven []string
}

func newBrowser(t *testing.T, host string) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium is installed: the pages are not looked at in a browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.WindowSize(1280, 900))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocated)
	limited, end := context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(func() { end(); cancel(); stop() })
	b := &browser{t: t, ctx: limited, host: host}
	if err := chromedp.Run(limited); err != nil { // begins the browser, which ends with this context
		t.Fatal(err)
	}
	chromedp.ListenTarget(limited, b.listen)
	b.do(network.Enable(), log.Enable(), runtime.Enable(), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{still}))
	return b
}

// listen notes errors, what was blocked, requests to other hosts, and the bytes that
// came.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, "a script failed: "+e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		b.wrong = append(b.wrong, "a dialog: "+e.Message)
	case *log.EventEntryAdded:
		for _, status := range b.forgiven {
			if strings.Contains(e.Entry.Text, "status of "+status) {
				return
			}
		}
		if e.Entry.Level == log.LevelError || e.Entry.Source == log.SourceSecurity {
			b.wrong = append(b.wrong, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && u.Scheme != "data" && u.Host != b.host && u.Host != b.issuer {
			b.wrong = append(b.wrong, "a request to another host: "+e.Request.URL)
		}
	case *network.EventLoadingFinished:
		b.bytes += e.EncodedDataLength
	}
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var where, shown string
		_ = chromedp.Run(b.ctx, chromedp.Location(&where), chromedp.Evaluate(`document.body.innerText.slice(0, 2000)`, &shown))
		b.t.Fatalf("%v, at %s, which shows:\n%s", err, where, shown)
	}
}

// open opens a page and checks that nothing in it is wrong.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate("http://"+b.host+path), chromedp.WaitReady("main"))
	b.check(path)
}

func (b *browser) check(what string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wrong := range b.wrong {
		b.t.Errorf("%s: %s", what, wrong)
	}
	b.wrong = nil
}

// visit opens a page, whatever its status, and returns that.
func (b *browser) visit(path string) (status int64) {
	b.t.Helper()
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		response, err := chromedp.RunResponse(ctx, chromedp.Navigate("http://"+b.host+path))
		if err == nil {
			status = response.Status
		}
		return err
	}), chromedp.WaitReady("main"))
	b.check(path)
	return status
}

// js evaluates an expression in the page, waits for it where it is a promise, and
// decodes what it comes to.
func (b *browser) js(expression string, into any) {
	b.t.Helper()
	b.do(chromedp.Evaluate(expression, into, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
}

// count is how many elements a selector finds.
func (b *browser) count(selector string) (n int) {
	b.t.Helper()
	b.js(fmt.Sprintf("document.querySelectorAll(%q).length", selector), &n)
	return n
}

// until waits until an expression holds in the page.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var holds bool
		b.js("!!("+expression+")", &holds)
		if holds {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("it never came to this: %s\n%s", what, b.text())
		}
	}
}

// untilSeen waits until an element is in the window.
func (b *browser) untilSeen(selector string) {
	b.t.Helper()
	b.until(selector+" is in the window", fmt.Sprintf("(r => r.bottom > 0 && r.top < innerHeight)(document.querySelector(%q).getBoundingClientRect())", selector))
}

// follow clicks the link of those that a selector finds that has a label, and waits
// for the page that it leads to.
func (b *browser) follow(selector, label string) {
	b.t.Helper()
	b.js(fmt.Sprintf(`[...document.querySelectorAll(%q)].find(a => a.textContent.trim() === %q).setAttribute("data-follow", "")`, selector, label), nil)
	b.press("[data-follow]", "main")
}

// typed presses the keys of a text, one after the other, each as a keyboard does: what
// a page keeps a key from doing it does not do.
func typed(keys string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		for _, key := range keys {
			events := kb.Encode(key)
			for _, event := range events {
				if event.Type == input.KeyChar {
					continue // comes of the key's going down
				}
				if event.Type == input.KeyDown && len(events) > 2 {
					event.Text = events[1].Text
				}
				if err := event.Do(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// location is the page's address.
func (b *browser) location() (address string) {
	b.t.Helper()
	b.do(chromedp.Location(&address))
	return address
}

// forgives403 lets the browser note that a page comes with 403, as the question for a
// reason does.
func (b *browser) forgives403() { b.forgives("403") }

// forgives lets the browser note that a page comes with a status.
func (b *browser) forgives(status string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forgiven = append(b.forgiven, status)
}

// text is what a page shows.
func (b *browser) text() (text string) {
	b.t.Helper()
	b.do(chromedp.Text("main", &text, chromedp.ByQuery))
	return text
}

func (b *browser) signIn(credential string) {
	b.t.Helper()
	b.open("/console/")
	b.do(chromedp.SendKeys(`input[name="credential"]`, credential, chromedp.ByQuery), chromedp.Submit(`input[name="credential"]`, chromedp.ByQuery), chromedp.WaitReady("nav, [role=alert]", chromedp.ByQuery))
	var problem string
	b.do(chromedp.Evaluate(`document.querySelector("[role=alert]")?.textContent ?? ""`, &problem))
	if problem != "" {
		b.t.Fatalf("signing in: %s", problem)
	}
	b.check("signing in")
}

func (b *browser) signOut() {
	b.t.Helper()
	b.do(chromedp.Click(".whoever form button", chromedp.ByQuery), chromedp.WaitReady("input[name=credential]", chromedp.ByQuery))
	b.check("signing out")
}

// screenshot writes a picture of the page where SCREENSHOTS names a directory.
func (b *browser) screenshot(name string) {
	directory := os.Getenv("SCREENSHOTS")
	if directory == "" {
		return
	}
	b.t.Helper()
	var picture []byte
	b.do(chromedp.CaptureScreenshot(&picture))
	if err := os.WriteFile(filepath.Join(directory, name+".png"), picture, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// still lets pages not scroll smoothly, so that what is clicked stays where it is.
var still = &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"}

// look makes the window of a size, in a theme.
func (b *browser) look(width int64, theme string) {
	b.t.Helper()
	b.do(emulation.SetDeviceMetricsOverride(width, 900, 1, width < 600),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, still}))
}

// links returns the addresses of the page's links that a selector chooses.
func (b *browser) links(selector string) (paths []string) {
	b.t.Helper()
	b.do(chromedp.Evaluate(fmt.Sprintf(`[...document.querySelectorAll(%q)].map(a => a.getAttribute('href'))`, selector), &paths))
	return paths
}

// violations are what axe-core finds that is serious or worse.
func (b *browser) violations() (found []string) {
	b.t.Helper()
	script, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		b.t.Log("axe-core is not installed: accessibility is not checked")
		return nil
	}
	b.do(chromedp.ActionFunc(func(ctx context.Context) error { return page.SetBypassCSP(true).Do(ctx) }))
	var there bool
	if b.js("!!window.axe", &there); !there {
		b.js(string(script)+";0", nil)
	}
	var result string
	b.js(`axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical').map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | '))))`, &result)
	if err := json.Unmarshal([]byte(result), &found); err != nil {
		b.t.Fatal(err)
	}
	return found
}

// place is a page, by the name that its pictures have.
type place struct{ name, path string }

// places are the pages of the navigation, and one of each kind that they lead to: the
// session and the record are some in which a secret was replaced.
func (b *browser) places() (all []place) {
	b.t.Helper()
	for _, path := range b.links(".bar nav a") {
		all = append(all, place{strings.TrimPrefix(path, "/console/"), path})
	}
	b.open("/console/findings?rule=github-token&range=30d")
	finding := b.links("table a[href^='/console/findings/']")[0]
	b.open(finding)
	return append(all, place{"finding", finding},
		place{"session", b.links("table a[href^='/console/sessions/view']")[0]}, place{"record", b.links("table a[href^='/console/records/']")[0]},
		place{"search", "/console/records/search"}, place{"origin", "/console/records/origin"}, place{"developer", "/console/developers/dave@example.com"})
}

func TestEveryPageOfTheConsoleInABrowser(t *testing.T) {
	d := startDemo(t)
	b := newBrowser(t, d.address)
	b.look(1280, "light")
	b.mu.Lock()
	b.bytes = 0
	b.mu.Unlock()
	b.open("/console/")
	b.screenshot("sign-in-light-1280")
	b.signIn(d.credential)
	b.mu.Lock()
	if b.bytes > 150e3 {
		t.Errorf("signing in and the first page took %.0f bytes", b.bytes)
	}
	b.mu.Unlock()

	// Reading what others wrote takes a reason.
	b.open("/console/sessions")
	first := b.links("table a[href^='/console/sessions/view']")[0]
	b.forgives403()
	b.do(chromedp.Navigate("http://"+b.host+first), chromedp.WaitReady("textarea[name=reason]", chromedp.ByQuery))
	b.screenshot("reason-light-1280")
	for _, developer := range []string{"alice@example.com", "bob@example.com", "carol@example.com"} {
		b.open("/console/sessions?developer=" + developer)
		b.forgives403()
		b.do(chromedp.Navigate("http://"+b.host+b.links("table a[href^='/console/sessions/view']")[0]), chromedp.WaitReady("textarea[name=reason]", chromedp.ByQuery),
			chromedp.SendKeys("textarea[name=reason]", "the ticket 4711 about a slow answer", chromedp.ByQuery), chromedp.Submit("textarea[name=reason]", chromedp.ByQuery),
			chromedp.WaitReady(".replay.session", chromedp.ByQuery))
	}
	b.open("/console/access")
	if text := b.text(); strings.Count(text, "the ticket 4711") != 3 {
		t.Errorf("the page about access says:\n%s", text)
	}

	places := b.places()
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			b.look(width, theme)
			for _, place := range places {
				path := place.path
				b.open(path)
				var over float64
				b.do(chromedp.Evaluate(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &over))
				if over > 1 {
					t.Errorf("%s at %d pixels can be scrolled sideways by %.0f", path, width, over)
				}
				b.screenshot(fmt.Sprintf("%s-%s-%d", place.name, theme, width))
				if width == 1280 {
					for _, violation := range b.violations() {
						t.Errorf("%s, %s: %s", path, theme, violation)
					}
				}
			}
		}
	}
}
