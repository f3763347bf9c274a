package awsdeploy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Result is how a check ended.
type Result string

// The results.
const (
	Passed  Result = "pass"
	Failed  Result = "fail"
	Skipped Result = "skip"
)

// Check is one thing that was tried at a proxy's address.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	// Saw is what was seen, and Means what that means for those who use the proxy.
	Saw   string `json:"saw"`
	Means string `json:"means"`
}

// Smoke tries, from outside, what cannot be known before an installation runs: how
// the platform in front of the function treats what Codex sends. It makes three small
// requests of the model where it has a token, and none without.
type Smoke struct {
	// Token is a developer's; empty skips what needs one.
	Token string
	// Model is asked in the checks that need an answer.
	Model string

	address string
	client  *http.Client
	now     func() time.Time
	// seen is told when the first piece of a streamed answer is there.
	seen func()
}

// requestLimit bounds one request with its answer.
const requestLimit = 2 * time.Minute

// NewSmoke returns a Smoke of the proxy at an address, such as a Function URL.
func NewSmoke(address string) (*Smoke, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimSuffix(address, "/"), "/v1"))
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no address of a proxy: give the output Url of 'codex-proxy aws status'", address)
	}
	return &Smoke{
		address: u.String(), now: time.Now, seen: func() {},
		client: &http.Client{
			Timeout: requestLimit,
			// An upgrade is possible over HTTP/1.1 alone, and no encoding may be added
			// or taken away.
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DisableCompression: true,
				TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
				DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
				TLSHandshakeTimeout: 10 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Run makes all checks, one after the other, and tells of each when it is made.
// Where nothing answers, the first is the last.
func (s *Smoke) Run(ctx context.Context, tell func(Check)) (passed bool) {
	defer s.client.CloseIdleConnections()
	passed = true
	for i, check := range []struct {
		name  string
		token bool
		run   func(context.Context) (Result, string, string)
	}{
		{"answers at all", false, s.answers},
		{"serves the setup script", false, s.servesSetup},
		{"refuses a wrong token", false, s.refusesWrongToken},
		{"takes 5 MB of text", false, s.takesText},
		{"takes 4.4 MB of binary", false, s.takesBinary},
		{"says no to 7 MB", false, s.refusesTooMuch},
		{"knows the token", true, s.knowsToken},
		{"sends WebSockets to HTTP", true, s.upgrades},
		{"streams", true, s.streams},
		{"takes a zstd body", true, s.takesZstd},
		{"outlives a reader who leaves", true, s.outlivesReader},
	} {
		c := Check{Name: check.name, Result: Skipped, Means: "give a developer's token (--token or CODEX_PROXY_TOKEN) to try this"}
		if !check.token || s.Token != "" {
			c.Result, c.Saw, c.Means = check.run(ctx)
		}
		tell(c)
		passed = passed && c.Result != Failed
		if i == 0 && c.Result == Failed {
			break
		}
	}
	return passed
}

// answer is what came back to a request.
type answer struct {
	status int
	header http.Header
	// body is the beginning of the body.
	body string
}

// refusal is the proxy's own reason for a no; empty when it did not say one.
func (a answer) refusal() string { return a.header.Get("X-Codex-Proxy-Refusal") }

// said is the answer in a few words.
func (a answer) said() string {
	if reason := a.refusal(); reason != "" {
		return fmt.Sprintf("%d, %s", a.status, reason)
	}
	return fmt.Sprintf("%d", a.status)
}

// shown bounds how much of an answer is kept, in bytes.
const shown = 64 << 10

// ask makes a request as send does and reads the answer.
func (s *Smoke) ask(ctx context.Context, method, path, token string, body io.Reader, headers ...string) (answer, error) {
	response, err := s.send(ctx, method, path, token, body, headers...)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	begin, err := io.ReadAll(io.LimitReader(response.Body, shown))
	if err != nil {
		return answer{}, fmt.Errorf("the answer broke off: %w", err)
	}
	return answer{response.StatusCode, response.Header, string(begin)}, nil
}

// send makes a request with a token, if any, and headers in pairs.
func (s *Smoke) send(ctx context.Context, method, path, token string, body io.Reader, headers ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.address+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "codex-proxy-smoke")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return s.client.Do(request)
}
