package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// session is what a browser holds of somebody who has signed in: a signed cookie, so
// that it holds in every process, and ends when the store says so.
type session struct {
	// Name is a person's; it is empty for a developer.
	Name string `json:"n,omitempty"`
	// Generation is the person's or the developer's when the session began, which ends
	// when theirs is another.
	Generation string `json:"g,omitempty"`
	// Developer is a developer's id, and Token the public id of the token that they
	// signed in with.
	Developer string `json:"d,omitempty"`
	Token     string `json:"t,omitempty"`
	// Until ends the session of a developer for whom the issuer vouched, who has no
	// token here; in seconds since 1970 UTC.
	Until int64 `json:"u,omitempty"`
	// Form is what every form must carry.
	Form string `json:"f"`
	// Begun and Seen are in seconds since 1970 UTC.
	Begun int64 `json:"b"`
	Seen  int64 `json:"s"`
}

const (
	// idle ends a session that nobody has used, and longest every one.
	idle    = 12 * time.Hour
	longest = 7 * 24 * time.Hour
	// refreshed is how old Seen may be before the cookie is written anew.
	refreshed = 10 * time.Minute
)

func (s session) holds(now time.Time) bool {
	begun, seen := time.Unix(s.Begun, 0), time.Unix(s.Seen, 0)
	if s.Until != 0 && !now.Before(time.Unix(s.Until, 0)) {
		return false
	}
	return now.Before(seen.Add(idle)) && now.Before(begun.Add(longest)) && !seen.After(now.Add(time.Minute))
}

// seal makes the cookie's text.
func (s session) seal(key []byte) (string, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	return sealed(key, "session", text), nil
}

// sealed is a text with a signature that holds for one purpose.
func sealed(key []byte, purpose string, text []byte) string {
	return base64.RawURLEncoding.EncodeToString(text) + "." + base64.RawURLEncoding.EncodeToString(sign(key, purpose, text))
}

// unseal undoes seal; false where nobody here has made it.
func unseal(key []byte, text string) (s session, ok bool) {
	raw, ok := unsealed(key, "session", text)
	return s, ok && json.Unmarshal(raw, &s) == nil
}

// unsealed undoes sealed; false where nobody here has made it for the purpose.
func unsealed(key []byte, purpose, sealed string) (raw []byte, ok bool) {
	text, signature, found := strings.Cut(sealed, ".")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	signed, signErr := base64.RawURLEncoding.DecodeString(signature)
	if !found || err != nil || signErr != nil || len(key) == 0 || subtle.ConstantTimeCompare(signed, sign(key, purpose, raw)) != 1 {
		return nil, false
	}
	return raw, true
}

func sign(key []byte, purpose string, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(purpose))
	mac.Write(text)
	return mac.Sum(nil)
}

// isSecure tells whether the browser speaks HTTPS, here or with what stands in front.
func (c *Console) isSecure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(c.PublicURL, "https://")
}

// cookieName begins with __Host- where the browser can then hold that no other site
// has set it.
func (c *Console) cookieName(r *http.Request) string {
	if c.isSecure(r) {
		return "__Host-codex-proxy-console"
	}
	return "codex-proxy-console"
}

// setCookie gives the browser a session, or takes it away when sealed is empty.
func (c *Console) setCookie(w http.ResponseWriter, r *http.Request, sealed string) {
	cookie := &http.Cookie{
		Name: c.cookieName(r), Value: sealed, Path: "/", HttpOnly: true, Secure: c.isSecure(r), SameSite: http.SameSiteStrictMode,
	}
	if sealed == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
