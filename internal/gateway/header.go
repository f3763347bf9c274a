package gateway

import (
	"net/http"
	"net/textproto"
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

// withheld are the request headers that say who the caller is, whose account
// pays, or which way the request came. The proxy decides these, not the client.
var withheld = map[string]bool{
	"Authorization": true, "Api-Key": true, "X-Api-Key": true, "Cookie": true,
	"Openai-Organization": true, "Openai-Project": true,
	"Forwarded": true, "X-Forwarded-For": true, "X-Forwarded-Host": true,
	"X-Forwarded-Proto": true, "X-Forwarded-Port": true, "X-Real-Ip": true, "Via": true,
	"Origin": true, "Host": true,
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
		if hopByHop[name] || withheld[name] || dropped[name] || !plainName(name) {
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
