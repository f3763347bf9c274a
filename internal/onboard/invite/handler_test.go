package invite_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/sqlite"
)

func TestALinkGivesOneTokenThatWorks(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	w := f.ask("POST", code, asJSON)
	var got struct {
		Developer, Token string
		Setup            map[string]string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("got %d, %v", w.Code, err)
	}
	want := map[string]string{
		"unix":    "curl -fsSL http://proxy.example.com/setup.sh | sh",
		"windows": "irm http://proxy.example.com/setup.ps1 | iex",
		"binary":  "codex-proxy setup --url http://proxy.example.com",
	}
	if diff := cmp.Diff(want, got.Setup); diff != "" || got.Developer != "alice@example.com" {
		t.Errorf("for %s (-want +got):\n%s", got.Developer, diff)
	}
	who, err := developer.NewAuthenticator(f.store, func() time.Time { return f.now }).Authenticate(t.Context(), got.Token)
	if err != nil || who.Developer != "alice@example.com" {
		t.Errorf("the token is %s's, %v", who.Developer, err)
	}
	if _, status := f.redeem(code); status != http.StatusGone || len(f.tokens("alice@example.com")) != 1 {
		t.Errorf("the second time got %d", status)
	}
	all, err := f.store.Invitations(t.Context())
	if err != nil || len(all) != 1 || all[0].State(f.now) != "used" || all[0].Token != who.TokenID {
		t.Errorf("the invitation is %+v, %v", all, err)
	}
}

func TestTheSameLinkAtOnceGivesOneToken(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	const n = 8
	status := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { status[i] = f.ask("POST", code).Code })
	}
	all.Wait()
	counts := map[int]int{}
	for _, s := range status {
		counts[s]++
	}
	if counts[http.StatusOK] != 1 || counts[http.StatusGone] != n-1 || len(f.tokens("alice@example.com")) != 1 {
		t.Errorf("answers by status: %v; tokens: %d", counts, len(f.tokens("alice@example.com")))
	}
}

func TestLookingAtALinkUsesNothingUp(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	for range 30 {
		for _, method := range []string{"GET", "HEAD"} {
			if w := f.ask(method, code); w.Code != http.StatusOK || strings.Contains(w.Body.String(), developer.Prefix) {
				t.Fatalf("%s is answered with %d", method, w.Code)
			}
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "post"} {
		if w := f.ask(method, code); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%s is answered with %d", method, w.Code)
		}
	}
	if len(f.tokens("")) != 0 {
		t.Error("a token was issued")
	}
	if _, status := f.redeem(code); status != http.StatusOK {
		t.Errorf("afterwards it is redeemed with %d", status)
	}
}

func TestALinkWorksForADay(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	f.now = start.Add(24*time.Hour - time.Millisecond)
	if w := f.ask("GET", code); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "2026-11-24 12:00 UTC") {
		t.Errorf("a moment before: %d", w.Code)
	}
	f.now = start.Add(24 * time.Hour)
	if _, status := f.redeem(code); status != http.StatusGone || len(f.tokens("")) != 0 {
		t.Errorf("a day later: %d", status)
	}
}

func TestALinkWorksAfterARestart(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	f.ask("GET", code)
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(invite.Config{})
	if _, status := f.redeem(code); status != http.StatusOK {
		t.Errorf("after a restart it is redeemed with %d", status)
	}
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(invite.Config{})
	if _, status := f.redeem(code); status != http.StatusGone || len(f.tokens("")) != 1 {
		t.Errorf("after another it is redeemed again, with %d", status)
	}
}

func TestTheFormIsTheOneThatIsAskedFor(t *testing.T) {
	f := newFixture(t)
	for accept, want := range map[string]string{
		"": "text/html; charset=utf-8", "*/*": "text/html; charset=utf-8", "image/png": "text/html; charset=utf-8", ";;": "text/html; charset=utf-8",
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html; charset=utf-8",
		"application/json":             "application/json",
		"application/json; q=1, */*":   "application/json",
		"text/plain":                   "text/plain; charset=utf-8",
		"image/png , text/plain;q=0.5": "text/plain; charset=utf-8",
	} {
		code, _ := f.invite("alice@example.com")
		for _, method := range []string{"GET", "POST"} {
			w := f.ask(method, code, header("Accept", accept))
			if got := w.Header().Get("Content-Type"); got != want || w.Code != http.StatusOK {
				t.Errorf("%s as %q is %d, %s", method, accept, w.Code, got)
			}
			if has := strings.Contains(w.Body.String(), developer.Prefix); has != (method == "POST") {
				t.Errorf("%s as %q shows a token: %v", method, accept, has)
			}
		}
	}
}

