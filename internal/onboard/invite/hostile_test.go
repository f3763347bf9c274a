package invite_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
)

// TestNothingCanBeLearntByTrying holds every link that is not open to one answer.
func TestNothingCanBeLearntByTrying(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"bob", "carol", "dave", "erin", "frank"} {
		f.add(id, "", "core")
	}
	if _, err := f.store.UpdateTeam(t.Context(), "core", f.now, func(p *developer.Policy) error { p.Contact = "#core"; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.UpdateTeam(t.Context(), developer.DefaultTeam, f.now, func(p *developer.Policy) error { p.Contact = "#codex-help"; return nil }); err != nil {
		t.Fatal(err)
	}
	expired, _ := f.invite("bob")
	f.now = f.now.Add(25 * time.Hour)
	used, _ := f.invite("alice@example.com")
	f.redeem(used)
	cancelled, sealed := f.invite("carol")
	if _, err := f.store.CancelInvitation(t.Context(), sealed.ID, f.now); err != nil {
		t.Fatal(err)
	}
	replaced, _ := f.invite("dave")
	f.invite("dave")
	disabled, _ := f.invite("erin")
	f.disable("erin", false)
	removed, _ := f.invite("frank")
	if err := f.store.RemoveDeveloper(t.Context(), "frank"); err != nil {
		t.Fatal(err)
	}

	tokens := len(f.tokens(""))
	type look struct{ status, body, headers string }
	for _, method := range []string{"GET", "POST"} {
		for _, accept := range []string{"text/html", "application/json", "text/plain"} {
			f.open(invite.Config{}) // the limit of wrong links is another test's
			answer := func(code string) look {
				w := f.ask(method, code, header("Accept", accept))
				return look{fmt.Sprint(w.Code), w.Body.String(), fmt.Sprint(w.Header())}
			}
			want := answer(strings.Repeat("a", 32))
			if want.status != "410" || !strings.Contains(want.body, "#codex-help") {
				t.Errorf("%s of an unknown link as %s: %s %s", method, accept, want.status, want.body)
			}
			for name, code := range map[string]string{
				"expired": expired, "used": used, "cancelled": cancelled, "replaced": replaced, "disabled": disabled, "removed": removed,
				"empty": "", "short": "abc", "long": strings.Repeat("a", 33), "misshapen": strings.Repeat("!", 32), "below": cancelled + "/x",
			} {
				if diff := cmp.Diff(want, answer(code), cmp.AllowUnexported(look{})); diff != "" {
					t.Errorf("%s of a link that is %s, as %s (-unknown +it):\n%s", method, name, accept, diff)
				}
			}
		}
	}
	f.disable("erin", true)
	if _, status := f.redeem(disabled); status != http.StatusGone {
		t.Errorf("letting a developer back in makes the old invitation open again: %d", status)
	}
	if got := len(f.tokens("")); got != tokens {
		t.Errorf("there are %d tokens more", got-tokens)
	}
}

func TestAFormOnAnotherSiteIsRefused(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	for _, headers := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"},
		{"Sec-Fetch-Site": "same-site"},
		{"Sec-Fetch-Site": "cross-site", "Origin": "http://proxy.example.com"},
		{"Sec-Fetch-Site": "cross-site", "Origin": "null"},
		{"Origin": "https://evil.example.com"},
		{"Origin": "http://proxy.example.com.evil.example.com"},
		{"Origin": "http://proxy.example.com:8080"},
		{"Origin": "file://proxy.example.com"},
	} {
		w := f.ask("POST", code, func(r *http.Request) {
			for name, value := range headers {
				r.Header.Set(name, value)
			}
		})
		if w.Code != http.StatusForbidden {
			t.Errorf("%v is answered with %d", headers, w.Code)
		}
	}
	if len(f.tokens("")) != 0 {
		t.Error("a token was issued")
	}
	for _, headers := range []map[string]string{
		{},
		{"Sec-Fetch-Site": "same-origin", "Origin": "null"},
		{"Sec-Fetch-Site": "none"},
		{"Origin": "null"}, // our page's form, over plain HTTP
		{"Origin": "http://proxy.example.com"},
		{"Origin": "https://PROXY.example.com"}, // TLS ended in front of the proxy
	} {
		code, _ := f.invite("alice@example.com")
		w := f.ask("POST", code, func(r *http.Request) {
			for name, value := range headers {
				r.Header.Set(name, value)
			}
		})
		if w.Code != http.StatusOK {
			t.Errorf("%v is answered with %d", headers, w.Code)
		}
	}
	f.open(invite.Config{PublicURL: "https://gw.example.com/codex"})
	for origin, want := range map[string]int{
		"https://gw.example.com": http.StatusOK, "https://gw.example.co": http.StatusForbidden, "https": http.StatusForbidden,
		"http://gw.example.com": http.StatusForbidden,
	} {
		code, _ := f.invite("alice@example.com")
		if w := f.ask("POST", code, header("Origin", origin)); w.Code != want {
			t.Errorf("behind https://gw.example.com, the origin %s is answered with %d", origin, w.Code)
		}
	}
}

