package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/memory"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/policy/endpoint"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
	"codex-proxy/internal/secrets"
)

// attempt is one exchange while it runs: the facts so far, the record that is
// being written, and what watches the answer. HTTP and WebSocket share it.
type attempt struct {
	g     *Gateway
	e     exchange.Exchange
	began time.Time
	// record is nil when there is none (--audit=best-effort).
	record *record.Writer
	// asked reads the request's own words, watch the answer's.
	asked *openai.Fields
	watch openai.Watcher
	// talk is the conversation; nil if secrets are not looked for.
	talk *redaction.Conversation
	// restorer puts its secrets back into the answer; nil until there is one.
	restorer *secrets.Restorer
	// memory is the room that what is held for it takes in the budget.
	memory *memory.Lease
	// progress is what can be seen of it meanwhile.
	progress *progress
	// over is when its last event came, where it is closed later than that.
	over time.Time
	// unspent says that upstream was asked for nothing, or did not take it.
	unspent bool
	// lost says that upstream had the whole request and no answer came.
	lost bool
	// atEnd gives out what is held of the bodies, before the record closes.
	atEnd []func()
}

// openRecord opens the exchange's record, durably, with the request's body where that
// is buffered. When that cannot be done the exchange is refused, or goes on unrecorded
// where the settings say so.
func (a *attempt) openRecord(ctx context.Context, request record.Message, body []byte) *refusal.Refusal {
	writer, err := a.g.Recorder.Open(ctx, a.e, request, body)
	if err == nil {
		a.record = writer
		return nil
	}
	if a.g.BestEffort {
		a.g.Log.ErrorContext(ctx, "exchange cannot be recorded and goes on without a record (--audit=best-effort)", "id", a.e.ID, "error", err)
		return nil
	}
	a.g.Log.ErrorContext(ctx, "exchange cannot be recorded and is refused with 503", "id", a.e.ID, "error", err)
	return refusal.Unavailable("the record of this request cannot be opened just now, and requests that are not on record are not let through. Try again soon.")
}

// recordRequest keeps decoded bytes of the request. An error means that the
// exchange must end.
func (a *attempt) recordRequest(p []byte) error {
	if a.record == nil {
		return nil
	}
	return a.kept(a.record.WriteRequest(p))
}

// recordAnswer keeps decoded bytes of the answer.
func (a *attempt) recordAnswer(p []byte) error {
	if a.record == nil {
		return nil
	}
	return a.kept(a.record.WriteResponse(p))
}

// kept turns a failure to keep bytes into the end of the exchange, or into a
// log line where the settings prefer an exchange without a whole record.
func (a *attempt) kept(err error) error {
	if err == nil {
		return nil
	}
	if a.g.BestEffort {
		a.g.Log.Error("record is incomplete (--audit=best-effort)", "id", a.e.ID, "error", err)
		return nil
	}
	a.g.Log.Error("record cannot be kept; the exchange is ended", "id", a.e.ID, "error", err)
	return fmt.Errorf("%w: %w", errNotOnDisk, err)
}

// flushRequest hands what is recorded of the request to the operating system, so that
// not even kill -9 takes it. It is called before the last of it goes upstream. An error
// means that the exchange must end.
func (a *attempt) flushRequest() error {
	if a.record == nil {
		return nil
	}
	const patience = 2 * time.Second // as long as opening a record may take
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return a.kept(a.record.Flush(ctx))
}

// secure hands what is recorded so far to the operating system. It is called before
// the answer's last bytes go to the client, waits for no sync, and a moment at the most
// for the write: a disk that hangs must not hang the stream.
func (a *attempt) secure(ctx context.Context) {
	if a.record == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
	defer cancel()
	if err := a.record.Flush(ctx); err != nil {
		a.g.Log.WarnContext(ctx, "record lags behind its stream", "id", a.e.ID, "error", err)
	}
}

