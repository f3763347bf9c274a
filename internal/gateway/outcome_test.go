package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/record"
	"codex-proxy/internal/simulated"
)

func TestAnAnswerIsOnRecordCountedAndPriced(t *testing.T) {
	usage := openai.Usage{Input: 10_000, Cached: 8_000, Output: 1_000, Total: 11_000}
	for name, send := range map[string]func(*fixture) (string, int){
		"events": func(f *fixture) (string, int) { _, body := f.ask("hello"); return string(body), 1 },
		"JSON": func(f *fixture) (string, int) {
			_, body := f.do(f.request("POST", "/v1/responses", strings.NewReader(`{"model":"gpt-5.1-codex","input":"hello"}`)))
			return string(body), 1
		},
		"chat": func(f *fixture) (string, int) {
			_, body := f.do(f.request("POST", "/v1/chat/completions", strings.NewReader(`{"model":"gpt-5.1-codex","messages":[{"role":"user","content":"hello"}]}`)))
			return string(body), 1
		},
		"chat events": func(f *fixture) (string, int) {
			_, body := f.do(f.request("POST", "/v1/chat/completions", strings.NewReader(`{"model":"gpt-5.1-codex","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hello"}]}`)))
			return string(body), 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, options{})
			f.openai.Play(simulated.Answer{Text: "Hello from upstream", Usage: &usage, ServiceTier: "flex"})
			body, n := send(f)
			if !strings.Contains(body, "upstream") {
				t.Fatalf("the answer is %q", body)
			}
			e := f.exchanges(n)[0]
			if e.Outcome != exchange.Completed || e.Usage.State != exchange.UsageExact || e.Usage.Usage != usage {
				t.Errorf("on record as %s with usage %+v, want completed with %+v", e.Outcome, e.Usage, usage)
			}
			if e.Cost.State != exchange.CostPriced || e.Cost.Nanos != usage.Total {
				t.Errorf("cost %+v", e.Cost)
			}
			if e.Developer != "alice@example.com" || e.Team != "platform" || e.TokenID == "" || e.Session != "0198a000-0000-7000-8000-000000000001" {
				t.Errorf("attributed to %q, team %q, token %q, session %q", e.Developer, e.Team, e.TokenID, e.Session)
			}
			if e.ModelAsked != "gpt-5.1-codex" || !strings.HasPrefix(e.Model, "gpt-5.1-codex") || e.Tier != "flex" {
				t.Errorf("model asked %q, answered %q, tier %q", e.ModelAsked, e.Model, e.Tier)
			}
			if e.Status != 200 || e.FirstByteMicros <= 0 || e.DurationMicros < e.FirstByteMicros || e.UpstreamRequestID == "" {
				t.Errorf("facts are missing: %+v", e)
			}
			doc := f.document(e)
			if got := string(doc.Response.Bytes()); got != body {
				t.Errorf("the record's answer differs from what the client got")
			}
			if doc.Exchange.Outcome != exchange.Completed || doc.Exchange.Cost != e.Cost {
				t.Errorf("the record's facts differ from the ledger's: %+v", doc.Exchange)
			}
			if got := doc.Request.Header.Get("Authorization"); got != record.Removed {
				t.Errorf("the record's Authorization is %q", got)
			}
		})
	}
}

func TestAMissingUsageBlockIsMissingAndNotZero(t *testing.T) {
	f := newFixture(t, options{})
	f.openai.Play(simulated.Answer{Text: "hi", Fault: simulated.Fault{Break: simulated.BreakNoUsage}})
	f.ask("hello")
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Completed || e.Usage.State != exchange.UsageMissing || e.Cost.State != exchange.CostUnpriced {
		t.Errorf("on record as %s, usage %s, cost %s", e.Outcome, e.Usage.State, e.Cost.State)
	}
}

