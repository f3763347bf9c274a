package gateway

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"codex-proxy/internal/refusal"
	"codex-proxy/internal/upstream"
)

// hopByHop are the headers that concern one connection only (RFC 9110, 7.6.1),
// with the obsolete ones that still occur.
var hopByHop = map[string]bool{
	"Connection": true, "Proxy-Connection": true, "Keep-Alive": true,
	"Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// Request headers pass, unknown ones too, as Codex brings new ones with every
// release; but for what follows. Names are in lower case. docs/endpoints.md has the
// same table.
var (
	// credentialWords make a header one that carries a credential.
	credentialWords = []string{"authorization", "cookie", "api-key", "apikey", "subscription-key", "jwt", "assertion"}
	// droppedNames say whose account pays, which way the request came, where it
	// should go, or who somebody in front took the caller for. The proxy decides
	// these, not the client.
	droppedNames = map[string]bool{
		"host": true, "origin": true, "forwarded": true, "via": true, "from": true, "cdn-loop": true,
		"x-real-ip": true, "x-host": true, "x-method-override": true, "client-ip": true, "x-client-ip": true,
		"x-cloud-trace-context": true,
	}
	droppedPrefixes = []string{
		"proxy", "sec-websocket-",
		"openai-organization", "openai-project", "x-openai-organization", "x-openai-project", "chatgpt-account",
		"x-forwarded", "x-original", "x-originating", "x-rewrite", "x-http-", "x-cluster-client", "true-client", "x-proxyuser",
		"cf-", "cloudfront", "fastly", "fly-", "akamai", "x-akamai", "x-envoy", "x-amz", "x-azure", "x-appengine", "x-vercel", "tailscale",
		"remote-", "x-remote-", "x-auth-", "x-authenti", "x-webauth", "x-pomerium", "x-goog", "x-client-cert", "client-cert", "x-ssl", "ssl-client",
	}
)

// isCredential reports whether a request header carries a credential by its name.
func isCredential(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(credentialWords, func(word string) bool { return strings.Contains(name, word) })
}

// isDropped reports whether a request header, or a trailer, does not go upstream.
func isDropped(name string) bool {
	if hopByHop[name] || !plainName(name) || isCredential(name) {
		return true
	}
	name = strings.ToLower(name)
	return droppedNames[name] || slices.ContainsFunc(droppedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// dropTrailers takes out of a request's trailers what would not pass as a header.
// It must be called again at the body's end, which fills them.
func dropTrailers(trailer http.Header) {
	for name := range trailer {
		if isDropped(name) {
			delete(trailer, name)
		}
	}
}

// isAccountProtocol reports whether the name of a WebSocket's subprotocol carries a
// key or an account: browsers have no other place for them.
func isAccountProtocol(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "openai-organization") || strings.HasPrefix(name, "openai-project") || isCredential(name)
}

// kept are the answer's headers that concern upstream's own host and must not be
// taken for the proxy's.
var kept = map[string]bool{
	"Set-Cookie": true, "Alt-Svc": true, "Strict-Transport-Security": true,
	refusal.Header: true,
}

// outbound returns the header that goes upstream: the client's, but for what
// concerns the connection or the proxy decides, and with the real key. What the
// client lists in Connection is dropped before the key is set, so it can never
// take the key away.
func outbound(in http.Header, key upstream.Key) http.Header {
	dropped := connectionOptions(in)
	out := make(http.Header, len(in)+1)
	for name, values := range in {
		if isDropped(name) || dropped[name] {
			continue
		}
		out[name] = values
	}
	if headerHasToken(in["Te"], "trailers") {
		out["Te"] = []string{"trailers"}
	}
	if _, ok := out["User-Agent"]; !ok {
		out["User-Agent"] = []string{""} // else the transport would put its own
	}
	out["Authorization"] = []string{"Bearer " + key.Reveal()}
	return out
}

// inbound copies upstream's answer header to the client's.
func inbound(dst, src http.Header) {
	dropped := connectionOptions(src)
	for name, values := range src {
		if hopByHop[name] || kept[name] || dropped[name] {
			continue
		}
		dst[name] = values
	}
	if _, ok := dst["Content-Type"]; !ok {
		dst["Content-Type"] = nil // else the server would guess one
	}
	if _, ok := dst["Date"]; !ok {
		dst["Date"] = nil
	}
}

// connectionOptions returns the names that a Connection header makes hop-by-hop.
func connectionOptions(h http.Header) map[string]bool {
	var names map[string]bool
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				if names == nil {
					names = map[string]bool{}
				}
				names[textproto.CanonicalMIMEHeaderKey(name)] = true
			}
		}
	}
	return names
}

// plainName reports whether a header's name means the same to every server:
// letters, digits and hyphens. Some read an underscore as a hyphen.
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
		default:
			return false
		}
	}
	return name != ""
}

func headerHasToken(lines []string, token string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(part), token) {
				return true
			}
		}
	}
	return false
}

func isUpgrade(r *http.Request) bool {
	return headerHasToken(r.Header["Connection"], "upgrade") && r.Header.Get("Upgrade") != ""
}
