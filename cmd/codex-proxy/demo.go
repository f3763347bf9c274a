package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	web "codex-proxy/internal/console"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/upstream"
)

// demoCommand runs the whole product without a key: a simulated OpenAI, sample
// developers, and a few days of exchanges that really went through the proxy.
type demoCommand struct {
	serverSettings
	Pace time.Duration `help:"Pause between the words of the simulated OpenAI." default:"25ms" placeholder:"DURATION"`
	Seed bool          `help:"Fill an empty data directory with a few days of sample exchanges." default:"true" negatable:""`
}

// Help is the long form of the command's help.
func (*demoCommand) Help() string {
	return "Local state goes to ./demo-data unless --data says otherwise; delete it to begin afresh. Ask for a fault in a prompt to see how it looks: 'simulate: 429', 'simulate: cut', 'simulate: slow', 'simulate: tools'."
}

// demoDevelopers are who the sample exchanges belong to.
var demoDevelopers = []struct{ id, name, team string }{
	{"alice@example.com", "Alice", "platform"},
	{"bob@example.com", "Bob", "platform"},
	{"carol@example.com", "Carol", "research"},
}

// demoDays is how many days back the sample exchanges begin.
const demoDays = 4

func (cmd *demoCommand) Run(c *console) error {
	if c.settings.Data == defaultData {
		c.settings.Data = "demo-data"
	}
	log := cmd.logger(c)
	paced, address, err := simulate(c.ctx, simulated.Options{Pace: cmd.Pace})
	if err != nil {
		return err
	}
	defer paced()

	if cmd.Seed {
		if err := cmd.seed(c, log); err != nil {
			return fmt.Errorf("make the sample exchanges: %w", err)
		}
	}
	p, err := openProxy(c, &cmd.serverSettings, proxyOptions{
		upstream: address, key: noKey, log: log, now: time.Now,
	})
	if err != nil {
		return err
	}
	token, err := p.issue(c.ctx, demoDevelopers[0].id)
	if err != nil {
		return errors.Join(err, p.Close(c.ctx))
	}
	listener, err := cmd.listen(c.ctx)
	if err != nil {
		return errors.Join(err, p.Close(c.ctx))
	}
	credential, err := web.People{Store: p.developers, Now: time.Now}.Reset(c.ctx, web.Administrator)
	if err != nil {
		return errors.Join(err, p.Close(c.ctx))
	}
	cmd.explain(c, listener.Addr(), token, credential.Reveal())
	return p.serve(c.ctx, listener, 5*time.Second)
}

// noKey is the demo's: the simulated OpenAI takes any.
func noKey() upstream.Key {
	key, _ := upstream.NewKey("no-key-in-the-demo") // a constant that is well formed
	return key
}

// simulate serves a simulated OpenAI on a free loopback port.
func simulate(ctx context.Context, options simulated.Options) (stop func(), address *url.URL, err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("listen for the simulated OpenAI: %w", err)
	}
	openai := simulated.New(options)
	server := &http.Server{Handler: openai, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close below
	stop = func() { openai.Close(); _ = server.Close() }
	return stop, &url.URL{Scheme: "http", Host: listener.Addr().String(), Path: "/v1"}, nil
}

// seed adds the developers and sends their exchanges, through a proxy whose
// clock stands days back. It does nothing when the developers exist.
func (cmd *demoCommand) seed(c *console, log *slog.Logger) error {
	fast, address, err := simulate(c.ctx, simulated.Options{})
	if err != nil {
		return err
	}
	defer fast()
	var behind atomic.Int64 // how far the proxy's clock stands back
	clock := func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }
	p, err := openProxy(c, &cmd.serverSettings, proxyOptions{
		upstream: address, key: noKey, log: quieter(log), now: clock,
	})
	if err != nil {
		return err
	}
	err = cmd.sendSamples(c, p, &behind)
	return errors.Join(err, p.Close(c.ctx))
}

// quieter passes warnings and errors only: the sample exchanges would fill the
// screen otherwise.
func quieter(log *slog.Logger) *slog.Logger {
	return slog.New(levelHandler{log.Handler()})
}

type levelHandler struct{ slog.Handler }

