package record

import (
	"net/http"
	"net/url"
	"strings"
)

// credentials are the words that make a header's or a parameter's name one of a
// credential, and harmless those that unmake it: OpenAI counts tokens in
// headers whose names would otherwise look like one.
var (
	credentials = []string{"authorization", "cookie", "api-key", "apikey", "api_key", "subscription-key", "token", "secret", "password", "passwd", "credential", "signature", "x-amz-security", "jwt", "assertion", "x-amzn-oidc"}
	harmless    = []string{"ratelimit", "max-tokens", "max_tokens"}
	// parameters are the whole names of query parameters that carry one.
	parameters = map[string]bool{"key": true, "sig": true, "auth": true}
)

func isCredential(name string) bool {
	name = strings.ToLower(name)
	for _, word := range harmless {
		if strings.Contains(name, word) {
			return false
		}
	}
	for _, word := range credentials {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// CleanHeader returns a copy of a header in which Removed stands for the value
// of every credential. Browsers have no place for a key but a subprotocol's name.
func CleanHeader(h http.Header) http.Header {
	clean := make(http.Header, len(h))
	for name, values := range h {
		if !isCredential(name) && !(name == "Sec-Websocket-Protocol" && isCredential(strings.Join(values, ","))) {
			clean[name] = append([]string(nil), values...)
			continue
		}
		for range values {
			clean[name] = append(clean[name], Removed)
		}
	}
	return clean
}

// CleanURI returns a request target in which Removed stands for the value of
// every query parameter that is a credential, and for whoever a whole address names
// before its host. All else stays as it was spelt.
func CleanURI(uri string) string {
	if scheme, rest, whole := strings.Cut(uri, "://"); whole && !strings.ContainsAny(scheme, "/?") {
		end := strings.IndexAny(rest+"/", "/?")
		if at := strings.LastIndexByte(rest[:end], '@'); at >= 0 {
			uri = scheme + "://" + Removed + rest[at:]
		}
	}
	path, query, ok := strings.Cut(uri, "?")
	if !ok {
		return uri
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		if isCredential(plain) || parameters[strings.ToLower(plain)] {
			parts[i] = name + "=" + Removed
		}
	}
	return path + "?" + strings.Join(parts, "&")
}
