package gateway_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/httpserver"
	"codex-proxy/internal/memory"
	"codex-proxy/internal/metrics"
	"codex-proxy/internal/policy/endpoint"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/secrets"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/sqlite"
	"codex-proxy/internal/upstream"
)

// upstreamKey is the key that only upstream may ever see.
const upstreamKey = "sk-upstream-canary-4f1d0c77"

// fixture is a whole proxy with real parts, in front of an upstream.
type fixture struct {
	t        *testing.T
	dir      string
	gateway  *gateway.Gateway
	proxy    *httptest.Server
	openai   *simulated.Server // nil when the test brought its own upstream
	upstream *url.URL
	store    *sqlite.Developers
	spool    *record.Spool
	archive  *disk.Archive
	token    string
	log      *lockedBuffer

	mu     sync.Mutex
	ledger []exchange.Exchange
	spent  int64
}

// options change what a fixture is made of.
type options struct {
	upstream      *httptest.Server
	transport     http.RoundTripper
	authenticator gateway.Authenticator
	recorder      gateway.Recorder
	bestEffort    bool
	noWebSocket   bool
	policy        *developer.Policy
	limits        func(*gateway.Limits)
	bodyIdle      time.Duration
	simulated     simulated.Options
	// secrets are the settings of the rules for secrets, as TOML.
	secrets string
	// unsearched looks for no secrets.
	unsearched bool
	// endpoints is the setting of that name.
	endpoints string
	// memory is the budget of all that is held, in bytes, and memoryWait how long
	// what finds no room in it waits.
	memory     int64
	memoryWait time.Duration
	// oldKey is the key in use until upstream refuses it.
	oldKey string
}

// conversations returns what finds secrets under the options' settings.
func (o *options) conversations(t *testing.T) *redaction.Conversations {
	t.Helper()
	if o.unsearched {
		return nil
	}
	settings := must(redaction.ParseSettings([]byte(o.secrets)))
	return redaction.NewConversations(must(redaction.New(settings, secrets.Key{1, 2, 3}, time.Now)), redaction.MaxRemembered, time.Now)
}

func newFixture(t *testing.T, o options) *fixture {
	t.Helper()
	saysItsWire(t)
	f := &fixture{t: t, dir: t.TempDir(), log: &lockedBuffer{}}
	ctx := t.Context()

	if o.upstream == nil {
		o.simulated.Key, o.simulated.Keep = upstreamKey, 100
		f.openai = simulated.New(o.simulated)
		o.upstream = startUpstream(t, f.openai)
		t.Cleanup(f.openai.Close)
	}
	f.upstream = must(url.Parse(o.upstream.URL + "/v1"))

	f.store = must(sqlite.OpenDevelopers(ctx, filepath.Join(f.dir, "developers.db")))
	t.Cleanup(func() { _ = f.store.Close() })
	f.token = f.addDeveloper("alice@example.com", "platform")
	if o.policy != nil {
		must(f.store.UpdateTeam(ctx, "platform", time.Now(), func(p *developer.Policy) error { *p = *o.policy; return nil }))
	}
	f.archive = must(disk.NewArchive(filepath.Join(f.dir, "archive")))
	f.spool = must(record.OpenSpool(filepath.Join(f.dir, "spool"), record.Options{
		Archive: f.archive,
		Ledger:  f.add,
		Quiet:   time.Millisecond,
		Log:     slog.New(slog.NewTextHandler(f.log, nil)),
	}))
	if o.authenticator == nil {
		o.authenticator = developer.NewAuthenticator(f.store, time.Now)
	}
	if o.recorder == nil {
		o.recorder = f.spool
	}
	if o.transport == nil {
		o.transport = newTransport(t)
	}
	limits := gateway.DefaultLimits()
	limits.Recheck = 20 * time.Millisecond
	if o.limits != nil {
		o.limits(&limits)
	}
	var key atomic.Pointer[upstream.Key]
	current, first := must(upstream.NewKey(upstreamKey)), must(upstream.NewKey(cmp.Or(o.oldKey, upstreamKey)))
	key.Store(&first)
	f.gateway = gateway.New(gateway.Config{
		Upstream: f.upstream, Key: func() upstream.Key { return *key.Load() }, Transport: o.transport,
		KeyRefused: func(_ context.Context, refused upstream.Key) bool {
			key.Store(&current)
			return refused != current
		},
		Endpoints:     must(endpoint.Load(o.endpoints)),
		Conversations: o.conversations(t),
		Authenticator: o.authenticator, Desk: admission.NewDesk(f, time.Now), Recorder: o.recorder,
		BestEffort: o.bestEffort, Unrecorded: func(e exchange.Exchange) { _ = f.add(ctx, []exchange.Exchange{e}) },
		Rate:   flatRate,
		Memory: memory.NewBudget(cmp.Or(o.memory, 512<<20), o.memoryWait),
		Meter:  metrics.New(f.spool.Depth), Log: slog.New(slog.NewTextHandler(f.log, nil)), Now: time.Now,
		WebSocket: !o.noWebSocket, Limits: limits,
	})
	watching, stop := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() { f.gateway.Watch(watching); close(watched) }()
	clients := httpserver.Limits{BodyIdle: cmp.Or(o.bodyIdle, time.Minute), Write: limits.Write}
	f.proxy = httptest.NewUnstartedServer(nil)
	f.proxy.Config = httpserver.New(f.gateway, clients, slog.New(slog.NewTextHandler(f.log, nil)))
	over.client.start(f.proxy)
	t.Cleanup(func() {
		f.proxy.Close()
		stop()
		<-watched
		settling, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := f.spool.Close(settling); err != nil {
			t.Errorf("close the spool: %v", err)
		}
	})
	return f
}

