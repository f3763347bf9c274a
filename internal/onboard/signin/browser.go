package signin

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"codex-proxy/internal/terminal"
)

// callback is what the browser brings back.
type callback struct {
	code string
	err  error
}

// byBrowser signs in with the authorization code flow, over a loopback address
// (RFC 8252) with PKCE (RFC 7636, S256).
func (i *issuer) byBrowser(ctx context.Context, port int, o LoginOptions) (proof, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return proof{}, fmt.Errorf("listen for the browser: %w. Another program may use the port: try again, or use --device", err)
	}
	oauth := i.oauth
	oauth.RedirectURL = "http://" + listener.Addr().String()
	verifier, state, nonce := oauth2.GenerateVerifier(), rand.Text(), rand.Text()
	back := make(chan callback, 1)
	server := &http.Server{Handler: i.receive(state, back), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Shutdown below
	defer func() {
		// The page that says so is still on its way to the browser.
		draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(draining) != nil {
			_ = server.Close()
		}
	}()

	address := oauth.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce))
	fmt.Fprintf(o.Tell, "Sign in with your browser. If it does not open by itself, go to\n\n  %s\n\n", terminal.Safe(address))
	if err := o.Open(address); err != nil {
		fmt.Fprintf(o.Tell, "No browser could be opened: %v.\n", err)
	}
	var got callback
	select {
	case got = <-back:
	case <-ctx.Done():
		return proof{}, waited(ctx)
	}
	if got.err != nil {
		return proof{}, got.err
	}
	token, err := oauth.Exchange(i.with(ctx), got.code, oauth2.VerifierOption(verifier))
	if err != nil {
		return proof{}, i.explain(err)
	}
	p := newProof(token)
	if p.id == "" {
		return proof{}, fmt.Errorf("the issuer %s gave no ID token: tell whoever runs the proxy", i.url)
	}
	id, err := i.verifier.Verify(i.with(ctx), p.id)
	if err != nil {
		return proof{}, fmt.Errorf("the ID token of the issuer %s is not good: %w", i.url, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return proof{}, errors.New("the issuer's answer belongs to another sign-in: run 'codex-proxy login' again")
	}
	return p, nil
}

// receive waits for the browser to come back with our state. Whatever else comes
// changes nothing.
func (i *issuer) receive(state string, back chan<- callback) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		query := r.URL.Query()
		sender := query.Get("iss") // RFC 9207
		if r.URL.Path != "/" || r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(state)) != 1 || sender != "" && sender != i.url {
			http.Error(w, "codex-proxy: this is not the answer that is waited for.", http.StatusBadRequest)
			return
		}
		got := callback{code: query.Get("code")}
		page := "codex-proxy: done. Close this page and go back to the terminal.\n"
		if query.Get("error") != "" || got.code == "" {
			got.err = refusedBy(i.url, query)
			page = "codex-proxy: that did not work. Go back to the terminal to read why.\n"
		}
		select {
		case back <- got:
		default: // it has come already
		}
		_, _ = fmt.Fprint(w, page) // the browser may be gone
	})
}

// refusedBy is the error that the issuer sent the browser back with.
func refusedBy(issuer string, query url.Values) error {
	what := query.Get("error")
	if description := query.Get("error_description"); description != "" {
		what += " (" + description + ")"
	}
	return fmt.Errorf("the issuer %s did not let you in: %q. Run 'codex-proxy login' again, or ask whoever runs the proxy", issuer, what)
}

// waited is why waiting for a developer ended.
func waited(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Canceled
	}
	return errors.New("nobody signed in for too long: run 'codex-proxy login' again")
}
