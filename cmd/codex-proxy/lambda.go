package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"codex-proxy/internal/gateway"
	"codex-proxy/internal/lambda"
	"codex-proxy/internal/metrics"
	"codex-proxy/internal/refusal"
)

// lambdaCommand runs the proxy as a function of AWS Lambda. The platform starts the
// program without arguments, with its own variables.
type lambdaCommand struct {
	serverSettings
	upstreamSettings
	Margin time.Duration `help:"How long before the function's time limit an answer that still runs is ended, so that its record can be kept." default:"5s" placeholder:"DURATION"`
}

// Lambda's variables.
const (
	lambdaAPI      = "AWS_LAMBDA_RUNTIME_API"
	lambdaFunction = "AWS_LAMBDA_FUNCTION_NAME"
	lambdaTask     = "LAMBDA_TASK_ROOT" // where the program was unpacked
)

func (cmd *lambdaCommand) Run(c *console) error {
	api := os.Getenv(lambdaAPI)
	if api == "" {
		return misuse("this is no function of AWS Lambda (%s is not set): 'codex-proxy serve' runs the proxy here, 'codex-proxy aws deploy' makes a function", lambdaAPI)
	}
	cmd.WebSocket = "off" // a Function URL carries none
	f := &function{cmd: cmd, console: c, log: cmd.logger(c)}
	f.open() // it may fail, and is tried again with the next request
	err := lambda.Serve(c.ctx, lambda.Options{
		Handler: f, API: api, Margin: cmd.Margin, Cause: gateway.ErrDeadline, Settle: f.settle, Log: f.log,
	})
	if f.proxy != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), time.Second)
		defer cancel()
		err = errors.Join(err, f.proxy.Close(closing))
	}
	return err
}

// function is the proxy as a function: it serves one request at a time.
type function struct {
	cmd     *lambdaCommand
	console *console
	log     *slog.Logger

	opening sync.Mutex
	proxy   *proxy
	handler http.Handler
	swept   time.Time
}

// open opens the proxy unless it is open. What is missing may be there with the
// next request, such as a secret or a permission: the process lives on.
func (f *function) open() {
	f.opening.Lock()
	defer f.opening.Unlock()
	if f.proxy != nil {
		return
	}
	options, err := f.cmd.upstreamSettings.open(f.console, f.log)
	if err == nil {
		options.fleeting = true
		options.meter = func(m *metrics.Metrics) gateway.Meter {
			return metrics.NewEmbedded(m, f.console.stdout, os.Getenv(lambdaFunction), time.Now)
		}
		f.proxy, err = openProxy(f.console, &f.cmd.serverSettings, options)
	}
	if err != nil {
		f.proxy = nil
		f.log.Error("the proxy cannot start; requests are refused with 503 and it is tried again", "error", err)
		return
	}
	f.handler = f.proxy.handler()
}

// ServeHTTP implements http.Handler.
func (f *function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.open()
	if f.proxy == nil {
		refusal.Unavailable("the proxy cannot start just now. Its log says why, to whoever runs it; nothing is wrong with your token. Try again soon.").
			Answer(w, "none", r.Header.Get("Originator") != "")
		return
	}
	if r.Method == http.MethodGet && (r.URL.Path == "/v1/responses" || r.URL.Path == "/responses") {
		// It asks for a WebSocket, whatever the platform has left of its headers.
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
	}
	f.handler.ServeHTTP(w, r)
}

// settle writes down what the request came to, before its answer ends.
func (f *function) settle(ctx context.Context) {
	if f.proxy == nil {
		return
	}
	if err := f.proxy.spool.Settle(ctx); err != nil {
		f.log.Error("an exchange is not settled; it is tried again with the next request", "error", err)
	}
	if err := f.proxy.lastUsed.Flush(ctx); err != nil {
		f.log.Warn("last use of a token is not written down", "error", err)
	}
	if now := time.Now(); now.Sub(f.swept) >= sweepEvery {
		f.swept = now
		f.proxy.sweep(ctx)
	}
}

// lambdaArguments are the arguments of a program that the platform has started.
func lambdaArguments(args []string) []string {
	if len(args) == 0 && os.Getenv(lambdaAPI) != "" {
		return []string{"lambda"}
	}
	return args
}