// flatRate prices every token at one nano.
func flatRate(model, _ string, _ time.Time, usage exchange.Usage) exchange.Cost {
	switch usage.State {
	case exchange.UsageNone:
		return exchange.Cost{State: exchange.CostNone}
	case exchange.UsageMissing:
		return exchange.Cost{State: exchange.CostUnpriced}
	}
	return exchange.Cost{State: exchange.CostPriced, Nanos: usage.Total}
}

func (f *fixture) add(_ context.Context, rows []exchange.Exchange) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ledger = append(f.ledger, rows...)
	return nil
}

// Spent makes the fixture its own ledger for budgets.
func (f *fixture) Spent(context.Context, string, string, time.Time, time.Time) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.spent, nil
}

// addDeveloper adds a developer and returns their token.
func (f *fixture) addDeveloper(id, team string) string {
	f.t.Helper()
	now := time.Now()
	token, credential, err := developer.Issue(rand.Reader, id, "", now, time.Time{})
	if err != nil {
		f.t.Fatal(err)
	}
	d := must(developer.New(id, "", team, now))
	if err := f.store.AddDeveloper(f.t.Context(), d, credential); err != nil {
		f.t.Fatal(err)
	}
	return token.Reveal()
}

// setEnabled enables or disables a developer.
func (f *fixture) setEnabled(id string, enabled bool) {
	f.t.Helper()
	must(f.store.UpdateDeveloper(f.t.Context(), id, func(d *developer.Developer) error { d.Enabled = enabled; return nil }))
}

// request builds a request to the proxy with alice's token, as Codex sends it.
func (f *fixture) request(method, path string, body io.Reader) *http.Request {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.proxy.URL+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.token)
	r.Header.Set("User-Agent", "codex_exec/0.169.0 (Debian)")
	r.Header.Set("Originator", "codex_exec")
	r.Header.Set("Session-Id", "0198a000-0000-7000-8000-000000000001")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// do sends a request and reads the whole answer.
func (f *fixture) do(r *http.Request) (*http.Response, []byte) {
	f.t.Helper()
	response, err := f.proxy.Client().Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatalf("read the answer: %v; log:\n%s", err, f.log.String())
	}
	return response, body
}

// ask sends a streamed request to /v1/responses.
func (f *fixture) ask(prompt string) (*http.Response, []byte) {
	f.t.Helper()
	return f.do(f.request("POST", "/v1/responses", bytes.NewReader(askBody(prompt))))
}

func askBody(prompt string) []byte {
	return []byte(`{"model":"gpt-5.1-codex","stream":true,"store":false,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"` + prompt + `"}]}]}`)
}

// exchanges waits until n exchanges are settled and returns them in the order
// in which they began.
func (f *fixture) exchanges(n int) []exchange.Exchange {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		f.mu.Lock()
		got := append([]exchange.Exchange(nil), f.ledger...)
		f.mu.Unlock()
		if len(got) >= n {
			if len(got) > n {
				f.t.Fatalf("%d exchanges were settled, want %d", len(got), n)
			}
			slices.SortFunc(got, func(a, b exchange.Exchange) int { return a.Started.Compare(b.Started) })
			return got
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d exchanges were settled, want %d; log:\n%s", len(got), n, f.log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// document waits for the record of an exchange and reads it.
func (f *fixture) document(e exchange.Exchange) *record.Document {
	f.t.Helper()
	var reader io.ReadCloser
	err := fs.ErrNotExist
	for deadline := time.Now().Add(20 * time.Second); errors.Is(err, fs.ErrNotExist) && time.Now().Before(deadline); {
		reader, err = f.archive.Get(f.t.Context(), record.Key(e))
		time.Sleep(2 * time.Millisecond)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	defer reader.Close()
	return must(record.ReadDocument(reader))
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
