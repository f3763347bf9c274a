// Package parquet writes the ledger's exchanges as Parquet, for Athena, DuckDB and
// whatever else reads columns. docs/analytics.md describes the columns.
package parquet

import (
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/parquet-go/parquet-go"

	"codex-proxy/internal/exchange"
)

// row is an exchange as a file has it. Units are in the names. What is not known is
// null, never 0.
type row struct {
	ID        string     `parquet:"id"`
	StartedAt time.Time  `parquet:"started_at,timestamp(microsecond)"`
	EndedAt   *time.Time `parquet:"ended_at,optional,timestamp(microsecond)"`

	Developer string  `parquet:"developer,dict"`
	Team      string  `parquet:"team,dict"`
	TokenID   string  `parquet:"token_id,dict"`
	Session   *string `parquet:"session,optional,dict"`
	Client    *string `parquet:"client,optional,dict"`

	Method    string  `parquet:"method,dict"`
	Path      string  `parquet:"path,dict"`
	Transport string  `parquet:"transport,dict"`
	Warmup    bool    `parquet:"warmup"`
	Asked     *string `parquet:"model_asked,optional,dict"`
	Model     *string `parquet:"model,optional,dict"`
	Tier      *string `parquet:"service_tier,optional,dict"`

	Status      *int32  `parquet:"status,optional"`
	Outcome     string  `parquet:"outcome,dict"`
	Refusal     *string `parquet:"refusal,optional,dict"`
	Error       *string `parquet:"error,optional,dict"`
	ErrorOrigin *string `parquet:"error_origin,optional,dict"`
	UpstreamID  *string `parquet:"upstream_request_id,optional"`

	UsageState string `parquet:"usage_state,dict"`
	Input      *int64 `parquet:"input_tokens,optional"`
	Cached     *int64 `parquet:"cached_tokens,optional"`
	CacheWrite *int64 `parquet:"cache_write_tokens,optional"`
	Output     *int64 `parquet:"output_tokens,optional"`
	Reasoning  *int64 `parquet:"reasoning_tokens,optional"`
	Total      *int64 `parquet:"total_tokens,optional"`

	CostState string  `parquet:"cost_state,dict"`
	CostNanos *int64  `parquet:"cost_usd_nanos,optional"`
	Book      *string `parquet:"price_book,optional,dict"`

	RequestBytes  int64    `parquet:"request_bytes"`
	ResponseBytes int64    `parquet:"response_bytes"`
	FirstByte     *float64 `parquet:"first_byte_ms,optional"`
	Duration      float64  `parquet:"duration_ms"`
	Added         float64  `parquet:"added_ms"`

	CarriedSecrets bool `parquet:"carried_secrets"`
}

// Exchange is an exchange of the ledger, and whether it carried secrets.
type Exchange struct {
	exchange.Exchange
	CarriedSecrets bool
}

func newRow(e Exchange) row {
	r := row{
		ID: e.ID, StartedAt: e.Started.UTC(),
		Developer: e.Developer, Team: e.Team, TokenID: e.TokenID, Session: known(e.Session), Client: known(e.Client),
		Method: e.Method, Path: e.Path, Transport: string(e.Transport), Warmup: e.Warmup,
		Asked: known(e.ModelAsked), Model: known(e.Model), Tier: known(e.Tier),
		Status: known(int32(e.Status)), Outcome: string(e.Outcome), Refusal: known(e.Refusal),
		Error: known(e.Error), ErrorOrigin: known(string(e.ErrorOrigin)), UpstreamID: known(e.UpstreamRequestID),
		UsageState: string(e.Usage.State), CostState: string(e.Cost.State), Book: known(e.Cost.Book),
		RequestBytes: e.RequestBytes, ResponseBytes: e.ResponseBytes,
		FirstByte: known(millis(e.FirstByteMicros)), Duration: millis(e.DurationMicros), Added: millis(e.AddedMicros),
		CarriedSecrets: e.CarriedSecrets,
	}
	if !e.Ended.IsZero() {
		ended := e.Ended.UTC()
		r.EndedAt = &ended
	}
	if e.Usage.State != exchange.UsageMissing {
		u := e.Usage.Usage
		r.Input, r.Cached, r.CacheWrite, r.Output, r.Reasoning, r.Total = &u.Input, &u.Cached, &u.CacheWrite, &u.Output, &u.Reasoning, &u.Total
	}
	switch e.Cost.State {
	case exchange.CostPriced:
		r.CostNanos = &e.Cost.Nanos
	case exchange.CostNone:
		r.CostNanos = new(int64) // nothing was used, which costs nothing
	}
	return r
}

// known is a value, or nil where it is the zero value, which stands for not known.
func known[T comparable](value T) *T {
	var unknown T
	if value == unknown {
		return nil
	}
	return &value
}

func millis(micros int64) float64 { return float64(micros) / 1000 }

// group is how many rows are gathered in memory before they are written.
const group = 50_000

// Write writes exchanges as one Parquet file (zstd), and returns how many there
// were. The first error of exchanges ends it.
func Write(w io.Writer, exchanges iter.Seq2[Exchange, error]) (count int, err error) {
	file := parquet.NewGenericWriter[row](w, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(group),
		parquet.CreatedBy("codex-proxy", "1", ""))
	for e, err := range exchanges {
		if err != nil {
			return count, err
		}
		if _, err := file.Write([]row{newRow(e)}); err != nil {
			return count, fmt.Errorf("write Parquet: %w", err)
		}
		count++
	}
	if err := file.Close(); err != nil {
		return count, fmt.Errorf("write Parquet: %w", err)
	}
	return count, nil
}
