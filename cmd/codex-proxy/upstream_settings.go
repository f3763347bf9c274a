package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"codex-proxy/internal/secretsmanager"
	"codex-proxy/internal/upstream"
)

// upstreamSettings say where OpenAI is, and where its key.
type upstreamSettings struct {
	Upstream        string `help:"OpenAI's API, or whatever speaks it; stands for /v1." default:"https://api.openai.com/v1" placeholder:"URL"`
	UpstreamKeyFile string `help:"File that holds OpenAI's key; read again whenever it changes. Without it, and without --key-secret, the key is taken from OPENAI_API_KEY." xor:"key" placeholder:"FILE"`
	KeySecret       string `help:"Secret in AWS Secrets Manager that holds OpenAI's key, by name or ARN; read again every 5 minutes, and when OpenAI refuses the key." xor:"key" placeholder:"SECRET"`
}

// open reads the key and returns what a proxy is opened with.
func (u *upstreamSettings) open(c *console, log *slog.Logger) (o proxyOptions, err error) {
	o = proxyOptions{log: log, now: time.Now}
	switch {
	case u.KeySecret != "":
		err = u.openSecret(c, &o)
	case u.UpstreamKeyFile != "":
		err = u.openFile(c.ctx, &o)
	default:
		err = u.readVariable(&o)
	}
	if err != nil {
		return o, err
	}
	if o.upstream, err = upstream.ParseURL(u.Upstream); err != nil {
		return o, misuse("%v", err)
	}
	return o, nil
}

func (u *upstreamSettings) openSecret(c *console, o *proxyOptions) error {
	loaded, err := c.settings.aws(c.ctx)
	if err != nil {
		return err
	}
	secret, err := secretsmanager.Open(c.ctx, secretsmanager.Connect(loaded), u.KeySecret, upstream.NewKey,
		secretsmanager.Options{Log: o.log, Now: time.Now})
	if err != nil {
		return fmt.Errorf("OpenAI's key: %w", err)
	}
	o.key = func() upstream.Key { return secret.Value(c.ctx) }
	o.keyRefused = secret.Refused
	return nil
}

func (u *upstreamSettings) openFile(ctx context.Context, o *proxyOptions) error {
	file, err := upstream.OpenKeyFile(u.UpstreamKeyFile)
	if err != nil {
		return err
	}
	go file.Watch(ctx, time.Second, o.log)
	o.key = file.Key
	o.keyRefused = func(_ context.Context, refused upstream.Key) bool { return file.Key() != refused }
	return nil
}

func (u *upstreamSettings) readVariable(o *proxyOptions) error {
	key, err := upstream.NewKey(os.Getenv("OPENAI_API_KEY"))
	if err != nil {
		return misuse("no OpenAI key (%v): set OPENAI_API_KEY, or name a file with --upstream-key-file or a secret with --key-secret. To try the proxy without a key, run 'codex-proxy demo'", err)
	}
	// No child process inherits it.
	_ = os.Unsetenv("OPENAI_API_KEY")
	o.key = func() upstream.Key { return key }
	return nil
}
