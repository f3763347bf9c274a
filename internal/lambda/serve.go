// Package lambda serves an http.Handler as a Lambda function behind a Function URL
// whose answers are streamed (InvokeMode RESPONSE_STREAM).
//
// It speaks the Runtime API itself, which is four addresses of HTTP/1.1. The
// stock adapter (aws-lambda-go's lambdaurl) would not do: it gives a handler
// base64 bodies without their length, which the forwarding then sends as empty;
// a panic in it ends the process while the client sees a whole answer; and a
// request's context ends at the very moment at which the process is frozen, so
// that nothing can be written down any more.
//
// Nothing runs reliably after an answer's end: the process is frozen until the
// next invocation, or for good. So the answer's end waits for Options.Settle.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
// https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// Options are what a function is made of. Handler, API and Log are required.
type Options struct {
	Handler http.Handler
	// API is where the Runtime API is: AWS_LAMBDA_RUNTIME_API, host and port.
	API string
	// Margin is how long before the invocation's deadline a request's context ends,
	// with Cause as its cause, so that what it came to can still be written down;
	// 5 s.
	Margin time.Duration
	Cause  error
	// Settle is called after the handler has returned and before the answer's end.
	// Its context ends shortly before the deadline.
	Settle func(ctx context.Context)
	Log    *slog.Logger
}

const (
	defaultMargin = 5 * time.Second
	// lastMoment is how long before the deadline Settle must be through.
	lastMoment = 500 * time.Millisecond
	// nextTries is how often the next invocation is asked for when the Runtime API
	// does not answer, before the process gives up and is started anew.
	nextTries = 5

	version = "/2018-06-01/runtime/"
)

// Serve answers invocations, one at a time, until ctx ends.
func Serve(ctx context.Context, o Options) error {
	if o.Margin == 0 {
		o.Margin = defaultMargin
	}
	if o.Settle == nil {
		o.Settle = func(context.Context) {}
	}
	r := newAPI(o)
	defer r.client.CloseIdleConnections()
	for failures := 0; ; {
		i, err := r.next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			failures = 0
			r.answer(ctx, i)
		case failures+1 == nextTries:
			return fmt.Errorf("ask Lambda for the next invocation: %w", err)
		default:
			failures++
			o.Log.WarnContext(ctx, "Lambda does not give the next invocation; it is asked again", "error", err)
			pause(ctx, time.Duration(failures)*100*time.Millisecond)
		}
	}
}

// FailedInit tells Lambda why the function cannot start.
func FailedInit(ctx context.Context, api string, why error) error {
	r := newAPI(Options{API: api})
	defer r.client.CloseIdleConnections()
	return r.report(ctx, "init/error", "Runtime.Init", why.Error())
}

// api is a client of the Runtime API.
type api struct {
	Options
	client *http.Client
}

func newAPI(o Options) *api {
	// The next invocation may be long in coming, so nothing but the connection has
	// a limit in time.
	return &api{o, &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, DisableCompression: true,
	}}}
}

func (r *api) address(path string) string { return "http://" + r.API + version + path }

// invocation is one that is to be answered.
type invocation struct {
	id       string
	deadline time.Time
	event    []byte
}

func (r *api) next(ctx context.Context) (invocation, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.address("invocation/next"), nil)
	if err != nil {
		return invocation{}, err
	}
	response, err := r.client.Do(request)
	if err != nil {
		return invocation{}, err
	}
	defer response.Body.Close()
	event, err := io.ReadAll(response.Body)
	if err != nil {
		return invocation{}, fmt.Errorf("read the event: %w", err)
	}
	id := response.Header.Get("Lambda-Runtime-Aws-Request-Id")
	millis, parseErr := strconv.ParseInt(response.Header.Get("Lambda-Runtime-Deadline-Ms"), 10, 64)
	if response.StatusCode != http.StatusOK || id == "" || parseErr != nil {
		return invocation{}, fmt.Errorf("it answers %s without an id or a deadline", response.Status)
	}
	return invocation{id, time.UnixMilli(millis), event}, nil
}

// answer carries one invocation out.
func (r *api) answer(ctx context.Context, i invocation) {
	began, err := parseEvent(i.event)
	if err != nil {
		r.Log.ErrorContext(ctx, "an invocation is no request of a Function URL", "invocation", i.id, "error", err)
		if err := r.report(ctx, "invocation/"+i.id+"/error", "Runtime.NoRequest", err.Error()); err != nil {
			r.Log.ErrorContext(ctx, "Lambda is not told of it", "invocation", i.id, "error", err)
		}
		return
	}
	within, cancel := context.WithDeadlineCause(ctx, i.deadline.Add(-r.Margin), r.Cause)
	defer cancel()
	a := newAnswer(began.Method == http.MethodHead)
	sent := make(chan error, 1)
	go func() { sent <- r.send(context.WithoutCancel(ctx), i.id, a) }()

	broken := r.handle(a, i.id, began.WithContext(within))
	settling, done := context.WithDeadline(context.WithoutCancel(ctx), i.deadline.Add(-lastMoment))
	r.Settle(settling)
	done()
	a.end(broken)
	if err := <-sent; err != nil {
		r.Log.WarnContext(ctx, "an answer did not reach Lambda whole", "invocation", i.id, "error", err)
	}
}

// handle runs the handler. A panic ends the answer and not the process; the
// failure that it returns tells Lambda, which tells the client.
func (r *api) handle(a *answer, id string, request *http.Request) (broken *failure) {
	defer func() {
		switch caught := recover(); {
		case caught == nil:
			if err := a.ready(); err != nil { // a handler that wrote nothing answers 200
				r.Log.Warn("an answer could not begin", "error", err)
			}
		case caught == http.ErrAbortHandler:
			broken = &aborted
		default:
			r.Log.Error("the handler panicked", "invocation", id, "path", request.URL.Path, "panic", fmt.Sprint(caught), "stack", string(debug.Stack()))
			if !a.refuse(id) {
				broken = &panicked
			}
		}
	}()
	r.Handler.ServeHTTP(a, request)
	return nil
}

// failure is what Lambda is told about an answer that broke off.
type failure struct{ kind, message string }

var (
	aborted  = failure{"Function.Aborted", "the answer broke off"}
	panicked = failure{"Function.Panic", "the function failed in the middle of an answer"}
)

// Trailers by which the Runtime API learns that an answer broke off.
const (
	errorType = "Lambda-Runtime-Function-Error-Type"
	errorBody = "Lambda-Runtime-Function-Error-Body"
)

// send streams an answer to the Runtime API as it is written.
func (r *api) send(ctx context.Context, id string, a *answer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.address("invocation/"+id+"/response"), a.body())
	if err != nil {
		return err
	}
	request.ContentLength = -1
	request.Trailer = a.trailer
	request.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
	request.Header.Set("Content-Type", "application/vnd.awslambda.http-integration-response")
	response, err := r.client.Do(request)
	if err != nil {
		a.gone(err)
		return err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection is used again
	if response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("the Runtime API answers %s", response.Status)
		a.gone(err)
	}
	return err
}

// report posts an error to the Runtime API.
func (r *api) report(ctx context.Context, path, kind, message string) error {
	body, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.address(path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Lambda-Runtime-Function-Error-Type", kind)
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return errors.Join(response.Body.Close())
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