func (levelHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (cmd *demoCommand) sendSamples(c *console, p *proxy, behind *atomic.Int64) error {
	tokens := map[string]string{}
	behind.Store(int64(demoDays * 24 * time.Hour))
	for _, d := range demoDevelopers {
		token, err := p.add(c.ctx, d.id, d.name, d.team)
		if errors.Is(err, developer.ErrExists) {
			return nil // a demo that was here before
		}
		if err != nil {
			return err
		}
		tokens[d.id] = token
	}
	fmt.Fprintf(c.stderr, "Sending %d days of sample exchanges through the proxy …\n", demoDays)
	var config net.ListenConfig
	listener, err := config.Listen(c.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: p.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close below
	defer server.Close()

	sample := 0
	for day := demoDays; day >= 1; day-- {
		for hour := range 3 {
			for i, d := range demoDevelopers {
				if (day+hour+i)%4 == 0 {
					continue // nobody works all the time
				}
				behind.Store(int64(time.Duration(day)*24*time.Hour - time.Duration(hour)*2*time.Hour))
				if err := sendSession(c.ctx, listener.Addr().String(), tokens[d.id], sample, 2+(day+i)%4); err != nil {
					return err
				}
				sample++
			}
		}
	}
	return nil
}

// demoPrompts are what the sample developers ask.
var demoPrompts = []string{
	"Why does the build fail on arm64?", "Add a retry with backoff to the uploader.",
	"Write a table test for the parser.", "Explain what this regular expression matches.",
	"Rename the config field everywhere and keep the old name as an alias.", "simulate: 500",
	"Find the data race in the cache.", "Make the error messages say what to do next.",
	"Why does the upload say 403? .env has AWS_ACCESS_KEY_ID=AKIA" + "Z7QX4LMVTR2NWK3D", // made up
	"simulate: cut", "Draft the release notes since the last tag.", "simulate: tools",
}

var demoModels = []string{"gpt-6.1-sol", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-5.1-codex"}

// sendSession sends the turns of one conversation as Codex does over HTTP: each
// turn resends all that came before.
func sendSession(ctx context.Context, address, token string, sample, turns int) error {
	session := rand.Text()
	model := demoModels[sample%len(demoModels)]
	input := []map[string]any{{"type": "message", "role": "developer", "content": []map[string]string{{"type": "input_text", "text": "You are Codex, a coding agent. Work in the repository, keep changes small, and run the tests."}}}}
	for turn := range turns {
		prompt := demoPrompts[(sample*3+turn)%len(demoPrompts)]
		input = append(input, map[string]any{"type": "message", "role": "user", "content": []map[string]string{{"type": "input_text", "text": prompt}}})
		body, err := json.Marshal(map[string]any{"model": model, "stream": true, "store": false, "prompt_cache_key": session, "input": input})
		if err != nil {
			return fmt.Errorf("build a sample request: %w", err)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/responses", bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("build a sample request: %w", err)
		}
		request.Header = http.Header{
			"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Accept": {"text/event-stream"},
			"Session-Id": {session}, "Originator": {"codex_exec"}, "User-Agent": {"codex_exec/0.169.0 (sample)"},
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue // a sample that was to fail
		}
		_, _ = io.Copy(io.Discard, response.Body) // it may be cut, as a sample
		response.Body.Close()
		input = append(input, map[string]any{"type": "message", "role": "assistant", "content": []map[string]string{{"type": "output_text", "text": "Done: " + prompt}}})
	}
	return nil
}

// explain prints what to do with a demo that runs.
func (cmd *demoCommand) explain(c *console, address net.Addr, token, credential string) {
	self := os.Args[0]
	if len(os.Args) > 0 && bytes.Contains([]byte(self), []byte("go-build")) {
		self = "go run ./cmd/codex-proxy"
	}
	fmt.Fprintf(c.stdout, `
codex-proxy demo: a simulated OpenAI, three developers, %[1]d days of exchanges.

Ask something as alice@example.com:
  curl -sN http://%[2]s/v1/responses -H 'Authorization: Bearer %[3]s' \
    -H 'Content-Type: application/json' -d '{"model":"gpt-5.1-codex","stream":true,"input":"hello"}'

Or point your own Codex at it, for one run:
  CODEX_PROXY_TOKEN=%[3]s codex exec --skip-git-repo-check \
    -c model_provider=demo -c 'model_providers.demo={name="demo",base_url="http://%[2]s/v1",env_key="CODEX_PROXY_TOKEN",wire_api="responses"}' \
    'Say hello'

Then look, in a browser:
  http://%[2]s/console/
  and sign in with %[8]s

or in another terminal, from this directory:
  %[4]s --data %[5]s usage %[6]s %[7]s
  %[4]s --data %[5]s record list
  %[4]s --data %[5]s record origin 'high demand'
  %[4]s --data %[5]s secrets list

Press Ctrl-C to stop.
`, demoDays, address, token, self, c.settings.Data,
		time.Now().UTC().AddDate(0, 0, -demoDays).Format(time.DateOnly), time.Now().UTC().Format(time.DateOnly), credential)
}