func TestThePagesNameThePublicAddress(t *testing.T) {
	f := newFixture(t)
	f.open(invite.Config{PublicURL: "https://gw.example.com/codex"})
	code, _ := f.invite("alice@example.com")
	page := f.ask("GET", code).Body.String()
	if !strings.Contains(page, `href="/codex/invite/style.css"`) || !strings.Contains(page, "gw.example.com") || strings.Contains(page, "proxy.example.com") {
		t.Errorf("the page is\n%s", page)
	}
	if text := f.ask("GET", code, header("Accept", "text/plain")).Body.String(); !strings.Contains(text, "https://gw.example.com/codex/invite/"+code) {
		t.Errorf("the text is\n%s", text)
	}
	if page := f.ask("POST", code).Body.String(); !strings.Contains(page, "curl -fsSL https://gw.example.com/codex/setup.sh | sh") {
		t.Errorf("the token's page is\n%s", page)
	}
}

func TestALinkThatWasLengthenedOnTheWayIsStillOurs(t *testing.T) {
	code := strings.Repeat("a2", 16)
	for path, want := range map[string]bool{
		"/invite/": true, "/invite/x": true, "/invite/" + code: true, "/invite/" + code + "/": true,
		"//invite/" + code: true, "/codex/invite/" + code: true, "/v1/../invite/" + code: true, "/codex/invite/style.css": true,
		"": false, "/": false, "/invite": false, "/v1/responses": false, "/v1/invite/x": false, "/v1/organization/invites/" + code: false,
	} {
		if got := invite.Owns(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	f := newFixture(t)
	open, _ := f.invite("alice@example.com")
	if w := f.ask("POST", open, func(r *http.Request) { r.URL.Path = "/codex/" + r.URL.Path }); w.Code != http.StatusOK {
		t.Errorf("it is redeemed with %d", w.Code)
	}
}

// brokenStore fails at one of its methods.
type brokenStore struct {
	*sqlite.Developers
	fails string
}

var errDisk = errors.New("the disk is gone")

func (s *brokenStore) Offer(ctx context.Context, hash [sha256.Size]byte) (invite.Offer, error) {
	if s.fails == "offer" {
		return invite.Offer{}, errDisk
	}
	return s.Developers.Offer(ctx, hash)
}

func (s *brokenStore) Redeem(ctx context.Context, hash [sha256.Size]byte, token developer.Credential) error {
	if s.fails == "redeem" {
		return errDisk
	}
	return s.Developers.Redeem(ctx, hash, token)
}

func (s *brokenStore) Contact(ctx context.Context, name string) (string, error) {
	if s.fails == "team" {
		return "", errDisk
	}
	return s.Developers.Contact(ctx, name)
}

func TestAnOutageIs503AndUsesNothingUp(t *testing.T) {
	for _, c := range []struct{ fails, method, code string }{
		{"offer", "GET", ""}, {"offer", "POST", ""}, {"redeem", "POST", ""}, {"team", "GET", "unknown"},
	} {
		t.Run(c.fails+" "+c.method, func(t *testing.T) {
			f := newFixture(t)
			store := &brokenStore{f.store, c.fails}
			f.open(invite.Config{Store: store})
			open, _ := f.invite("alice@example.com")
			code := open
			if c.code != "" {
				code = c.code
			}
			w := f.ask(c.method, code)
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Nothing was used up") || w.Header().Get("Retry-After") == "" {
				t.Errorf("it is answered with %d: %s", w.Code, w.Body)
			}
			if !strings.Contains(f.log.String(), errDisk.Error()) || strings.Contains(f.log.String(), open) || strings.Contains(w.Body.String(), errDisk.Error()) {
				t.Error("the log lacks why, or has the code, or the page says why")
			}
			store.fails = ""
			if _, status := f.redeem(open); status != http.StatusOK {
				t.Errorf("afterwards it is redeemed with %d", status)
			}
		})
	}
	t.Run("closed", func(t *testing.T) {
		f := newFixture(t)
		code, _ := f.invite("alice@example.com")
		if err := f.store.Close(); err != nil {
			t.Fatal(err)
		}
		if w := f.ask("POST", code); w.Code != http.StatusServiceUnavailable {
			t.Errorf("it is answered with %d", w.Code)
		}
		f.open(invite.Config{})
		if _, status := f.redeem(code); status != http.StatusOK {
			t.Errorf("afterwards it is redeemed with %d", status)
		}
	})
}

func TestACodeHas160Bits(t *testing.T) {
	code, sealed, err := invite.New(bytes.NewReader(bytes.Repeat([]byte{0xff}, 20)), "bob", start, start.Add(time.Hour))
	if err != nil || code.Reveal() != strings.Repeat("7", 32) || sealed.Hash != sha256.Sum256([]byte(code.Reveal())) {
		t.Errorf("it is %s, %v", code.Reveal(), err)
	}
	if _, _, err := invite.New(bytes.NewReader(make([]byte, 19)), "bob", start, start.Add(time.Hour)); err == nil {
		t.Error("19 bytes are enough for it")
	}
}