func TestAFailedResponseIsOpenAIsFault(t *testing.T) {
	f := newFixture(t, options{})
	f.openai.Play(simulated.Fail("server_error", "The model stumbled"))
	_, body := f.ask("hello")
	if !bytes.Contains(body, []byte("The model stumbled")) {
		t.Fatalf("the client got %q", body)
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Failed || e.ErrorOrigin != exchange.OriginOpenAI || !strings.Contains(e.Error, "The model stumbled") {
		t.Errorf("on record as %+v", e)
	}
}

func TestACutStreamIsCutForCodexTooAndItsUsageEstimated(t *testing.T) {
	for _, kind := range []simulated.Break{simulated.BreakCut, simulated.BreakCutBytes} {
		f := newFixture(t, options{})
		f.openai.Play(simulated.Answer{Text: strings.Repeat("some words ", 200), Fault: simulated.Fault{Break: kind, After: 40}})
		response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello"))))
		if err == nil {
			var body []byte
			body, err = io.ReadAll(response.Body)
			if bytes.Contains(body, []byte("response.completed")) {
				t.Errorf("%s: a final event was made up", kind)
			}
			response.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the client read an orderly end", kind)
		}
		e := f.exchanges(1)[0]
		if e.Outcome != exchange.UpstreamError || e.Usage.State != exchange.UsageEstimated || e.Usage.Input == 0 || e.Cost.State != exchange.CostPriced {
			t.Errorf("%s: on record as %s, usage %+v", kind, e.Outcome, e.Usage)
		}
	}
}

func TestAClientThatGoesAwayCancelsUpstream(t *testing.T) {
	f := newFixture(t, options{})
	f.openai.Play(simulated.Stall("thinking about it", 6))
	ctx, hangUp := context.WithCancel(t.Context())
	response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello"))).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := response.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	hangUp()
	response.Body.Close()
	waiting, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.openai.Await(waiting, func(all []simulated.Received) bool { return len(all) == 1 && all[0].ClientGone }); err != nil {
		t.Fatalf("upstream was not cancelled: %v", err)
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.ClientCancelled || e.ErrorOrigin != exchange.OriginClient || e.Usage.State != exchange.UsageEstimated {
		t.Errorf("on record as %s by %s, usage %s", e.Outcome, e.ErrorOrigin, e.Usage.State)
	}
}

func TestARunningStreamOfSomeoneCutOffEnds(t *testing.T) {
	f := newFixture(t, options{})
	f.openai.Play(simulated.Stall("thinking about it", 6))
	response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello"))))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	f.setEnabled("alice@example.com", false)
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("the stream ended as if it were whole")
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Interrupted || e.ErrorOrigin != exchange.OriginProxy || !strings.Contains(e.Error, "disabled") {
		t.Errorf("on record as %s by %s: %s", e.Outcome, e.ErrorOrigin, e.Error)
	}
	again, body := f.ask("again")
	if again.StatusCode != 401 || again.Header.Get("X-Codex-Proxy-Refusal") != "token_disabled" {
		t.Errorf("the next request got %s %s", again.Status, body)
	}
}

func TestAnOutageOfTheStoreCutsNobodyOff(t *testing.T) {
	flaky := &flakyAuthenticator{}
	f := newFixture(t, options{authenticator: flaky})
	flaky.Authenticator = developer.NewAuthenticator(f.store, time.Now)
	f.openai.Play(simulated.Answer{Text: "slow", Fault: simulated.Fault{FirstByte: 200 * time.Millisecond}})
	flaky.recheck = errors.New("database is locked")
	if response, _ := f.ask("hello"); response.StatusCode != 200 {
		t.Errorf("got %s", response.Status)
	}
}

type flakyAuthenticator struct {
	*developer.Authenticator
	recheck, authenticate error
}

func (a *flakyAuthenticator) Authenticate(ctx context.Context, bearer string) (developer.Identity, error) {
	if a.authenticate != nil {
		return developer.Identity{}, a.authenticate
	}
	return a.Authenticator.Authenticate(ctx, bearer)
}

func (a *flakyAuthenticator) Recheck(ctx context.Context, who developer.Identity) (developer.Identity, error) {
	if a.recheck != nil {
		return developer.Identity{}, a.recheck
	}
	return a.Authenticator.Recheck(ctx, who)
}

type brokenRecorder struct{}

func (brokenRecorder) Open(context.Context, exchange.Exchange, record.Message, []byte) (*record.Writer, error) {
	return nil, errors.New("no space left on device")
}

// TestRefusals is the table of what the proxy says no to, and how.
func TestRefusals(t *testing.T) {
	disabled := func(f *fixture) { f.setEnabled("alice@example.com", false) }
	cases := []struct {
		name    string
		options options
		arrange func(*fixture)
		request func(*fixture) *http.Request
		status  int
		reason  string
		says    string
		plain   bool
		record  int // exchanges on record
	}{
		{
			name: "no token", status: 401, reason: "token_missing", says: "carries no token",
			request: func(f *fixture) *http.Request {
				r := f.request("POST", "/v1/responses", nil)
				r.Header.Del("Authorization")
				return r
			},
		},
		{
			name: "a mistyped token", status: 401, reason: "token_malformed",
			request: func(f *fixture) *http.Request {
				r := f.request("POST", "/v1/responses", nil)
				r.Header.Set("Authorization", "Bearer codexproxy_abcdefgh_"+strings.Repeat("z", 33))
				return r
			},
		},
		{
			name: "a token cut short", status: 401, reason: "token_unknown", says: "it may be cut short",
			request: func(f *fixture) *http.Request {
				r := f.request("POST", "/v1/responses", nil)
				r.Header.Set("Authorization", "Bearer codexproxy_abcdefgh_0000")
				return r
			},
		},
		{
			name: "an unknown token", status: 401, reason: "token_unknown",
			request: func(f *fixture) *http.Request {
				r := f.request("POST", "/v1/responses", nil)
				r.Header.Set("Authorization", "Bearer sk-somebody-elses-key")
				return r
			},
		},
		{name: "a disabled developer", arrange: disabled, status: 401, reason: "token_disabled", record: 1},
		{
			name: "the store is down", status: 503, reason: "proxy_unavailable", says: "Nothing is wrong with the token",
			options: options{authenticator: &flakyAuthenticator{authenticate: errors.New("disk I/O error")}},
		},
		{
			name: "the record cannot be opened", status: 503, reason: "proxy_unavailable", says: "not on record",
			options: options{recorder: brokenRecorder{}}, record: 1,
		},
		{
			name: "a model that the team may not use", status: 400, reason: "model_not_allowed", says: `"gpt-5.1-codex"`, plain: true, record: 1,
			options: options{policy: &developer.Policy{Models: []string{"gpt-4*"}}},
		},
		{
			name: "a model that is named twice", status: 400, reason: "model_not_allowed", plain: true, record: 1,
			options: options{policy: &developer.Policy{Models: []string{"gpt-4*"}}},
			request: func(f *fixture) *http.Request {
				return f.request("POST", "/v1/responses", strings.NewReader(`{"model":"gpt-4.1","input":"`+strings.Repeat("x", 100_000)+`","mod\u0065l":"gpt-5-pro"}`))
			},
		},
		{
			name: "the budget is spent", status: 429, reason: "budget_exceeded", record: 1, says: "budget of $10.00",
			options: options{policy: &developer.Policy{DeveloperBudgetNanos: 10e9, Contact: "ops@example.com"}},
			arrange: func(f *fixture) { f.spent = 10e9 },
		},
		{
			name: "too many at once", status: 429, reason: "rate_limited", record: 2, says: "at once",
			options: options{policy: &developer.Policy{ConcurrentStreams: 1}},
			arrange: func(f *fixture) {
				f.openai.Play(simulated.Stall("thinking", 3))
				response := must(f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("a")))))
				f.t.Cleanup(func() { response.Body.Close() })
			},
		},
		{
			name: "too often", status: 429, reason: "rate_limited", record: 2, says: "within a minute",
			options: options{policy: &developer.Policy{RequestsPerMinute: 1}},
			arrange: func(f *fixture) { f.ask("first") },
		},
		{
			name: "a body that is too large", status: 400, reason: "too_large", plain: true, record: 1,
			options: options{limits: func(l *gateway.Limits) { l.Body = 1 << 20 }},
			request: func(f *fixture) *http.Request {
				return f.request("POST", "/v1/responses", strings.NewReader(strings.Repeat("x", 2<<20)))
			},
		},
		{
			name: "a body that turns out too large", status: 400, reason: "too_large", plain: true, record: 1,
			options: options{limits: func(l *gateway.Limits) { l.Body = 1 << 20 }},
			request: func(f *fixture) *http.Request {
				return f.request("POST", "/v1/responses", io.MultiReader(strings.NewReader(`"`+strings.Repeat("x", 2<<20)+`"`)))
			},
		},
		{
			name: "a web page", status: 403, reason: "origin_refused",
			request: func(f *fixture) *http.Request {
				r := f.request("POST", "/v1/responses", nil)
				r.Header.Set("Origin", "https://evil.example")
				return r
			},
		},
		{
			name: "a WebSocket where there is none", status: 426, reason: "websocket_unavailable", record: 1,
			options: options{noWebSocket: true},
			request: func(f *fixture) *http.Request {
				r := f.request("GET", "/v1/responses", nil)
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "websocket")
				return r
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, c.options)
			if c.arrange != nil {
				c.arrange(f)
			}
			before := len(f.openai.Received())
			r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello")))
			if c.request != nil {
				r = c.request(f)
			}
			response, body := f.do(r)
			if response.StatusCode != c.status || response.Header.Get("X-Codex-Proxy-Refusal") != c.reason {
				t.Fatalf("got %s, refusal %q, body %s; want %d %s", response.Status, response.Header.Get("X-Codex-Proxy-Refusal"), body, c.status, c.reason)
			}
			id := response.Header.Get("X-Request-Id")
			said := string(body)
			if c.status == 429 {
				said += response.Header.Get("X-Codex-Promo-Message")
				if !strings.Contains(said, `"usage_limit_reached"`) || !strings.Contains(said, `"resets_at"`) {
					t.Errorf("a 429 that Codex would not understand: %s", said)
				}
			}
			for _, want := range []string{"codex-proxy", id, c.says} {
				if !strings.Contains(strings.ReplaceAll(said, `\"`, `"`), want) {
					t.Errorf("the answer does not say %q: %s", want, said)
				}
			}
			if plain := strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain"); plain != c.plain {
				t.Errorf("Content-Type %q", response.Header.Get("Content-Type"))
			}
			for _, r := range f.openai.Received()[before:] {
				if !r.Incomplete {
					t.Errorf("upstream saw the whole request")
				}
			}
			if c.record == 0 {
				return
			}
			if c.name == "too many at once" {
				return // the other one still runs
			}
			all := f.exchanges(c.record)
			if e := all[len(all)-1]; e.Outcome != exchange.Refused || e.Refusal != c.reason || e.ErrorOrigin != exchange.OriginProxy || e.ID != id || e.Developer != "alice@example.com" || e.Usage.State != exchange.UsageNone {
				t.Errorf("on record as %+v", e)
			}
		})
	}
}