// refuse notes that the proxy said no.
func (a *attempt) refuse(no *refusal.Refusal) {
	a.e.Status, a.e.Refusal = no.Status, no.Reason
	a.e.Outcome, a.e.Error, a.e.ErrorOrigin = exchange.Refused, no.Message, exchange.OriginProxy
	if no.Status == http.StatusBadGateway {
		a.e.Outcome = exchange.UpstreamError
	}
	a.g.Meter.Refused(no.Reason)
}

// ended notes how the exchange ended.
func (a *attempt) ended(outcome exchange.Outcome, origin exchange.Origin, why string) {
	a.e.Outcome, a.e.ErrorOrigin, a.e.Error = outcome, origin, oneLine(a.g.keys.text(why))
}

// close settles the facts, prices them, and hands the record over.
func (a *attempt) close() {
	for _, giveOut := range a.atEnd {
		giveOut()
	}
	if a.over.IsZero() {
		a.over = a.g.Now()
	}
	a.e.Ended = a.over.UTC()
	a.e.DurationMicros = a.over.Sub(a.began).Microseconds()
	var answer openai.Answer
	if a.watch != nil {
		answer = a.watch.Answer()
	}
	if a.asked != nil {
		asked := openai.ReadRequest(a.asked)
		a.e.ModelAsked, a.e.Tier = a.g.keys.text(asked.Model), a.g.keys.text(asked.Tier)
		a.e.Warmup = asked.Warmup && a.e.Transport == exchange.WebSocket
	}
	if a.restorer != nil {
		a.e.UnknownPlaceholders = len(a.restorer.Unknown())
	}
	answer.Model, answer.Tier = a.g.keys.text(answer.Model), a.g.keys.text(answer.Tier)
	account(&a.e, answer, a.lost, a.estimateInput)
	if a.unspent && !answer.HasUsage {
		a.e.Usage = exchange.Usage{State: exchange.UsageNone}
	}
	a.e.Cost = a.g.Rate(a.e.Model, a.e.Tier, a.e.Started, a.e.Usage)
	if a.record != nil {
		a.record.Close(a.e)
	} else if a.g.Unrecorded != nil {
		a.g.Unrecorded(a.e)
	}
	a.g.Meter.Ended(a.e)
	level := slog.LevelInfo
	if a.e.Outcome == exchange.UpstreamError || a.e.Outcome == exchange.Interrupted {
		level = slog.LevelWarn
	}
	a.g.Log.Log(context.Background(), level, "exchange", facts(a.e)...)
}

// estimateInput reads the request back from the record to estimate its tokens.
func (a *attempt) estimateInput() (int64, error) {
	if a.asked == nil {
		return 0, errUnasked
	}
	if a.record == nil {
		return a.e.RequestBytes / 4, nil
	}
	body, err := a.record.Request()
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return openai.EstimateInput(body)
}

// errUnasked says that what was asked cannot be told from the exchange's own request.
var errUnasked = errors.New("upstream began this answer by itself")

// turnAway answers a request that got no further than the door. It is put on
// record when it is known whose it was; strangers are only counted and logged,
// so that nobody can fill the archive from outside. Their paths are not logged, as
// they were not searched for secrets.
func (g *Gateway) turnAway(w http.ResponseWriter, r *http.Request, e exchange.Exchange, began time.Time, no *refusal.Refusal) {
	a := &attempt{g: g, e: e, began: began}
	a.refuse(no)
	if e.Developer == "" {
		no.Answer(w, e.ID, fromCodex(r.Header))
		g.Log.InfoContext(r.Context(), "request refused", "id", e.ID, "reason", no.Reason, "status", no.Status,
			"endpoint", endpoint.Of(e.Method, apiPath(r)).Path, "remote", r.RemoteAddr)
		return
	}
	// A refusal that cannot be recorded is still a refusal.
	if writer, err := g.Recorder.Open(r.Context(), a.e, requestMessage(r), nil); err == nil {
		a.record = writer
	} else {
		g.Log.ErrorContext(r.Context(), "refusal cannot be recorded", "id", e.ID, "error", err)
	}
	a.answerRefusal(w, r, no)
	a.close()
}

