package gateway

import (
	"net/http"
	"net/url"
	"strings"

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
			"the request's path cannot be forwarded safely: it holds an encoded slash or dot, a backslash, an empty or a dot segment, or a semicolon. Send the plain path.")
	}
	rest := escaped
	if after, ok := strings.CutPrefix(escaped, "/v1"); ok && (after == "" || after[0] == '/') {
		rest = after
	}
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
	return false
}

// apiPath returns the path below /v1, such as "/responses".
func apiPath(r *http.Request) string {
	return strings.TrimPrefix(r.URL.Path, "/v1")
}
