package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"time"

	"codex-proxy/internal/gateway"
	"codex-proxy/internal/httpserver"
	"codex-proxy/internal/memory"
	"codex-proxy/internal/onboard/script"
	"codex-proxy/internal/upstream"
)

// serveCommand runs the proxy.
type serveCommand struct {
	serverSettings
	upstreamSettings

	CreateTables bool `help:"With --store=dynamodb: make the tables that are missing. They are on demand; point-in-time recovery is for you to switch on."`
}

// serverSettings are those that serve and demo have in common.
type serverSettings struct {
	Listen    string `help:"Address to listen on." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	PublicURL string `help:"Address that developers reach this proxy at, put into the setup scripts that it serves. Without it, each request's own Host and TLS say it; so set it where something in front of the proxy ends TLS." placeholder:"URL"`
	TLSCert   string `help:"Certificate file (PEM) to serve HTTPS with; needs --tls-key." placeholder:"FILE"`
	TLSKey    string `help:"Private key file (PEM) of --tls-cert." placeholder:"FILE"`
	Audit     string `help:"What to do with an exchange that cannot be put on record: refuse it (required), or let it pass (best-effort)." enum:"required,best-effort" default:"required"`
	Endpoints string `help:"Endpoints that developers may use: what Codex needs (codex), whatever the upstream knows (all), or those that a file lists, one 'METHOD[,METHOD] /path' a line." default:"codex" placeholder:"codex|all|FILE"`
	WebSocket string `name:"websocket" help:"Carry Codex's WebSocket, or answer 426 so that it uses plain HTTP." enum:"on,off" default:"on"`
	Console   string `help:"Serve the console under /console/ and its API under /api/v1/." enum:"on,off" default:"on"`

	ProviderName string `help:"Name that Codex's provider gets from the setup scripts and 'codex-proxy setup'. Only as OpenAI does it search the web, and let OpenAI compact sessions. By default OpenAI where --upstream is OpenAI's API, else codex-proxy." placeholder:"NAME"`

	MaxBody         int64         `help:"Largest request body, in MiB, as sent and as decoded." default:"512" placeholder:"MIB"`
	MaxFrame        int64         `help:"Largest WebSocket message, in MiB." default:"64" placeholder:"MIB"`
	MaxSockets      int           `help:"Most WebSockets that one token may have open at once; 0 is no bound. At the limit the one that was idle for longest is closed, or, if all are at work, a new one is answered 426, so that Codex uses plain HTTP." default:"256" placeholder:"COUNT"`
	MaxSearch       int64         `help:"Largest request body that is searched for secrets, in MiB, as sent and as decoded; a larger one is refused, unless secrets are only reported." default:"64" placeholder:"MIB"`
	MaxMemory       int64         `help:"Most memory for all requests together, in MiB: bodies, messages and events that are held (five eighths), conversations that are remembered (a quarter), and what waits to be written to the log (an eighth). What finds no room waits for 10 s and is then refused with 503." default:"512" placeholder:"MIB"`
	BodyIdle        time.Duration `help:"Longest pause within a request body." default:"1m" placeholder:"DURATION"`
	AnswerIdle      time.Duration `help:"Longest pause within an answer, and longest silence of a WebSocket." default:"15m" placeholder:"DURATION"`
	WriteTimeout    time.Duration `help:"Longest time a client may take to accept one piece of an answer." default:"1m" placeholder:"DURATION"`
	ShutdownTimeout time.Duration `help:"How long running streams may go on after SIGTERM." default:"5m" placeholder:"DURATION"`
	LogFormat       string        `help:"Form of the log on standard error." enum:"text,json" default:"text"`
	LogLevel        string        `help:"Least severe log entries that are printed." enum:"debug,info,warn,error" default:"info"`
}

// providerName is the name that Codex's provider gets: the one that was set, else
// OpenAI's where that is upstream. Others lack what Codex asks of OpenAI, and a
// session that cannot be compacted is lost.
func (s *serverSettings) providerName(address *url.URL) (string, error) {
	switch {
	case s.ProviderName != "":
		if err := script.CheckProviderName(s.ProviderName); err != nil {
			return "", misuse("--provider-name: %v", err)
		}
		return s.ProviderName, nil
	case upstream.IsOpenAI(address):
		return script.OpenAI, nil
	}
	return script.AnyProvider, nil
}

// limits returns the gateway's limits.
func (s *serverSettings) limits() gateway.Limits {
	limits := gateway.DefaultLimits()
	limits.Body, limits.Frame, limits.Search = s.MaxBody<<20, s.MaxFrame<<20, s.MaxSearch<<20
	limits.Sockets = s.MaxSockets
	limits.AnswerIdle, limits.Write = s.AnswerIdle, s.WriteTimeout
	return limits
}

// What of the memory for all requests is for the conversations that are remembered
// and for what waits to be written to the log; the rest is for what is held.
const (
	conversationsPart = 4
	backlogPart       = 8
)

// maxMemory returns the memory for all requests together, in bytes.
func (s *serverSettings) maxMemory() int64 { return s.MaxMemory << 20 }

// memory returns the budget of the bodies, messages and events that are held.
func (s *serverSettings) memory() *memory.Budget {
	const patience = 10 * time.Second // Codex rides out 25 s of refusals
	all := s.maxMemory()
	return memory.NewBudget(all-all/conversationsPart-all/backlogPart, patience)
}

// checkMemory says what is wrong where one request alone could not be held: as it
// was sent, decoded, and without its secrets.
func (s *serverSettings) checkMemory() error {
	if most := max(3*s.MaxSearch, s.MaxFrame); s.memory().Limit() < most<<20 {
		return misuse("--max-memory %d leaves too little for one request of --max-search %d or --max-frame %d: give at least %d",
			s.MaxMemory, s.MaxSearch, s.MaxFrame, (most*8+4)/5)
	}
	return nil
}

func (s *serverSettings) logger(c *console) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // the enum allows nothing else
	options := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(c.stderr, options))
	}
	return slog.New(slog.NewTextHandler(c.stderr, options))
}

func (cmd *serveCommand) Run(c *console) error {
	defer runtime.KeepAlive(heapFloor())
	log := cmd.logger(c)
	if err := c.settings.checkTables(c.ctx); err != nil {
		return err
	}
	options, err := cmd.open(c, log)
	if err != nil {
		return err
	}
	if cmd.CreateTables {
		if err := c.settings.createTables(c.ctx); err != nil {
			return err
		}
	}
	p, err := openProxy(c, &cmd.serverSettings, options)
	if err != nil {
		return err
	}
	listener, err := cmd.listen(c.ctx)
	if err != nil {
		return errors.Join(err, p.Close(c.ctx))
	}
	if err := p.offerConsole(c, &cmd.serverSettings, listener.Addr()); err != nil {
		return errors.Join(err, listener.Close(), p.Close(c.ctx))
	}
	return p.serve(c.ctx, listener, cmd.ShutdownTimeout)
}

// listen opens the listener, with TLS where the settings name a certificate.
func (s *serverSettings) listen(ctx context.Context) (net.Listener, error) {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return nil, misuse("--tls-cert and --tls-key go together")
	}
	config := net.ListenConfig{Control: limitSendBuffer}
	listener, err := config.Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (choose another address with --listen)", s.Listen, err)
	}
	if s.TLSCert == "" {
		return listener, nil
	}
	certificates := &certificateFiles{cert: s.TLSCert, key: s.TLSKey}
	if _, err := certificates.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("load the TLS certificate: %w", err), listener.Close())
	}
	return tls.NewListener(listener, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: certificates.get,
	}), nil
}

// serve answers on listener until ctx ends, then lets running streams finish
// for at most grace, and settles what is on record.
func (p *proxy) serve(ctx context.Context, listener net.Listener, grace time.Duration) error {
	// A goroutine that waits for a disk flush keeps its place among those that
	// run until the scheduler notices, up to 10 ms later. With one place, on a
	// machine of one core, every stream would wait for that.
	if runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
	server := httpserver.New(p.handler(), p.clients, p.log)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	p.log.Info("codex-proxy is serving", "address", listener.Addr().String(), "upstream", p.upstream.String(), "version", version)

	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), p.Close(context.WithoutCancel(ctx)))
	case <-ctx.Done():
	}
	p.log.Info("shutting down; running streams may finish", "limit", grace)
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	drained := make(chan struct{})
	go func() { p.gateway.Drain(draining); close(drained) }()
	err := server.Shutdown(draining)
	if err != nil {
		p.log.Warn("streams that did not finish in time are ended")
		p.gateway.Abort()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = server.Shutdown(last)
	}
	<-drained
	if err != nil {
		err = errors.Join(fmt.Errorf("shut down: %w", err), server.Close())
	}
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(err, p.Close(settling))
}
