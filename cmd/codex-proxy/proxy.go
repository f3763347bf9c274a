package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"codex-proxy/internal/admission"
	web "codex-proxy/internal/console"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/httpserver"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/metrics"
	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/onboard/script"
	"codex-proxy/internal/policy/endpoint"
	"codex-proxy/internal/readiness"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/upstream"
)

// proxy is the whole product, assembled: every part once, wired as the settings
// say.
type proxy struct {
	log      *slog.Logger
	upstream *url.URL
	now      func() time.Time

	developers register
	ledger     books
	spool      *record.Spool
	openings   *record.Openings // nil unless what begins is noted beside the archive
	book       *ledger.Book
	lastUsed   *developer.Recorder
	gateway    *gateway.Gateway
	metrics    *metrics.Metrics
	scripts    http.Handler
	invites    http.Handler
	signIn     http.Handler
	console    http.Handler // nil where there is none
	clients    httpserver.Limits
	readiness  *readiness.Watch
	options    proxyOptions

	stop    context.CancelFunc
	running sync.WaitGroup
}

// proxyOptions are what serve and demo differ in.
type proxyOptions struct {
	upstream *url.URL
	key      func() upstream.Key
	// keyRefused tells of a key that upstream refused; nil where there is no other.
	keyRefused func(ctx context.Context, key upstream.Key) bool
	// fleeting says that the data directory goes with the process.
	fleeting bool
	// meter makes what the gateway counts with of the metrics; nil takes them as
	// they are.
	meter func(*metrics.Metrics) gateway.Meter
	log   *slog.Logger
	now   func() time.Time
}

