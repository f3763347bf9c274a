package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/developer"
)

// askForModels asks as Codex does when it starts.
func (f *fixture) askForModels(change ...func(*http.Request)) (*http.Response, []byte) {
	f.t.Helper()
	r := f.request("GET", "/v1/models?client_version=0.171.0", nil)
	for _, c := range change {
		c(r)
	}
	return f.do(r)
}

// modelList is a list of models as OpenAI and as Codex write it.
type modelList struct {
	Object string
	Data   []struct{ ID string }
	Models *[]struct{ Slug string }
}

func readModels(t *testing.T, body []byte) (list modelList) {
	t.Helper()
	if err := json.Unmarshal(body, &list); err != nil || list.Models == nil || list.Data == nil {
		t.Fatalf("the list is %s, %v", body, err)
	}
	return list
}

func TestCodexIsGivenOpenAIsModelsInTheShapeThatItReads(t *testing.T) {
	f := newFixture(t, options{})
	_, plain := f.do(f.request("GET", "/v1/models", nil))
	f.exchanges(1)
	for _, path := range []string{
		"/v1/models?client_version=0.171.0", "/models?client_version=0.171.0",
		"/v1/models?client_version=99.0.0-alpha.1%2Bnext&x=1", "/v1/models?client_version=",
	} {
		response, body := f.do(f.request("GET", path, nil))
		header := response.Header
		if response.StatusCode != http.StatusOK || header.Get("Content-Type") != "application/json" || header.Get("X-Request-Id") == "" {
			t.Fatalf("%s is answered with %d %v", path, response.StatusCode, header)
		}
		var want, got map[string]any
		if err := errors.Join(json.Unmarshal(plain, &want), json.Unmarshal(body, &got)); err != nil {
			t.Fatal(err)
		}
		want["models"] = []any{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-OpenAI's list and no models, +answered):\n%s", path, diff)
		}
	}
}

func TestACatalogueCallIsNoExchangeAndUsesUpNoRate(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{RequestsPerMinute: 1}})
	for range 5 {
		if response, body := f.askForModels(); response.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", response.StatusCode, body)
		}
	}
	if response, body := f.ask("hello"); response.StatusCode != http.StatusOK {
		t.Errorf("the one request that the rate allows is answered with %d %s", response.StatusCode, body)
	}
	if response, body := f.askForModels(); response.StatusCode != http.StatusOK {
		t.Errorf("once the rate is used up, the list is answered with %d %s", response.StatusCode, body)
	}
	if only := f.exchanges(1)[0]; only.Path != "/v1/responses" {
		t.Errorf("on record is %s", only.Path)
	}
}

func TestOnlyCodexsOwnCallIsAnsweredByTheProxy(t *testing.T) {
	f := newFixture(t, options{endpoints: "all"})
	requests := []*http.Request{
		f.request("GET", "/v1/models", nil),
		f.request("GET", "/v1/models?limit=1", nil),
		f.request("GET", "/v1/models/gpt-5?client_version=1", nil),
		f.request("POST", "/v1/models?client_version=1", strings.NewReader("{}")),
		f.request("HEAD", "/v1/models?client_version=1", nil),
	}
	for _, r := range requests {
		f.do(r)
	}
	f.exchanges(len(requests))
	if got := len(f.openai.Received()); got != len(requests) {
		t.Errorf("upstream received %d of %d requests", got, len(requests))
	}
}

func TestACatalogueCallIsRefusedAsAnExchangeIs(t *testing.T) {
	f := newFixture(t, options{})
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
		reason string
	}{
		{"no token", header("Authorization", ""), 401, "token_missing"},
		{"an unknown token", header("Authorization", "Bearer legacy-token-of-nobody"), 401, "token_unknown"},
		{"a web page", header("Origin", "https://evil.example.com"), 403, "origin_refused"},
		{"a disabled developer", func(*http.Request) { f.setEnabled("alice@example.com", false) }, 401, "token_disabled"},
	} {
		response, body := f.askForModels(c.change)
		if response.StatusCode != c.status || response.Header.Get("X-Codex-Proxy-Refusal") != c.reason {
			t.Errorf("%s: %d %v %s", c.name, response.StatusCode, response.Header, body)
		}
	}
	if got := len(f.openai.Received()); got > 0 {
		t.Errorf("upstream was asked %d times", got)
	}
}

