// Package exchange holds the facts about one exchange: one request and its
// answer over HTTP, or one response.create and its events over a WebSocket.
//
// The gateway gathers the facts, the record keeps them with the bodies, and the
// ledger keeps them alone; this package is what the three have in common, and
// it knows none of them.
package exchange

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/openai"
)

// Exchange is everything known about one exchange except its headers and
// bodies. Times are UTC; durations are whole microseconds when stored; sizes
// are bytes on the wire, before any content coding is undone.
type Exchange struct {
	// ID is a UUIDv7, so that ids sort by the time the exchange began.
	ID      string    `json:"id"`
	Started time.Time `json:"started"`
	// Ended is zero while the exchange runs.
	Ended time.Time `json:"ended,omitzero"`

	// Developer, Team and TokenID say who. TokenID is the token's public part.
	// Team may be empty.
	Developer string `json:"developer"`
	Team      string `json:"team,omitempty"`
	TokenID   string `json:"token_id"`
	// Session is Codex's session id; empty for clients that send none.
	Session string `json:"session,omitempty"`
	// Client is the client's User-Agent.
	Client string `json:"client,omitempty"`

	// Method and Path are as the client sent them, without the query; for an
	// exchange inside a WebSocket, those of the upgrade request.
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Transport Transport `json:"transport"`
	// Warmup marks a WebSocket response.create with generate:false.
	Warmup bool `json:"warmup,omitempty"`

	// ModelAsked is the model that the request named, Model the one that the
	// answer named, or ModelAsked where the answer named none. Both may be
	// empty, for requests that involve no model.
	ModelAsked string `json:"model_asked,omitempty"`
	Model      string `json:"model,omitempty"`
	// Tier is the service tier as answered, else as asked, else empty.
	Tier string `json:"service_tier,omitempty"`

	// Status is the HTTP status the developer was answered with; 0 when the
	// exchange ended before there was one. Inside a WebSocket it is 101, or the
	// status of the error event that ended the exchange.
	Status  int     `json:"status"`
	Outcome Outcome `json:"outcome"`
	// Refusal is the reason word of a refusal ("budget_exceeded"); empty unless
	// the proxy itself said no.
	Refusal string `json:"refusal,omitempty"`
	// Error is what went wrong in one line, as the one who said it put it.
	Error string `json:"error,omitempty"`
	// ErrorOrigin says who said it; empty when nothing went wrong.
	ErrorOrigin Origin `json:"error_origin,omitempty"`
	// UpstreamRequestID is upstream's x-request-id, for asking OpenAI about it.
	UpstreamRequestID string `json:"upstream_request_id,omitempty"`

	Usage Usage `json:"usage"`
	Cost  Cost  `json:"cost"`

	// Findings are the secrets that the request brought, in the order in which
	// they stand, and those that were found on record later; at most MostFindings.
	Findings []Finding `json:"findings,omitempty"`
	// UnknownPlaceholders counts the placeholders in the answer that stand for
	// no secret of this conversation. They were left as they are.
	UnknownPlaceholders int `json:"unknown_placeholders,omitempty"`

	RequestBytes  int64 `json:"request_bytes"`
	ResponseBytes int64 `json:"response_bytes"`
	// FirstByteMicros is the time from the request's start to the first byte of
	// the answer's body reaching the client; 0 when none did.
	FirstByteMicros int64 `json:"first_byte_us,omitempty"`
	// DurationMicros is measured on the monotonic clock, so that a clock that
	// jumps does not distort it.
	DurationMicros int64 `json:"duration_us"`
	// AddedMicros is the part of the time before upstream was called that the
	// proxy itself spent: authentication, admission, opening the record.
	AddedMicros int64 `json:"added_us"`
}

// NewID returns an id for an exchange that begins at the given time: a UUIDv7
// (RFC 9562) whose timestamp is that time, so that the day of a record can be
// told from its id alone.
func NewID(at time.Time) string {
	id := uuid.Must(uuid.NewV7())
	millis := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	return id.String()
}

