package record

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCredentialsAreRemovedFromHeadersAndAllElseStays(t *testing.T) {
	for _, name := range []string{
		"Authorization", "Proxy-Authorization", "authorization", "X-Forwarded-Authorization",
		"Cookie", "Set-Cookie", "Set-Cookie2", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Openai-Api-Key", "X-Apikey",
		"X-Amz-Security-Token", "X-Auth-Token", "X-Csrf-Token", "X-Client-Secret", "X-Amz-Signature", "X-Password",
		"Cf-Access-Jwt-Assertion", "X-Goog-Iap-Jwt-Assertion", "X-Amzn-Oidc-Data", "Cookie2", "Ocp-Apim-Subscription-Key",
	} {
		want := http.Header{name: {Removed, Removed}}
		if diff := cmp.Diff(want, CleanHeader(http.Header{name: {"one", "two"}})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, name := range []string{
		"X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Reset-Tokens", "X-Ratelimit-Limit-Requests",
		"X-Codex-Primary-Used-Percent", "Sec-Websocket-Key", "Sec-Websocket-Accept", "Content-Type", "Session_id", "Originator",
		"X-Request-Id", "User-Agent", "Openai-Organization", "Openai-Processing-Ms", "Idempotency-Key", "Traceparent", "Etag",
	} {
		want := http.Header{name: {"one", "two"}}
		if diff := cmp.Diff(want, CleanHeader(want)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCleaningAHeaderLeavesTheOneThatTravels(t *testing.T) {
	travels := http.Header{"Authorization": {"Bearer x"}, "Accept": {"a"}}
	clean := CleanHeader(travels)
	clean["Accept"][0] = "changed"
	if diff := cmp.Diff(http.Header{"Authorization": {"Bearer x"}, "Accept": {"a"}}, travels); diff != "" {
		t.Errorf("the header that travels changed (-want +got):\n%s", diff)
	}
}

func TestCredentialsAreRemovedFromTargetsAndAllElseStays(t *testing.T) {
	for uri, want := range map[string]string{
		"":                                "",
		"/v1/responses":                   "/v1/responses",
		"/v1/models?":                     "/v1/models?",
		"/v1/models?client_version=1.0.0": "/v1/models?client_version=1.0.0",
		"/a?b=%2f&&c&d=+&max_tokens=5":    "/a?b=%2f&&c&d=+&max_tokens=5",
		"/a?api_key=x&b=1":                "/a?api_key=[removed]&b=1",
		"/a?API-Key=x":                    "/a?API-Key=[removed]",
		"/a?b=1&access_token=x=y":         "/a?b=1&access_token=[removed]",
		"/a?access%5Ftoken=x":             "/a?access%5Ftoken=[removed]",
		"/a?%61pi_key=x":                  "/a?%61pi_key=[removed]",
		"/a?token":                        "/a?token=[removed]",
		"http://u:secret@h/a?b=c":         "http://[removed]@h/a?b=c",
		"http://secret@h?token=x":         "http://[removed]@h?token=[removed]",
		"http://h/a@b":                    "http://h/a@b",
		"/a?u=http://x@y":                 "/a?u=http://x@y",
		"/a?%zztoken=x":                   "/a?%zztoken=[removed]",
		"/a?X-Amz-Signature=x&X-Amz-Credential=y&X-Amz-Date=z": "/a?X-Amz-Signature=[removed]&X-Amz-Credential=[removed]&X-Amz-Date=z",
	} {
		if got := CleanURI(uri); got != want {
			t.Errorf("%q becomes %q, want %q", uri, got, want)
		}
	}
}
