package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/policy/endpoint"
	"codex-proxy/internal/refusal"
)

// resolve returns upstream's URL for a request. Codex may be given the proxy's
// address with or without /v1, so both stand for the upstream address. The path
// and the query are forwarded in the very spelling that was judged; a path that
// two parsers could read differently is refused.
func resolve(base *url.URL, r *http.Request) (*url.URL, *refusal.Refusal) {
	escaped := r.URL.EscapedPath()
	if r.Method == http.MethodConnect || !strings.HasPrefix(escaped, "/") || ambiguous(escaped) {
		return nil, refusal.Request("bad_path",
			"the request's path cannot be forwarded safely: it holds a letter, digit, dot or slash that is encoded, a backslash, an empty or a dot segment, or a semicolon. Send the plain path.")
	}
	rest := apiPath(r)
	plain, err := url.PathUnescape(rest)
	if err != nil {
		return nil, refusal.Request("bad_path", "the request's path has a broken percent encoding. Send the plain path.")
	}
	target := *base
	target.Path = base.Path + plain
	target.RawPath = base.EscapedPath() + rest
	target.RawQuery = r.URL.RawQuery
	target.ForceQuery = r.URL.ForceQuery
	return &target, nil
}

// ambiguous reports whether an escaped path might mean another path to another
// reader.
func ambiguous(escaped string) bool {
	lower := strings.ToLower(escaped)
	for _, sign := range []string{"//", "\\", ";", "%2f", "%5c", "%2e", "%00", "%25"} {
		if strings.Contains(lower, sign) {
			return true
		}
	}
	for segment := range strings.SplitSeq(lower, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return hidesPlain(lower)
}

// hidesPlain reports whether a path spells a letter, digit, hyphen, dot, underscore
// or tilde as an escape (RFC 3986, 2.3): some readers undo these, and some compare
// them as they are.
func hidesPlain(escaped string) bool {
	for _, after := range strings.Split(escaped, "%")[1:] {
		code, err := strconv.ParseUint(after[:min(2, len(after))], 16, 8)
		if c := byte(code); err == nil && (c == '~' || c == '_' || c == '.' || plainName(string(c))) {
			return true
		}
	}
	return false
}

// apiPath returns the path below /v1, such as "/responses", in the spelling in
// which it is forwarded.
func apiPath(r *http.Request) string { return belowV1(r.URL.EscapedPath()) }

// belowV1 returns an escaped path without the /v1 that it may begin with.
func belowV1(escaped string) string {
	if below, ok := strings.CutPrefix(escaped, "/v1"); ok && (below == "" || below[0] == '/') {
		return below
	}
	return escaped
}

// judgeEndpoint refuses what the list of endpoints does not open. Codex that asks for
// a WebSocket where none is open, or has lost its Upgrade header on the way, is sent
// to plain HTTP, which it then uses at once.
func (g *Gateway) judgeEndpoint(r *http.Request, who developer.Identity) *refusal.Refusal {
	path := apiPath(r)
	isOpen, opensWebSocket := g.Endpoints.Allows(r.Method, path), endpoint.Of(r.Method, path).WebSocket
	switch {
	case isOpen && (!opensWebSocket || isUpgrade(r) || g.Endpoints.All()):
		return nil
	case isOpen:
		return refusal.WebSocketUnavailable("this address opens a WebSocket, and the request does not ask for one; something on the way may have taken its Upgrade header. Use plain HTTP.")
	case opensWebSocket:
		return refusal.WebSocketUnavailable("WebSockets are not among the --endpoints that are open here; plain HTTP works.")
	}
	if endpoint.Never(r.Method) {
		return refusal.Request("endpoint_not_allowed", fmt.Sprintf("%s %s was not sent: the proxy never passes this method on, as its answer may show the organisation's key.",
			quoted(methodOf(r)), quoted(r.URL.EscapedPath())))
	}
	ask := "whoever runs the proxy"
	if who.Policy.Contact != "" {
		ask = who.Policy.Contact
	}
	return refusal.Request("endpoint_not_allowed", fmt.Sprintf(
		"%s %s is not open here, and was not sent: with one key of the organisation's behind it, the proxy passes on what Codex needs and no more. If you need it, ask %s, who can open it with the setting --endpoints.",
		quoted(methodOf(r)), quoted(r.URL.EscapedPath()), ask))
}

// quoted is a client's own word in a sentence: bounded, and harmless to a terminal.
func quoted(word string) string {
	const limit = 80
	text := strconv.QuoteToASCII(word[:min(limit, len(word))])
	if len(word) > limit {
		text += "…"
	}
	return text
}
