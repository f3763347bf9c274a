package awsdeploy_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/awsdeploy"
)

const goodToken = "codexproxy_abcdefgh_right"

// front is a proxy behind a Function URL, as far as a smoke test sees it. What it
// does wrong is named by faults.
type front struct {
	*httptest.Server
	faults map[string]bool
	// seen tells that the reader has the first event.
	seen chan struct{}
	// clock is the reader's, in nanoseconds; it goes on while the model writes.
	clock atomic.Int64
}

func newFront(t *testing.T, faults ...string) *front {
	f := &front{faults: map[string]bool{}, seen: make(chan struct{}, 10)}
	for _, fault := range faults {
		f.faults[fault] = true
	}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // the platform has it all before the function
	isGood := r.Header.Get("Authorization") == "Bearer "+goodToken
	refuse := func(status int, reason string) {
		w.Header().Set("X-Codex-Proxy-Refusal", reason)
		w.WriteHeader(status)
	}
	switch {
	case f.faults["permission"]:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/healthz":
		_, _ = io.WriteString(w, "ok\n")
	case r.URL.Path == "/setup.sh" && !f.faults["setup"]:
		fmt.Fprintf(w, "#!/bin/sh\nserved_from='http://%s'\n", r.Host)
	case len(body) > 6<<20 && !f.faults["limit"]:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case len(body) > 4_300_000 && (f.faults["small"] || f.faults["limit"]):
		w.WriteHeader(http.StatusBadGateway)
	case !isGood && f.faults["open"]:
		_, _ = io.WriteString(w, "{}")
	case !isGood && f.faults["table"]:
		refuse(http.StatusServiceUnavailable, "proxy_unavailable")
	case !isGood:
		refuse(http.StatusUnauthorized, "token_unknown")
	case r.URL.Path == "/whoami":
		_, _ = io.WriteString(w, "{}")
	case r.Method == http.MethodGet && f.faults["upgrade"]:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodGet && r.Header.Get("Upgrade") == "websocket":
		refuse(http.StatusUpgradeRequired, "websocket_unavailable")
	case r.Header.Get("Content-Encoding") == "zstd" && (f.faults["zstd"] || !isZstd(body)):
		w.WriteHeader(http.StatusBadRequest)
	case f.faults["model"]:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"message":"no such model"}}`)
	default:
		f.stream(w, r)
	}
}

func isZstd(body []byte) bool {
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		return false
	}
	defer decoder.Close()
	plain, err := decoder.DecodeAll(body, nil)
	return err == nil && strings.Contains(string(plain), "Count from 1")
}

// stream answers in two pieces, the second when the reader has the first.
func (f *front) stream(w http.ResponseWriter, r *http.Request) {
	f.clock.Add(int64(time.Second))
	if f.faults["buffer"] {
		f.clock.Add(int64(9 * time.Second))
	}
	_, _ = io.WriteString(w, "event: response.created\n\n")
	if !f.faults["buffer"] && r.Header.Get("Content-Encoding") == "" {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-f.seen:
			f.clock.Add(int64(9 * time.Second))
		case <-r.Context().Done():
		}
	}
	if !f.faults["torn"] {
		_, _ = io.WriteString(w, "event: response.completed\n\n")
	}
}

// smoke tries a front and returns how each check ended.
func smoke(t *testing.T, f *front, token string) (results map[string]awsdeploy.Result, checks []awsdeploy.Check) {
	t.Helper()
	s, err := awsdeploy.NewSmoke(f.URL + "/v1/")
	if err != nil {
		t.Fatal(err)
	}
	s.Token, s.Model = token, "gpt-test"
	s.Clock(func() time.Time { return time.Unix(0, f.clock.Load()) }, func() { f.seen <- struct{}{} })
	results = map[string]awsdeploy.Result{}
	passed := s.Run(t.Context(), func(c awsdeploy.Check) {
		results[c.Name] = c.Result
		checks = append(checks, c)
		if strings.Contains(c.Saw+c.Means, goodToken) {
			t.Errorf("the check %q shows the token", c.Name)
		}
	})
	if failed := slices.Contains(slices.Collect(maps.Values(results)), awsdeploy.Failed); failed == passed {
		t.Errorf("passed is %t with %v", passed, results)
	}
	return results, checks
}

func TestAGoodInstallationPassesEveryCheck(t *testing.T) {
	results, checks := smoke(t, newFront(t), goodToken)
	for _, c := range checks {
		if c.Result != awsdeploy.Passed || c.Saw == "" || c.Means == "" {
			t.Errorf("%+v", c)
		}
	}
	if len(results) != 11 {
		t.Errorf("%d checks were made, want 11", len(results))
	}
}

func TestWithoutATokenWhatNeedsOneIsSkipped(t *testing.T) {
	results, _ := smoke(t, newFront(t), "")
	want := map[string]awsdeploy.Result{
		"answers at all": "pass", "serves the setup script": "pass", "refuses a wrong token": "pass",
		"takes 5 MB of text": "pass", "takes 4.4 MB of binary": "pass", "says no to 7 MB": "pass",
		"knows the token": "skip", "sends WebSockets to HTTP": "skip", "streams": "skip", "takes a zstd body": "skip", "outlives a reader who leaves": "skip",
	}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestEachFaultFailsItsCheckAndIsExplained(t *testing.T) {
	for fault, c := range map[string]struct {
		failed []string
		means  string
	}{
		"permission": {[]string{"answers at all"}, "InvokedViaFunctionUrl"},
		"setup":      {[]string{"serves the setup script"}, "cannot set up"},
		"open":       {[]string{"refuses a wrong token", "takes 4.4 MB of binary", "takes 5 MB of text"}, "do not give this address"},
		"table":      {[]string{"refuses a wrong token", "takes 4.4 MB of binary", "takes 5 MB of text"}, "table of tokens"},
		"small":      {[]string{"takes 4.4 MB of binary", "takes 5 MB of text"}, "long conversations"},
		"limit":      {[]string{"says no to 7 MB", "takes 4.4 MB of binary", "takes 5 MB of text"}, "413"},
		"upgrade":    {[]string{"sends WebSockets to HTTP"}, "tries its WebSocket"},
		"zstd":       {[]string{"takes a zstd body"}, "compressed body"},
		"buffer":     {[]string{"streams"}, "RESPONSE_STREAM"},
		"torn":       {[]string{"streams"}, "response.completed"},
		"model":      {[]string{"outlives a reader who leaves", "streams", "takes a zstd body"}, "--model"},
	} {
		t.Run(fault, func(t *testing.T) {
			results, checks := smoke(t, newFront(t, fault), goodToken)
			var failed, means []string
			for _, name := range slices.Sorted(maps.Keys(results)) {
				if results[name] == awsdeploy.Failed {
					failed = append(failed, name)
				}
			}
			for _, check := range checks {
				means = append(means, check.Means)
			}
			if diff := cmp.Diff(c.failed, failed); diff != "" {
				t.Errorf("failed (-want +got):\n%s", diff)
			}
			if !strings.Contains(strings.Join(means, "\n"), c.means) {
				t.Errorf("no check says %q", c.means)
			}
		})
	}
}

func TestAnAddressThatNothingAnswersAtIsSaidToBeOne(t *testing.T) {
	f := newFront(t)
	f.Close()
	results, _ := smoke(t, f, "")
	if diff := cmp.Diff(map[string]awsdeploy.Result{"answers at all": "fail"}, results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	for _, address := range []string{"", "proxy.example.com", "ftp://proxy.example.com", "https://proxy.example.com/?x=1"} {
		if _, err := awsdeploy.NewSmoke(address); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
}
