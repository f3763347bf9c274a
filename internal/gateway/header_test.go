package gateway_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestHeadersThatRouteOrIdentifyStayHere sends each of them, in its own and in
// another case, as a header and as a trailer.
func TestHeadersThatRouteOrIdentifyStayHere(t *testing.T) {
	onlyOver(t, "HTTP/1.1") // HTTP/2 knows no header of a connection's
	var seen echo
	f := newFixture(t, options{upstream: echoUpstream(t, &seen)})
	dropped := []string{
		"Proxy-Authorization", "Proxy-Connection", "Proxy", "Cookie", "Cookie2",
		"Api-Key", "X-Api-Key", "X-OpenAI-Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key", "X-Authorization", "X-Original-Authorization",
		"OpenAI-Organization", "OpenAI-Project", "X-OpenAI-Organization", "X-OpenAI-Project", "OpenAI-Organization-Id", "ChatGPT-Account-ID",
		"Forwarded", "Via", "From", "CDN-Loop", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix",
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Client-Cert", "X-Forwarded-Access-Token",
		"X-Real-IP", "X-Client-IP", "Client-IP", "X-Cluster-Client-IP", "True-Client-IP", "X-ProxyUser-Ip", "X-Remote-IP", "X-Remote-Addr",
		"X-Original-URL", "X-Original-Host", "X-Original-Method", "X-Originating-IP", "X-Rewrite-URL", "X-Host", "X-HTTP-Host-Override",
		"X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override",
		"CF-Connecting-IP", "CF-IPCountry", "CF-Ray", "Cf-Access-Jwt-Assertion", "CloudFront-Viewer-Address", "Fastly-Client-IP", "Fly-Client-IP",
		"X-Envoy-Original-Path", "X-Envoy-External-Address", "X-Amzn-Trace-Id", "X-Amzn-Oidc-Data", "X-Amz-Security-Token", "X-Amz-Cf-Id",
		"X-Azure-ClientIP", "X-Appengine-User-IP", "X-Cloud-Trace-Context", "X-Vercel-Forwarded-For", "Tailscale-User-Login",
		"Remote-User", "X-Remote-User", "X-Auth-Request-Email", "X-Auth-Token", "X-Authenticated-User", "X-Authentik-Username", "X-WebAuth-User",
		"X-Goog-Authenticated-User-Email", "X-Goog-Iap-Jwt-Assertion", "X-Client-Cert", "Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Verify",
		"Sec-WebSocket-Protocol",
	}
	passing := []string{
		"X-Codex-Turn-Metadata", "X-Codex-Window-Id", "X-Codex-Beta-Features", "X-Codex-Parent-Thread-Id", "X-Codex-Of-Tomorrow",
		"X-OpenAI-Subagent", "X-OpenAI-Internal-Codex-Responses-Lite", "OpenAI-Beta", "Originator", "Version", "Session-Id", "Thread-Id",
		"X-Client-Request-Id", "X-Stainless-Lang", "X-Stainless-Retry-Count", "Idempotency-Key", "Traceparent", "Tracestate", "Baggage",
		"X-Request-Id", "X-Oai-Attestation", "Accept-Language", "X-Originator", "X-Tomorrow", "X-Author",
	}
	for _, spell := range []func(string) string{strings.ToLower, strings.ToUpper} {
		r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello")))
		r.ContentLength = -1
		r.Trailer = http.Header{}
		for _, name := range append(dropped, passing...) {
			r.Header[spell(name)] = []string{"a"}
			r.Trailer.Set(name, "b")
		}
		f.do(r)
		for _, name := range dropped {
			if seen.header.Get(name) != "" {
				t.Errorf("the header %s went upstream", name)
			}
			if seen.trailer.Get(name) != "" {
				t.Errorf("the trailer %s went upstream", name)
			}
		}
		for _, name := range passing {
			if name != "Originator" && name != "Session-Id" && seen.header.Get(name) != "a" {
				t.Errorf("the header %s did not go upstream", name)
			}
			if seen.trailer.Get(name) != "b" {
				t.Errorf("the trailer %s did not go upstream", name)
			}
		}
	}
}

// TestATrailerThatWasNotAnnouncedDoesNotGoUpstream: what stands behind a body is
// known at its end alone.
func TestATrailerThatWasNotAnnouncedDoesNotGoUpstream(t *testing.T) {
	for _, unsearched := range []bool{false, true} {
		var seen echo
		f := newFixture(t, options{upstream: echoUpstream(t, &seen), unsearched: unsearched})
		f.raw("POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + f.token + "\r\nContent-Type: application/json\r\n" +
			"Connection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n2\r\n{}\r\n0\r\n" +
			"X-Check: 1\r\nOpenAI-Project: proj-other\r\nX-Forwarded-For: 10.0.0.1\r\nAuthorization: Bearer sk-other\r\n\r\n")
		for _, name := range []string{"OpenAI-Project", "X-Forwarded-For", "Authorization"} {
			if seen.trailer.Get(name) != "" {
				t.Errorf("unsearched %t: the trailer %s went upstream", unsearched, name)
			}
		}
		if seen.trailer.Get("X-Check") != "1" {
			t.Errorf("unsearched %t: upstream got the trailers %v, want X-Check", unsearched, seen.trailer)
		}
	}
}

// TestAWebSocketBringsNoAccountOfTheClients: browsers put keys and accounts into
// the names of subprotocols.
func TestAWebSocketBringsNoAccountOfTheClients(t *testing.T) {
	var got http.Header
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		connection, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"realtime"}})
		if err == nil {
			_ = connection.CloseNow()
		}
	}))
	f := newFixture(t, options{upstream: server})
	header := f.request("GET", "/v1/responses", nil).Header
	header.Set("X-Forwarded-For", "10.0.0.1")
	header.Set("OpenAI-Project", "proj-other")
	connection, _, err := websocket.Dial(t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{
		HTTPClient: f.proxy.Client(), HTTPHeader: header,
		Subprotocols: []string{"realtime", "openai-insecure-api-key.sk-other", "openai-organization.org-other", "openai-project.proj-other"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.CloseNow()
	if offered := strings.Join(got["Sec-Websocket-Protocol"], ","); offered != "realtime" {
		t.Errorf("upstream was offered %q", offered)
	}
	for _, name := range []string{"X-Forwarded-For", "Openai-Project"} {
		if got.Get(name) != "" {
			t.Errorf("the header %s went upstream", name)
		}
	}
	if got.Get("Authorization") != "Bearer "+upstreamKey || got.Get("Originator") != "codex_exec" {
		t.Errorf("upstream got the header %v", got)
	}
}
