package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	web "codex-proxy/internal/console"
	"codex-proxy/internal/onboard/script"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/upstream"
)

// demoCommand runs the whole product without a key: a simulated OpenAI, sample
// developers, and two weeks of exchanges that really went through the proxy.
type demoCommand struct {
	serverSettings
	Pace    time.Duration `help:"Pause between the words of the simulated OpenAI." default:"25ms" placeholder:"DURATION"`
	Seed    bool          `help:"Fill an empty data directory with two weeks of sample exchanges." default:"true" negatable:""`
	Traffic bool          `help:"Let two of the sample developers go on working while the demo runs." default:"true" negatable:""`
}

// Help is the long form of the command's help.
func (*demoCommand) Help() string {
	return "Local state goes to ./demo-data unless --data says otherwise; delete it to begin afresh. Ask for a fault in a prompt to see how it looks: 'simulate: 429', 'simulate: cut', 'simulate: slow', 'simulate: tools'."
}

func (cmd *demoCommand) Run(c *console) error {
	if c.settings.Data == defaultData {
		c.settings.Data = "demo-data"
	}
	// The simulated one answers what Codex asks of OpenAI alone.
	cmd.ProviderName = cmp.Or(cmd.ProviderName, script.OpenAI)
	log := cmd.logger(c)
	openai := simulated.New(simulated.Options{Pace: cmd.Pace})
	defer openai.Close()
	stage := newStage(openai)
	upstream, stop, err := listenLocally(c.ctx, stage)
	if err != nil {
		return err
	}
	defer stop()
	upstream.Path = "/v1"

	var unfinished []*sampleSession
	if cmd.Seed {
		if unfinished, err = cmd.seed(c, log, upstream, stage); err != nil {
			return fmt.Errorf("make the sample exchanges: %w", err)
		}
	}
	p, err := openProxy(c, &cmd.serverSettings, proxyOptions{
		upstream: upstream, key: noKey, log: withoutTraffic(log, stage), now: time.Now,
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
	if cmd.Seed && cmd.Traffic {
		end, err := cmd.work(c.ctx, p, stage, unfinished)
		if err != nil {
			return errors.Join(err, listener.Close(), p.Close(c.ctx))
		}
		defer end()
	}
	return p.serve(c.ctx, listener, 5*time.Second)
}

// noKey is the demo's: the simulated OpenAI takes any.
func noKey() upstream.Key {
	key, _ := upstream.NewKey("no-key-in-the-demo") // a constant that is well formed
	return key
}

// explain prints what to do with a demo that runs.
func (cmd *demoCommand) explain(c *console, address net.Addr, token, credential string) {
	self := os.Args[0]
	if len(os.Args) > 0 && bytes.Contains([]byte(self), []byte("go-build")) {
		self = "go run ./cmd/codex-proxy"
	}
	fmt.Fprintf(c.stdout, `
codex-proxy demo: a simulated OpenAI, %[9]d developers in %[10]d teams, %[1]d days of exchanges.

Ask something as alice@example.com:
  curl -sN http://%[2]s/v1/responses -H 'Authorization: Bearer %[3]s' \
    -H 'Content-Type: application/json' -d '{"model":"gpt-5.1-codex","stream":true,"input":"hello"}'

Or point your own Codex at it, for one run:
  CODEX_PROXY_TOKEN=%[3]s codex exec --skip-git-repo-check \
    -c model_provider=demo -c 'model_providers.demo={name="OpenAI",base_url="http://%[2]s/v1",env_key="CODEX_PROXY_TOKEN",wire_api="responses"}' \
    'Say hello'

Then look, in a browser:
  http://%[2]s/console/
  and sign in with %[8]s

or in another terminal, from this directory:
  %[4]s --data %[5]s usage %[6]s %[7]s
  %[4]s --data %[5]s session list
  %[4]s --data %[5]s record list
  %[4]s --data %[5]s record origin 'high demand'
  %[4]s --data %[5]s secrets list

Press Ctrl-C to stop.
`, demoDays, address, token, self, c.settings.Data,
		time.Now().UTC().AddDate(0, 0, -demoDays).Format(time.DateOnly), time.Now().UTC().Format(time.DateOnly), credential, len(demoDevelopers), demoTeams())
}
