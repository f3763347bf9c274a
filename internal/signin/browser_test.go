package signin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"codex-proxy/internal/signin"
)

func TestCodesThatStrangersMakeUpKeepNobodyOut(t *testing.T) {
	d := newDesk(t, nil)
	d.issuer.SignInAs(alice)
	browser := signin.NewBrowser(d.config, d.now)
	codes := make(chan string, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { codes <- r.URL.Query().Get("code") }))
	t.Cleanup(proxy.Close)
	attempt := signin.Attempt{
		Redirect: proxy.URL + "/console/sign-in/callback", State: "state", Nonce: "nonce", Verifier: strings.Repeat("v", 43),
	}
	to, err := browser.Begin(t.Context(), attempt)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.issuer.Browse(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	code := <-codes
	var strangers sync.WaitGroup
	for range 40 {
		strangers.Go(func() {
			if _, err := browser.Finish(context.Background(), attempt, "made up"); err == nil {
				t.Error("a code that was made up lets somebody in")
			}
		})
	}
	strangers.Wait()
	who, err := browser.Finish(t.Context(), attempt, code)
	if err != nil || who.Developer != alice.Email {
		t.Errorf("after them, alice is %+v, %v", who, err)
	}
}
