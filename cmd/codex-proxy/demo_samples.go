package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/metrics"
	"codex-proxy/internal/simulated"
)

// sampleDeveloper is one of those that the sample exchanges belong to.
type sampleDeveloper struct {
	id, name, team string
	client         sampleClient
	repo           string
	things         []string // what the stories are about, in turn
	models         []string
	stories        []string
	// strays is a model that they try now and then, and that their team may not use.
	strays string
}

// sampleClient is how their Codex presents itself.
type sampleClient struct{ originator, agent, sandbox string }

var (
	onMac    = sampleClient{"codex_cli_rs", "codex_cli_rs/0.169.0 (Mac OS 26.1.0; arm64) iTerm.app/3.6.6", "seatbelt"}
	onLinux  = sampleClient{"codex_cli_rs", "codex_cli_rs/0.169.0 (Ubuntu 24.4.0; x86_64) tmux/3.4", "seccomp"}
	onDebian = sampleClient{"codex_cli_rs", "codex_cli_rs/0.166.1 (Debian 12.0.0; x86_64) xterm-256color", "seccomp"}
	inEditor = sampleClient{"codex_vscode", "codex_vscode/0.168.0 (Mac OS 26.0.1; arm64) vscode/1.126.0", "seatbelt"}
	inCI     = sampleClient{"codex_exec", "codex_exec/0.169.0 (Debian 12.0.0; x86_64) xterm (codex_exec; 0.169.0)", "seccomp"}
)

// demoDevelopers are all of them. The first is whose token the demo prints.
var demoDevelopers = []*sampleDeveloper{
	{
		id: "alice@example.com", name: "Alice", team: "platform", client: onMac, repo: "uploader", things: []string{"session", "quota", "route"},
		models: []string{"gpt-6.2-sol", "gpt-6.1-sol"}, stories: []string{"denied", "race", "release", "retry"},
	},
	{
		id: "bob@example.com", name: "Bob", team: "platform", client: onLinux, repo: "dispatcher", things: []string{"route", "lease"},
		models: []string{"gpt-6.1-sol"}, stories: []string{"retry", "rename", "race", "release"},
	},
	{
		id: "carol@example.com", name: "Carol", team: "research", client: onDebian, repo: "forecast", things: []string{"load", "weather", "tariff"},
		models: []string{"gpt-6.1-terra", "gpt-6.2-astra"}, stories: []string{"notebook", "release", "rename"},
	},
	{
		id: "dave@example.com", name: "Dave", team: "payments", client: onMac, repo: "ledger", things: []string{"invoice", "refund"},
		models: []string{"gpt-6.1-sol", "gpt-6.1-terra"}, stories: []string{"slow", "race", "denied"}, strays: "gpt-6.2-astra",
	},
	{
		id: "erin@example.com", name: "Erin", team: "platform", client: inCI, repo: "uploader", things: []string{"quota", "session"},
		models: []string{"gpt-5.1-codex"}, stories: []string{"race", "retry"},
	},
	{
		id: "frank@example.com", name: "Frank", team: "research", client: inEditor, repo: "forecast", things: []string{"weather", "load"},
		models: []string{"gpt-6.2-sol"}, stories: []string{"notebook", "rename"},
	},
	{
		id: "grace@example.com", name: "Grace", team: "payments", client: inEditor, repo: "checkout", things: []string{"basket", "voucher"},
		models: []string{"gpt-6.1-sol"}, stories: []string{"rename", "release", "retry"},
	},
	{
		id: "heidi@example.com", name: "Heidi", team: "payments", client: onLinux, repo: "ledger", things: []string{"refund", "invoice"},
		models: []string{"gpt-6.1-terra"}, stories: []string{"slow", "retry", "rename"},
	},
}

// demoTeams counts the teams that the developers are in.
func demoTeams() int {
	teams := map[string]bool{}
	for _, d := range demoDevelopers {
		teams[d.team] = true
	}
	return len(teams)
}

// demoPolicies are the teams' that have one.
var demoPolicies = map[string]developer.Policy{
	"payments": {
		Models: []string{"gpt-6.1-*", "gpt-6.2-sol"}, DeveloperBudgetNanos: 1.5e9, TeamBudgetNanos: 3e9, // 1.50 and 3 USD
		Contact: "Grace (grace@example.com)",
	},
}

// demoDays is how many days back the sample exchanges begin: two weeks, so that one can
// be compared with the one before.
const demoDays = 14