// answerRefusal writes the refusal to the client and to the record.
func (a *attempt) answerRefusal(w http.ResponseWriter, r *http.Request, no *refusal.Refusal) {
	body := no.Answer(w, a.e.ID, fromCodex(r.Header))
	a.e.ResponseBytes = int64(len(body))
	if a.record != nil {
		a.record.Answer(no.Status, record.CleanHeader(w.Header()))
		_ = a.recordAnswer(body) // logged there; the refusal has been given either way
	}
}

// methodOf is a request's method as it goes on record: a client may write anything
// in its place, and it is not searched for secrets.
func methodOf(r *http.Request) string {
	const longest = 16
	if len(r.Method) > longest || strings.Trim(strings.ToUpper(r.Method), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "OTHER"
	}
	return r.Method
}

// requestMessage is a request as the record begins it, without credentials.
func requestMessage(r *http.Request) record.Message {
	return record.Message{
		Method: methodOf(r),
		URI:    record.CleanURI(r.RequestURI),
		Header: record.CleanHeader(r.Header),
	}
}

// endOf tells, from a stream's context, how the stream was ended from this side
// of upstream; ok is false when it was not.
func endOf(ctx context.Context) (outcome exchange.Outcome, origin exchange.Origin, why string, ok bool) {
	if ctx.Err() == nil {
		return "", "", "", false
	}
	cause := context.Cause(ctx)
	var cut *cutOff
	var by *stopped
	switch {
	case errors.As(cause, &cut), errors.As(cause, &by), errors.Is(cause, errShutdown), errors.Is(cause, errNotOnDisk), errors.Is(cause, errNoRoom), errors.Is(cause, ErrDeadline):
		return exchange.Interrupted, exchange.OriginProxy, cause.Error(), true
	case errors.Is(cause, errSilent):
		return exchange.UpstreamError, exchange.OriginProxy, "upstream was silent for longer than the limit", true
	case errors.Is(cause, errBodyIdle):
		return exchange.ClientCancelled, exchange.OriginClient, cause.Error(), true
	default:
		return exchange.ClientCancelled, exchange.OriginClient, "the client went away", true
	}
}

// isClientsEnd reports whether a stream's context ended with the client's request,
// and not by the proxy.
func isClientsEnd(ctx context.Context) bool { return errors.Is(context.Cause(ctx), context.Canceled) }

func facts(e exchange.Exchange) []any {
	list := []any{
		"id", e.ID, "developer", e.Developer, "team", e.Team, "token", e.TokenID, "session", e.Session,
		"method", e.Method, "path", e.Path, "transport", e.Transport, "model", e.Model,
		"status", e.Status, "outcome", e.Outcome, "usage", e.Usage.State,
		"input_tokens", e.Usage.Input, "cached_tokens", e.Usage.Cached, "output_tokens", e.Usage.Output,
		"cost", e.Cost.State, "cost_usd_nanos", e.Cost.Nanos,
		"request_bytes", e.RequestBytes, "response_bytes", e.ResponseBytes,
		"added_us", e.AddedMicros, "first_byte_us", e.FirstByteMicros, "duration_us", e.DurationMicros,
	}
	if e.Refusal != "" {
		list = append(list, "refusal", e.Refusal)
	}
	if e.Error != "" {
		list = append(list, "error", e.Error, "error_origin", e.ErrorOrigin)
	}
	if found := e.Secrets(); len(found) > 0 {
		fresh := slices.DeleteFunc(slices.Clone(found), func(s exchange.Secret) bool { return !s.New })
		list = append(list, "secrets", len(found), "new_secrets", len(fresh))
	}
	if e.UnknownPlaceholders > 0 {
		list = append(list, "unknown_placeholders", e.UnknownPlaceholders)
	}
	if e.UpstreamRequestID != "" {
		list = append(list, "upstream_request_id", e.UpstreamRequestID)
	}
	return list
}