// openProxy opens every part, closes what an earlier run left open, and starts
// what runs beside the exchanges. Close ends it.
func openProxy(c *console, s *serverSettings, o proxyOptions) (_ *proxy, err error) {
	p := &proxy{log: o.log, upstream: o.upstream, now: o.now, options: o}
	p.clients = httpserver.Limits{BodyIdle: s.BodyIdle, Write: s.WriteTimeout}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.closeStores())
		}
	}()
	if s.PublicURL != "" {
		if s.PublicURL, err = script.ParseURL(s.PublicURL); err != nil {
			return nil, misuse("--public-url: %v", err)
		}
	}
	if err := s.checkMemory(); err != nil {
		return nil, err
	}
	endpoints, err := endpoint.Load(s.Endpoints)
	if err != nil {
		return nil, misuse("--endpoints: %v", err)
	}
	providerName, err := s.providerName(o.upstream)
	if err != nil {
		return nil, err
	}
	p.scripts = script.Handler(script.Config{
		PublicURL: s.PublicURL, WebSocket: s.WebSocket == "on", ProviderName: providerName, Version: version,
	})
	if p.book, err = c.settings.priceBook(); err != nil {
		return nil, err
	}
	if p.developers, err = c.settings.openDevelopers(c.ctx, own); err != nil {
		return nil, err
	}
	p.invites = invite.Handler(invite.Config{Store: p.developers, PublicURL: s.PublicURL, Now: o.now, Log: o.log})
	signIn, err := p.openSignIn(c.ctx, c.settings)
	if err != nil {
		return nil, err
	}
	keeper, err := c.settings.keepSecretRules(c.ctx, p.developers, o.now, o.log)
	if err != nil {
		return nil, err
	}
	rules, err := keeper.open(c.ctx, true)
	if err != nil {
		return nil, err
	}
	conversations := redaction.NewConversations(rules, int(s.maxMemory()/conversationsPart), o.now)
	if p.ledger, err = c.settings.openLedger(c.ctx, own); err != nil {
		return nil, err
	}
	archive, err := c.settings.openArchive(c.ctx, own)
	if err != nil {
		return nil, err
	}
	// The spool's lock says that no other process writes here.
	noted := &notedArchive{Archive: archive, now: o.now}
	options := record.Options{Archive: noted, Ledger: p.ledger.Add, Log: o.log, BacklogBytes: int(s.maxMemory() / backlogPart)}
	if bucket, ok := archive.(record.OpeningStore); ok {
		p.openings = record.NewOpenings(bucket)
	}
	if o.fleeting {
		options.Openings, options.Quiet = p.openings, time.Millisecond // for nothing else runs beside an exchange
	}
	if p.spool, err = record.OpenSpool(c.settings.spoolDirectory(), options); err != nil {
		return nil, err
	}
	if err := cleanArchive(archive); err != nil {
		return nil, err
	}
	interrupted, err := p.spool.Recover(c.ctx, func(e *exchange.Exchange, request, response io.Reader) {
		gateway.Recovered(e, request, response)
		e.Cost = p.book.Rate(e.Model, e.Tier, e.Started, e.Usage)
	})
	if err != nil {
		return nil, err
	}
	if interrupted > 0 {
		o.log.Warn("exchanges that the last run left open are closed as interrupted", "count", interrupted)
	}
	p.lastUsed = developer.NewRecorder(p.developers)
	p.metrics = metrics.New(p.spool.Depth)
	var meter gateway.Meter = p.metrics
	if o.meter != nil {
		meter = o.meter(p.metrics)
	}
	p.gateway = gateway.New(gateway.Config{
		Upstream: o.upstream, Key: o.key, KeyRefused: o.keyRefused,
		Transport:     upstream.NewTransport(upstream.TransportOptions{AnswerTimeout: s.AnswerIdle}),
		Endpoints:     endpoints,
		Conversations: conversations,
		Authenticator: &authenticator{developer.NewAuthenticator(p.developers, o.now), p.lastUsed, o.now},
		Desk:          admission.NewDesk(p.ledger, o.now),
		Recorder:      p.spool, BestEffort: s.Audit == "best-effort", Unrecorded: p.countUnrecorded,
		Memory: s.memory(), Rate: p.book.Rate, Meter: meter, Log: o.log, Now: o.now,
		WebSocket: s.WebSocket == "on", Limits: s.limits(),
	})

	if s.Console == "on" {
		signingIn := &authenticator{developer.NewAuthenticator(p.developers, o.now), p.lastUsed, o.now}
		if p.console, err = p.openConsole(c, archive, s.PublicURL, signingIn); err != nil {
			return nil, err
		}
	}

	if p.readiness, err = p.watchReadiness(c.settings, noted); err != nil {
		return nil, err
	}
	p.readiness.Ask(c.ctx)

	background, stop := context.WithCancel(context.WithoutCancel(c.ctx))
	p.stop = stop
	p.running.Go(func() { p.gateway.Watch(background) })
	p.running.Go(func() { p.readiness.Run(background) })
	p.running.Go(func() { keeper.follow(background, conversations) })
	p.running.Go(func() {
		p.lastUsed.Run(background, func(err error) { o.log.Warn("last use of tokens is not written down", "error", err) })
	})
	if p.openings != nil && !o.fleeting {
		p.running.Go(func() { p.sweepAlways(background) })
	}
	if signIn != nil {
		p.running.Go(func() { checkIssuer(background, signIn, o.log) })
	}
	return p, nil
}

// countUnrecorded counts an exchange that has no record (--audit=best-effort).
func (p *proxy) countUnrecorded(e exchange.Exchange) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.ledger.Add(ctx, []exchange.Exchange{e}); err != nil {
		p.log.Error("exchange is neither recorded nor counted", "id", e.ID, "error", err)
	}
}

// longestFleeting is how long a function that carries an exchange may live, and some
// more for clocks that differ.
const longestFleeting = 16 * time.Minute

// sweepEvery is how often exchanges are looked for that a function left open.
const sweepEvery = 5 * time.Minute

