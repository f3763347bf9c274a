package invite

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"codex-proxy/internal/attempts"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/script"
)

// Store is what the pages need of the place where invitations are kept. Disabling
// a developer cancels their invitations there, and removing one removes them. Any
// error but those named is an outage, and has used nothing up.
type Store interface {
	// Offer returns the invitation whose code has this hash, in whatever state it
	// is, or ErrNotOpen when there is none.
	Offer(ctx context.Context, hash [sha256.Size]byte) (Offer, error)
	// Redeem uses the invitation up and keeps the token, both or neither, at
	// token.Created. ErrNotOpen: at that time the invitation was not open, or was
	// another developer's than the token.
	Redeem(ctx context.Context, hash [sha256.Size]byte, token developer.Credential) error
	// Contact returns whom the developers of a team are to ask; it may be empty.
	// Anybody can have it looked up, so it must be cheap.
	Contact(ctx context.Context, team string) (string, error)
}

// Config says what the pages are served with.
type Config struct {
	Store Store
	// PublicURL is the address that developers reach the proxy at, as
	// script.ParseURL returns it. When empty, each request's own Host and TLS say it.
	PublicURL string
	// Now tells the time (time.Now, outside tests).
	Now func() time.Time
	Log *slog.Logger
}

// root is the path that links are under.
const root = "/invite/"

// Link is the link that redeems an invitation, at a proxy with this address.
func Link(publicURL string, code Code) string { return publicURL + root + code.Reveal() }

// Owns tells whether a request's path is for the handler: under /invite/, or a
// link with more in front of that, such as a prefix that was to be taken off on
// the way or a slash too many. Elsewhere the code in it would be logged.
func Owns(path string) bool {
	if strings.HasPrefix(path, root) {
		return true
	}
	name := fileName(path)
	_, code := parseCode(name)
	return code || servedFiles[name] != ""
}

// fileName is what follows the last /invite/ of a path; empty where there is none.
func fileName(path string) string {
	if at := strings.LastIndex(path, root); at >= 0 {
		return path[at+len(root):]
	}
	return ""
}

// storeLimit bounds what one request waits for the store.
const storeLimit = 5 * time.Second

const (
	// missesAtOnce is how many links that are not open one address may try, and
	// missEvery how long it takes until it may try one more.
	missesAtOnce = 20
	missEvery    = 3 * time.Second
)

// Handler answers the paths that it Owns.
func Handler(c Config) http.Handler {
	return &handler{Config: c, misses: attempts.NewLimit(c.Now, missesAtOnce, missEvery)}
}

type handler struct {
	Config
	misses *attempts.Limit
}

// ServeHTTP answers one request. No line of a log has its path, as the code is in
// it.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	name := fileName(r.URL.Path)
	if serveFile(w, r, name) {
		return
	}
	address, err := script.Config{PublicURL: h.PublicURL}.Address(r)
	if err != nil {
		http.Error(w, "codex-proxy: "+err.Error(), http.StatusBadRequest)
		return
	}
	var a *answer
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		a = h.show(r, name, address)
	case http.MethodPost:
		a = h.redeem(r, name, address)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		a = refused(http.StatusMethodNotAllowed, "This link cannot be used so", "It is opened with GET, and redeemed with POST.")
	}
	a.write(w, r, address)
}

// setHeaders keeps what the page shows, and its address, from everybody but the
// one who opened it, and lets it run and fetch nothing but its own two files.
func setHeaders(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("X-Robots-Tag", "noindex, nofollow")
}

// show says what an invitation offers, and changes nothing.
func (h *handler) show(r *http.Request, name, address string) *answer {
	ctx, cancel := context.WithTimeout(r.Context(), storeLimit)
	defer cancel()
	offer, no := h.find(ctx, r, name)
	if no != nil {
		return no
	}
	return offered(offer, address, Link(address, Code(name)))
}

// redeem uses an invitation up and issues a token.
func (h *handler) redeem(r *http.Request, name, address string) *answer {
	if crossSite(r, h.PublicURL) {
		return refused(http.StatusForbidden, "Not from another site",
			"Another web site tried to redeem this invitation. Nothing was used up: open the link itself, and press the button there.")
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeLimit)
	defer cancel()
	offer, no := h.find(ctx, r, name)
	if no != nil {
		return no
	}
	token, credential, err := developer.Issue(rand.Reader, offer.Developer, "invitation", h.now(), time.Time{})
	if err == nil {
		err = h.Store.Redeem(ctx, Code(name).Hash(), credential)
	}
	if errors.Is(err, ErrNotOpen) { // somebody else was faster
		return h.miss(ctx, r)
	}
	if err != nil {
		return h.outage(err)
	}
	h.Log.Info("invitation redeemed", "invitation", offer.ID, "developer", offer.Developer, "token", credential.ID, "remote", r.RemoteAddr)
	return issued(offer.Holder, token, address)
}

// find returns the open invitation that a link names, or the answer that says
// why there is none.
func (h *handler) find(ctx context.Context, r *http.Request, name string) (Offer, *answer) {
	code, ok := parseCode(name)
	if !ok {
		return Offer{}, h.miss(ctx, r)
	}
	offer, err := h.Store.Offer(ctx, code.Hash())
	switch {
	case errors.Is(err, ErrNotOpen):
		return Offer{}, h.miss(ctx, r)
	case err != nil:
		return Offer{}, h.outage(err)
	case offer.State(h.now()) != "open":
		return Offer{}, h.miss(ctx, r)
	}
	return offer, nil
}

// miss is the one answer to every link that is not open, so that nothing can be
// learnt by trying. Whom to ask is therefore the default team's to say.
//
// An address that tries too many is told to wait. A link that is open works there
// all the same: an office, or everybody behind a load balancer, has one address,
// and a stranger must not be able to lock them out.
func (h *handler) miss(ctx context.Context, r *http.Request) *answer {
	if wait := h.misses.Wrong(r.RemoteAddr); wait > 0 {
		return tooMany(wait)
	}
	contact, err := h.Store.Contact(ctx, developer.DefaultTeam)
	if err != nil {
		return h.outage(err)
	}
	return notOpen(contact)
}

func (h *handler) outage(err error) *answer {
	h.Log.Error("invitations cannot be looked up or redeemed; the request is answered with 503", "error", err)
	return unavailable()
}

// now is the time as stores keep it.
func (h *handler) now() time.Time { return h.Now().UTC().Truncate(time.Millisecond) }

// crossSite tells whether a browser sent the request for a page of another site.
//
// Our own page's form says so by Sec-Fetch-Site: same-origin. A browser without
// that, and every browser on plain HTTP, sends Origin: null instead, as the page
// forbids to name itself (Referrer-Policy). Null is therefore let through, which
// gives nothing away: whoever knows the code needs nobody's browser to redeem it.
func crossSite(r *http.Request, publicURL string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return false
	}
	scheme, host, _ := strings.Cut(origin, "://")
	if (scheme == "http" || scheme == "https") && strings.EqualFold(host, r.Host) {
		return false
	}
	return publicURL != origin && !strings.HasPrefix(publicURL, origin+"/")
}