func TestOtherClientsGetRefusalsAsJSON(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{Models: []string{"gpt-4*"}}})
	r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello")))
	r.Header.Set("User-Agent", "OpenAI/Python")
	r.Header.Del("Originator")
	response, body := f.do(r)
	if response.Header.Get("Content-Type") != "application/json" || !bytes.HasPrefix(body, []byte(`{"error":`)) {
		t.Errorf("got %q %s", response.Header.Get("Content-Type"), body)
	}
}

func TestBestEffortLetsAnExchangePassUnrecordedAndCountsIt(t *testing.T) {
	f := newFixture(t, options{recorder: brokenRecorder{}, bestEffort: true})
	response, body := f.ask("hello")
	if response.StatusCode != 200 || !bytes.Contains(body, []byte("response.completed")) {
		t.Fatalf("got %s %s", response.Status, body)
	}
	if e := f.exchanges(1)[0]; e.Usage.State != exchange.UsageExact {
		t.Errorf("counted as %+v", e)
	}
}

func TestTheModelIsForwardedAsItWasJudged(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{Models: []string{"gpt-5.1*"}}})
	body := askBody(strings.Repeat("long text ", 50_000))
	response, _ := f.do(f.request("POST", "/v1/responses", bytes.NewReader(body)))
	if response.StatusCode != 200 {
		t.Fatalf("got %s", response.Status)
	}
	if got := f.openai.Received()[0]; got.BodyBytes != int64(len(body)) || !bytes.Equal(got.Body, body[:len(got.Body)]) {
		t.Errorf("upstream got %d bytes, want %d", got.BodyBytes, len(body))
	}
}