// troubles are what goes wrong, in turn, in one of so many sessions. Codex, or the
// developer, then tries again.
var troubles = []struct {
	answer simulated.Answer
	most   int // how many events are read before the developer stops it; 0 is all
}{
	{answer: simulated.Status(http.StatusTooManyRequests)},
	{answer: simulated.Cut("I have looked at the failing test and at the code that it covers. The cause seems to be in the way the", 14)},
	{answer: simulated.Stall("Before I change anything I would like to read all of the packages that import this one, and then their tests, and then", 18), most: 12},
	{answer: simulated.Status(http.StatusInternalServerError)},
	{answer: simulated.Fail("server_error", "The server had an error processing your request. Sorry about that!")},
}

const troubleEvery = 8 // sessions

// appointment is when a sample developer begins a session.
type appointment struct {
	who *sampleDeveloper
	at  time.Time
	n   int // how many sessions they had before
}

// appointments are the sessions of the last days, the earliest first: on a weekday most
// developers have one or two, in the second week more than in the first; at a weekend
// somebody has one.
func appointments(now time.Time) []appointment {
	now = now.UTC()
	random := rand.New(rand.NewPCG(8, 0))
	today := now.Truncate(24 * time.Hour)
	var all []appointment
	for day := demoDays; day >= 0; day-- {
		midnight := today.AddDate(0, 0, -day)
		weekend := midnight.Weekday() == time.Saturday || midnight.Weekday() == time.Sunday
		for i, d := range demoDevelopers {
			for half := range 2 { // of the day
				comes := random.Float64() < []float64{0.48, 0.34}[half]-0.008*float64(day)
				if weekend {
					comes = half == 0 && i == day%len(demoDevelopers)
				}
				at := midnight.Add(time.Duration((8 + 4.75*float64(half) + 4.5*random.Float64()) * float64(time.Hour)))
				if comes && now.Sub(at) > 2*time.Hour {
					all = append(all, appointment{who: d, at: at})
				}
			}
		}
	}
	// And whatever day and hour it is, a few of the last hours.
	for i, ago := range []time.Duration{250 * time.Minute, 155 * time.Minute, 98 * time.Minute, 71 * time.Minute, 44 * time.Minute, 27 * time.Minute} {
		all = append(all, appointment{who: demoDevelopers[(i*3)%len(demoDevelopers)], at: now.Add(-ago)})
	}
	slices.SortStableFunc(all, func(a, b appointment) int { return a.at.Compare(b.at) })
	had := map[string]int{}
	for i := range all {
		all[i].n = had[all[i].who.id]
		had[all[i].who.id]++
	}
	return all
}

// sampler sends the exchanges of the past, one after the other, through a proxy whose
// clock it sets.
type sampler struct {
	clock   demoClock
	stage   *stage
	ended   chan struct{}
	random  *rand.Rand
	tokens  map[string]string
	address string
	sent    int // sessions
}

// seed adds the developers and sends their exchanges, and returns the sessions that
// are not over yet. It does nothing when the developers exist.
func (cmd *demoCommand) seed(c *console, log *slog.Logger, upstream *url.URL, stage *stage) (unfinished []*sampleSession, err error) {
	s := &sampler{stage: stage, ended: make(chan struct{}, 1), random: rand.New(rand.NewPCG(8, 1)), tokens: map[string]string{}}
	now := time.Now()
	s.clock.set(now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -demoDays))
	p, err := openProxy(c, &cmd.serverSettings, proxyOptions{
		upstream: upstream, key: noKey, log: quieter(log), now: s.clock.now,
		meter: func(m *metrics.Metrics) gateway.Meter { return endings{m, s.ended} },
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close(c.ctx)) }()
	if isNew, err := s.addDevelopers(c.ctx, p); !isNew {
		return nil, err
	}
	fmt.Fprintf(c.stderr, "Sending %d days of sample exchanges through the proxy …\n", demoDays)
	front, stop, err := listenLocally(c.ctx, p.handler())
	if err != nil {
		return nil, err
	}
	defer stop()
	s.address = front.Host
	for _, a := range appointments(now) {
		if err := s.hold(c.ctx, a); err != nil {
			return nil, err
		}
	}
	return s.leaveOpen(c.ctx, now)
}

// listenLocally serves on a free loopback port.
func listenLocally(ctx context.Context, handler http.Handler) (address *url.URL, stop func(), err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = server.Serve(listener) }() // ends with Close below
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}, func() { _ = server.Close() }, nil
}