func TestUpstreamIsAskedOnceForAllWhoAskForTheModels(t *testing.T) {
	arrived, answer := make(chan *http.Request, 100), make(chan struct{})
	openai := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r
		<-answer
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"gpt-5"}]}`)
	}))
	f := newFixture(t, options{upstream: openai})
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			response, err := f.proxy.Client().Do(f.request("GET", "/v1/models?client_version=1", nil))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); err != nil || !bytes.Contains(body, []byte(`"gpt-5"`)) {
				t.Errorf("answered with %s, %v", body, err)
			}
		})
	}
	r := <-arrived
	close(answer)
	asking.Wait()
	f.askForModels()
	if len(arrived) > 0 {
		t.Errorf("upstream was asked %d times more", len(arrived))
	}
	if r.Method != "GET" || r.RequestURI != "/v1/models" || r.Header.Get("Authorization") != "Bearer "+upstreamKey ||
		r.Header.Get("Session-Id")+r.Header.Get("Originator")+r.UserAgent() != "" {
		t.Errorf("upstream was asked %s %s with %v", r.Method, r.RequestURI, r.Header)
	}
}

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestCodexStartsAsWellWhereUpstreamHasNoListOfModels(t *testing.T) {
	answers := func(status int, body string) roundTrip {
		return func(r *http.Request) (*http.Response, error) {
			if deadline, ok := r.Context().Deadline(); !ok || time.Until(deadline) > 3*time.Second {
				t.Errorf("upstream may take until %v", deadline)
			}
			answer := io.NopCloser(strings.NewReader(body))
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: answer, Request: r}, nil
		}
	}
	for name, upstream := range map[string]roundTrip{
		"an error":         answers(500, `{"error":{}}`),
		"a refused key":    answers(401, `{"error":{}}`),
		"a redirect":       answers(302, ""),
		"no JSON":          answers(200, "<html>"),
		"another document": answers(200, "[]"),
		"null":             answers(200, "null"),
		"too much":         answers(200, `{"data":["`+strings.Repeat("x", 1<<20)+`"]}`),
		"nobody there":     func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			f := newFixture(t, options{transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				calls.Add(1)
				return upstream(r)
			})})
			for range 3 {
				response, body := f.askForModels()
				list := readModels(t, body)
				if response.StatusCode != http.StatusOK || len(list.Data)+len(*list.Models) > 0 || list.Object != "list" {
					t.Errorf("answered with %d %s", response.StatusCode, body)
				}
			}
			if calls.Load() != 1 {
				t.Errorf("upstream was asked %d times at once", calls.Load())
			}
			if log := f.log.String(); !strings.Contains(log, "list of models cannot be had") || strings.Contains(log, upstreamKey) {
				t.Errorf("the log says:\n%s", log)
			}
		})
	}
}

func TestAReplacedKeyGetsTheModelsToo(t *testing.T) {
	f := newFixture(t, options{oldKey: "sk-from-before"})
	for range 2 {
		if _, body := f.askForModels(); len(readModels(t, body).Data) == 0 {
			t.Errorf("answered with %s", body)
		}
	}
}

func TestAnUpstreamThatSpeaksCodexsShapeIsBelieved(t *testing.T) {
	openai := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data":[],"models":[{"slug":"own-model"}]}`)
	}))
	f := newFixture(t, options{upstream: openai})
	if _, body := f.askForModels(); len(*readModels(t, body).Models) != 1 {
		t.Errorf("answered with %s", body)
	}
}