// TestNoCredentialIsKeptAnywhere searches everything that the proxy wrote.
func TestNoCredentialIsKeptAnywhere(t *testing.T) {
	f := newFixture(t, options{})
	f.ask("hello")
	f.openai.Play(simulated.Status(401))
	f.ask("hello")
	r := f.request("GET", "/v1/models?api_key="+f.token, nil)
	r.Header.Set("Cookie", "session="+f.token)
	f.do(r)
	for _, e := range f.exchanges(3) {
		f.document(e) // so that nothing moves while it is looked at
	}
	for _, secret := range []string{f.token, upstreamKey} {
		if strings.Contains(f.log.String(), secret) {
			t.Error("a credential is in the log")
		}
		err := filepath.WalkDir(f.dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) && filepath.Ext(path) == ".log" {
				return nil // all in it is settled
			}
			if err != nil {
				return err
			}
			if strings.HasSuffix(path, ".zst") {
				doc, err := record.ReadDocument(bytes.NewReader(raw))
				if err != nil {
					return err
				}
				raw = append(raw, doc.Request.URI...)
				raw = append(raw, doc.Request.Bytes()...)
				if doc.Response != nil {
					raw = append(raw, doc.Response.Bytes()...)
				}
				for _, values := range doc.Request.Header {
					raw = append(raw, strings.Join(values, ",")...)
				}
			}
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("a credential is in %s", filepath.Base(path))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