// addDevelopers adds the developers and what their teams may, and reports whether they
// are new here.
func (s *sampler) addDevelopers(ctx context.Context, p *proxy) (isNew bool, err error) {
	for _, d := range demoDevelopers {
		token, err := p.add(ctx, d.id, d.name, d.team)
		if errors.Is(err, developer.ErrExists) {
			return false, nil // a demo that was here before
		}
		if err != nil {
			return false, err
		}
		s.tokens[d.id] = token
	}
	for team, policy := range demoPolicies {
		if _, err := p.developers.UpdateTeam(ctx, team, p.now(), func(p *developer.Policy) error { *p = policy; return nil }); err != nil {
			return false, fmt.Errorf("set the policy of the team %s: %w", team, err)
		}
	}
	return true, nil
}

// hold has one session, from its beginning to its end.
func (s *sampler) hold(ctx context.Context, a appointment) error {
	s.clock.set(a.at)
	session := newSession(a.who, s.tokens[a.who.id], a.who.stories[a.n%len(a.who.stories)], a.n, a.at)
	s.stage.enter(session)
	defer s.stage.leave(session)
	s.sent++
	goesWrong := -1 // which scene does
	if s.sent%troubleEvery == 0 {
		goesWrong = 1 + s.sent/troubleEvery%3
	}
	for i := 0; len(session.scenes) > 0; i++ {
		s.pass(session.scenes[0])
		session.begin(s.clock.now())
		if i == 0 && a.who.strays != "" && a.n%3 == 1 {
			if _, err := s.send(ctx, session, a.who.strays, simulated.Answer{}, 0); err != nil {
				return err
			}
			s.clock.advance(20 * time.Second)
		}
		if i == goesWrong {
			trouble := troubles[s.sent/troubleEvery%len(troubles)]
			if _, err := s.send(ctx, session, session.model, trouble.answer, trouble.most); err != nil {
				return err
			}
			s.clock.advance(5 * time.Second)
		}
		if whole, err := s.send(ctx, session, session.model, session.answer(), 0); !whole {
			return err
		}
	}
	return nil
}

// leaveOpen begins the sessions that go on while the demo runs.
func (s *sampler) leaveOpen(ctx context.Context, now time.Time) (unfinished []*sampleSession, err error) {
	for i, d := range demoWorkers() {
		s.clock.set(now.Add(-time.Duration(16-5*i) * time.Minute))
		session := newSession(d, s.tokens[d.id], d.stories[len(d.stories)-2], i, s.clock.now())
		s.stage.enter(session)
		for half := len(session.scenes) / 2; len(session.scenes) > half; {
			s.pass(session.scenes[0])
			session.begin(s.clock.now())
			if whole, err := s.send(ctx, session, session.model, session.answer(), 0); !whole {
				return nil, err
			}
		}
		unfinished = append(unfinished, session)
	}
	return unfinished, nil
}

// pass lets the time pass before a scene: the developer thinks, or a tool runs.
func (s *sampler) pass(next scene) {
	if next.byUser() {
		s.clock.advance(time.Duration(40+s.random.IntN(260)) * time.Second)
		return
	}
	for _, l := range next.asked {
		seconds, _ := l.took()
		s.clock.advance(time.Duration(seconds * float64(time.Second)))
	}
	s.clock.advance(time.Duration(200+s.random.IntN(600)) * time.Millisecond)
	if s.random.IntN(4) == 0 { // the developer was asked first
		s.clock.advance(time.Duration(5+s.random.IntN(60)) * time.Second)
	}
}

// send sends a session's next request, gets the given answer or most events of it, and
// waits until the proxy is through with it.
func (s *sampler) send(ctx context.Context, session *sampleSession, model string, answer simulated.Answer, most int) (whole bool, err error) {
	words := len(answer.Reasoning) + len(answer.Text)
	for _, call := range answer.Calls {
		words += len(call.Command) + len(call.Input)
	}
	// The first byte comes after one to eight seconds, mostly early; a word is about six
	// bytes, and 15 to 35 of them come in a second.
	waiting := time.Duration((1 + 7*math.Pow(s.random.Float64(), 3)) * float64(time.Second))
	writing := time.Duration((1 + float64(words)/6/(15+20*s.random.Float64())) * float64(time.Second))
	session.take = newTake(&s.clock, waiting, writing)
	if model == session.model {
		session.openai.Play(answer)
	}
	if most == 0 {
		most = math.MaxInt
	}
	whole, err = session.send(ctx, s.address, model, most)
	if err != nil {
		return false, err
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return whole, nil
}

// quieter passes errors only: the sample exchanges would fill the screen otherwise.
func quieter(log *slog.Logger) *slog.Logger {
	return slog.New(levelHandler{log.Handler()})
}

type levelHandler struct{ slog.Handler }

func (levelHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}