func TestThePagesSaySoInTheirHeaders(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	for name, w := range map[string]*httptest.ResponseRecorder{
		"offer": f.ask("GET", code), "refusal": f.ask("GET", "x"), "token": f.ask("POST", code),
		"style": f.ask("GET", "style.css"), "script": f.ask("GET", "page.js"),
	} {
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: %s", name, header, got)
			}
		}
		body := w.Body.String()
		for _, inline := range []string{"style=", "onclick", "<style", "javascript:", "http-equiv"} {
			if strings.Contains(body, inline) {
				t.Errorf("%s has %s, which the policy forbids", name, inline)
			}
		}
		if strings.Contains(w.Header().Get("Content-Type"), "html") && strings.Count(body, "<script") != 1 {
			t.Errorf("%s has another script than its file", name)
		}
	}
	for name, contentType := range map[string]string{"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"} {
		if w := f.ask("GET", name); w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType {
			t.Errorf("%s is %d, %s", name, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

func TestNamesAreTextInThePage(t *testing.T) {
	f := newFixture(t)
	const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{.}}`
	f.add("mallory", hostile, `<b onclick="x">team`)
	if _, err := f.store.UpdateTeam(t.Context(), `<b onclick="x">team`, f.now, func(p *developer.Policy) error {
		p.Contact = `</dd><script src=//evil.example.com></script>`
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	code, _ := f.invite("mallory")
	for _, method := range []string{"GET", "POST"} {
		body := f.ask(method, code).Body.String()
		if !strings.Contains(body, "&lt;script&gt;alert(1)&lt;/script&gt;") {
			t.Errorf("%s does not show the name", method)
		}
		for _, live := range []string{"<script>", "<img", "<b onclick", "<script src=//"} {
			if strings.Contains(body, live) {
				t.Errorf("%s has %s in it", method, live)
			}
		}
	}
}

func TestAHostileHostIsRefused(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	w := f.ask("POST", code, func(r *http.Request) { r.Host = "$(reboot)" })
	if w.Code != http.StatusBadRequest || len(f.tokens("")) != 0 {
		t.Errorf("it is answered with %d", w.Code)
	}
}

func FuzzNoOtherLinkThanTheOneIsOpen(fuzz *testing.F) {
	for _, name := range []string{"", "style.css", "../x", "%", "a\x00b", strings.Repeat("a", 32), strings.Repeat("é", 16)} {
		fuzz.Add(name, "text/html", "null")
	}
	fuzz.Fuzz(func(t *testing.T, name, accept, origin string) {
		f := &fixture{t: t, now: start, remote: "192.0.2.1:4321"}
		f.open(invite.Config{Store: nobody{}})
		w := f.ask("POST", "", header("Accept", accept), header("Origin", origin), func(r *http.Request) { r.URL.Path = "/invite/" + name })
		if w.Code != http.StatusGone && w.Code != http.StatusForbidden {
			t.Errorf("it is answered with %d", w.Code)
		}
	})
}

// nobody is a store without invitations.
type nobody struct{}

func (nobody) Offer(context.Context, [sha256.Size]byte) (invite.Offer, error) {
	return invite.Offer{}, invite.ErrNotOpen
}

func (nobody) Redeem(context.Context, [sha256.Size]byte, developer.Credential) error {
	return invite.ErrNotOpen
}

func (nobody) Contact(context.Context, string) (string, error) { return "", nil }

func TestWrongLinksAreLimitedByAddress(t *testing.T) {
	f := newFixture(t)
	open, _ := f.invite("alice@example.com")
	tries := 0
	for ; tries < 100; tries++ {
		w := f.ask("GET", strings.Repeat("b", 32))
		if w.Code == http.StatusTooManyRequests {
			if w.Header().Get("Retry-After") != "3" {
				t.Errorf("it may try again in %s seconds", w.Header().Get("Retry-After"))
			}
			break
		}
	}
	if tries != 20 {
		t.Errorf("%d tries were let through", tries)
	}
	wrong := func() int { return f.ask("POST", strings.Repeat("c", 32)).Code }
	f.remote = "192.0.2.1:999"
	if status := wrong(); status != http.StatusTooManyRequests {
		t.Errorf("another port of the address is answered with %d", status)
	}
	if w := f.ask("GET", open); w.Code != http.StatusOK {
		t.Errorf("an open link, which a stranger must not lock out, is answered with %d", w.Code)
	}
	f.remote = "192.0.2.2:999"
	if status := wrong(); status != http.StatusGone {
		t.Errorf("another address is answered with %d", status)
	}
	f.remote = "192.0.2.1:999"
	f.now = f.now.Add(3 * time.Second)
	if status := wrong(); status != http.StatusGone {
		t.Errorf("three seconds later it is answered with %d", status)
	}
	if _, status := f.redeem(open); status != http.StatusOK {
		t.Errorf("an open link is redeemed with %d", status)
	}
}

func TestTheCodeAndTheTokenAreKeptNowhere(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	f.ask("GET", code)
	token, _ := f.redeem(code)
	f.ask("GET", code)
	secret := strings.TrimPrefix(token, developer.Prefix)[9:]
	for _, hidden := range []string{code, secret} {
		if strings.Contains(f.log.String(), hidden) {
			t.Error("the log has it")
		}
	}
	if !strings.Contains(f.log.String(), "invitation redeemed") {
		t.Errorf("the log does not say what happened:\n%s", f.log.String())
	}
	files := 0
	if err := filepath.WalkDir(f.directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(code)) || bytes.Contains(content, []byte(secret)) {
			t.Errorf("%s has the code or the token", entry.Name())
		}
		return err
	}); err != nil || files < 2 {
		t.Errorf("%d files, %v", files, err)
	}
}

func TestACodePrintsAsAMask(t *testing.T) {
	code, sealed, err := invite.New(rand.Reader, "alice@example.com", start, start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "code", code, "sealed", sealed)
	encoded, err := json.Marshal(map[string]any{"code": code})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{log.String(), string(encoded), fmt.Sprintf("%v %s %q %x %+v", code, code, code, code, struct{ C invite.Code }{code})} {
		if strings.Contains(text, code.Reveal()) || !strings.Contains(text, "[invitation code]") {
			t.Errorf("it prints as %s", text)
		}
	}
}