// IDTime returns the time that an id was made for, to the millisecond.
func IDTime(id string) (time.Time, error) {
	parsed, err := uuid.Parse(id)
	if err != nil || parsed.Version() != 7 {
		return time.Time{}, fmt.Errorf("%q is not an exchange id (a UUIDv7, as 'codex-proxy record list' prints them)", id)
	}
	var millis int64
	for _, b := range parsed[:6] {
		millis = millis<<8 | int64(b)
	}
	return time.UnixMilli(millis).UTC(), nil
}

// Transport is how an exchange travelled.
type Transport string

// The transports.
const (
	HTTP      Transport = "http"
	WebSocket Transport = "websocket"
)

// Outcome is how an exchange ended.
type Outcome string

// The outcomes.
const (
	// Completed: upstream answered, whole.
	Completed Outcome = "completed"
	// Failed: upstream answered, and its answer is an error (an error status, or
	// an error event such as response.failed).
	Failed Outcome = "failed"
	// UpstreamError: upstream could not be reached, or its answer broke off.
	UpstreamError Outcome = "upstream_error"
	// ClientCancelled: the client went away first.
	ClientCancelled Outcome = "client_cancelled"
	// Interrupted: the proxy itself ended it: a crash, a shutdown, a limit, or
	// the developer was cut off.
	Interrupted Outcome = "interrupted"
	// Refused: the proxy said no, and upstream saw nothing.
	Refused Outcome = "refused"
)

// Origin is who said that something went wrong.
type Origin string

// The origins of an error.
const (
	OriginOpenAI Origin = "openai"
	OriginProxy  Origin = "proxy"
	OriginClient Origin = "client"
)

// MostFindings is how many findings an exchange keeps. Findings that are new
// come before those that earlier exchanges have told.
const MostFindings = 1000

// Finding is one secret that a request brought. It never holds the secret.
type Finding struct {
	// Rule is the id of the rule that found it, such as "github-token".
	Rule string `json:"rule"`
	// Fingerprint names the secret without telling it: a hash under the
	// installation's own key.
	Fingerprint string `json:"fingerprint"`
	// Mode says what became of it.
	Mode FindingMode `json:"mode"`
	// Path says which string holds it, such as "input[3].output", or which
	// header, such as "header X-Codex-Turn-Metadata". Of what was found on record
	// later, "uri" is the request's target, and "answer …" a place in the answer,
	// such as "answer events[7].delta".
	Path string `json:"path"`
	// Offset is where the secret, or its placeholder, stands in the recorded body,
	// in bytes; in a header's value or the target, if it was found there.
	Offset int64 `json:"offset"`
	// New says that no earlier turn of the conversation has sent the item that
	// holds it. A conversation's history is sent again with every turn.
	New bool `json:"new"`
}

// FindingMode is what became of a secret.
type FindingMode string

// The modes.
const (
	// Reported: it left as it was.
	Reported FindingMode = "report"
	// Redacted: a placeholder left instead.
	Redacted FindingMode = "redact"
	// Blocked: the exchange was refused for it.
	Blocked FindingMode = "block"
)

// Usage is the tokens of an exchange and how well they are known.
type Usage struct {
	openai.Usage
	State UsageState `json:"state"`
}

// UsageState says how well usage is known. Unknown is not zero.
type UsageState string

// The states of usage.
const (
	// UsageNone: nothing was used (a refusal, a GET of a list of models).
	UsageNone UsageState = "none"
	// UsageExact: upstream said it.
	UsageExact UsageState = "exact"
	// UsageEstimated: the answer broke off; estimated from what passed.
	UsageEstimated UsageState = "estimated"
	// UsageMissing: the answer was whole and should have said it, but did not.
	UsageMissing UsageState = "missing"
)

// Cost is what an exchange cost and how well that is known.
type Cost struct {
	// Nanos is in USD nanos (1e-9 USD). Meaningful only when State is Priced.
	Nanos int64     `json:"usd_nanos"`
	State CostState `json:"state"`
	// Book names the edition of the price book that rated it.
	Book string `json:"price_book,omitempty"`
}

// CostState says how well a cost is known.
type CostState string

// The states of a cost.
const (
	// CostNone: there was nothing to price.
	CostNone CostState = "none"
	// CostPriced: rated by the price book.
	CostPriced CostState = "priced"
	// CostUnpriced: tokens were used, and the price book does not know the
	// model or the tier, or the usage is missing.
	CostUnpriced CostState = "unpriced"
)