// sweepAlways sweeps from time to time, until ctx ends.
func (p *proxy) sweepAlways(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.sweep(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// sweep closes, as interrupted, exchanges that a function has begun and never ended.
func (p *proxy) sweep(ctx context.Context) {
	interrupted, err := p.openings.Sweep(ctx, record.Sweep{
		Before: p.now().Add(-longestFleeting), Count: p.ledger.Add, Log: p.log,
		Finish: func(e *exchange.Exchange, request io.Reader) {
			gateway.Recovered(e, request, strings.NewReader(""))
			e.Cost = p.book.Rate(e.Model, e.Tier, e.Started, e.Usage)
		},
	})
	if err != nil && ctx.Err() == nil {
		p.log.Error("exchanges that a function left open cannot be closed just now", "error", err)
	}
	if interrupted > 0 {
		p.log.Warn("exchanges that a function left open are closed as interrupted", "count", interrupted)
	}
}

// Close settles what is on record and closes every part.
func (p *proxy) Close(ctx context.Context) error {
	p.stop()
	p.running.Wait()
	err := p.spool.Close(ctx)
	p.spool = nil // closed
	return errors.Join(err, p.closeStores())
}

func (p *proxy) closeStores() error {
	var errs []error
	if p.spool != nil {
		errs = append(errs, p.spool.Close(context.Background()))
	}
	if p.ledger != nil {
		errs = append(errs, p.ledger.Close())
	}
	if p.developers != nil {
		errs = append(errs, p.developers.Close())
	}
	return errors.Join(errs...)
}

// handler routes between the proxy's own pages and upstream.
func (p *proxy) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.Handle("GET /readyz", p.readiness)
	mux.Handle("GET /metrics", p.metrics.Handler())
	mux.HandleFunc("GET /whoami", p.gateway.Whoami)
	for _, path := range script.Paths {
		mux.Handle(path, p.scripts)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if invite.Owns(r.URL.Path) {
			p.invites.ServeHTTP(w, r)
			return
		}
		if p.console != nil && web.Owns(r.URL.Path) {
			p.console.ServeHTTP(w, r)
			return
		}
		switch r.URL.Path {
		case "/healthz", "/readyz", "/metrics", "/whoami", "/setup.sh", "/setup.ps1", "/setup.json":
			mux.ServeHTTP(w, r)
		case "/oidc.json", "/oidc/token":
			p.signIn.ServeHTTP(w, r)
		default: // not through the mux, which would redirect paths that it cleans
			p.gateway.ServeHTTP(w, r)
		}
	})
}

// add adds a developer and returns their first token.
func (p *proxy) add(ctx context.Context, id, name, team string) (token string, err error) {
	d, err := developer.New(id, name, team, p.now())
	if err != nil {
		return "", err
	}
	secret, credential, err := developer.Issue(rand.Reader, id, "demo", p.now(), time.Time{})
	if err != nil {
		return "", err
	}
	if err := p.developers.AddDeveloper(ctx, d, credential); err != nil {
		return "", fmt.Errorf("add the developer %s: %w", id, err)
	}
	return secret.Reveal(), nil
}

// issue gives a developer, who is added if missing, one more token.
func (p *proxy) issue(ctx context.Context, id string) (token string, err error) {
	token, err = p.add(ctx, id, "", developer.DefaultTeam)
	if !errors.Is(err, developer.ErrExists) {
		return token, err
	}
	secret, credential, err := developer.Issue(rand.Reader, id, "demo", p.now(), time.Time{})
	if err != nil {
		return "", err
	}
	if err := p.developers.AddToken(ctx, credential); err != nil {
		return "", fmt.Errorf("issue a token for %s: %w", id, err)
	}
	return secret.Reveal(), nil
}

// authenticator notes when tokens are used.
type authenticator struct {
	*developer.Authenticator
	lastUsed *developer.Recorder
	now      func() time.Time
}

// Authenticate tells whose the bearer is, and that it was used now.
func (a *authenticator) Authenticate(ctx context.Context, bearer string) (developer.Identity, error) {
	who, err := a.Authenticator.Authenticate(ctx, bearer)
	if err == nil {
		a.lastUsed.Touch(who.TokenID, a.now())
	}
	return who, err
}
