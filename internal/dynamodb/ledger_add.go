package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/openai"
)

// rowItem is an exchange as the table holds one.
type rowItem struct {
	Part string `dynamodbav:"part"`
	Sort string `dynamodbav:"sort"`
	// QuarterOf leads to the exchanges that are summed up together.
	QuarterOf string `dynamodbav:"quarter_of"`
	// Counted is a counted, packed.
	Counted packed `dynamodbav:"counted"`
	// Exchange is the exchange without its findings, packed. Its times are exact
	// to the microsecond.
	Exchange packed `dynamodbav:"exchange"`
	// SecretsOf is the exchange's id where it carried secrets, and else missing;
	// Secrets are a []ledger.Sighting, packed.
	SecretsOf string `dynamodbav:"secrets_of,omitempty"`
	Secrets   packed `dynamodbav:"secrets,omitempty"`

	// read is Exchange as it was read, where it has changed since.
	read packed
}

// counted is what one or several exchanges count for, and where.
type counted struct {
	Team    string     `json:"team"`
	Session string     `json:"session"`
	Model   string     `json:"model"`
	Counts  countsItem `json:"counts"`
	// Delays are what the exchange or the exchanges count for there.
	Delays ledger.Delays `json:"delays,omitempty"`
}

// countsItem is ledger.Counts with the names that its fields are kept under.
type countsItem struct {
	Records   int64          `json:"records"`
	Requests  int64          `json:"requests"`
	Warmups   int64          `json:"warmups"`
	Refused   int64          `json:"refused"`
	Errors    int64          `json:"errors"`
	ErrorsBy  ledger.Origins `json:"errors_by,omitzero"`
	Usage     openai.Usage   `json:"usage"`
	CostNanos int64          `json:"cost_nanos"`
	Unpriced  int64          `json:"unpriced"`
	Estimated int64          `json:"estimated"`
	Missing   int64          `json:"missing"`
	Secrets   ledger.Secrets `json:"secrets"`
}

// longestText is how much is kept of a text that a client or upstream chose, in
// bytes, as an item holds 400 KB.
const longestText = 4096

// newRow makes the item of an exchange.
func newRow(generation string, e exchange.Exchange) (rowItem, error) {
	for _, long := range []*string{&e.Session, &e.Client, &e.Path, &e.ModelAsked, &e.Model, &e.Tier, &e.Error, &e.UpstreamRequestID} {
		*long = (*long)[:min(len(*long), longestText)]
	}
	e.Started, e.Ended = e.Started.UTC().Truncate(time.Microsecond), e.Ended.UTC().Truncate(time.Microsecond)
	r := rowItem{Part: rowsPart(generation, dayOf(e.Started)), Sort: e.ID, QuarterOf: quarterOf(e)}
	var sightings []ledger.Sighting
	for _, s := range e.Secrets() {
		sightings = append(sightings, ledger.Sighting{
			Secret: s, Exchange: e.ID, Started: e.Started,
			Developer: e.Developer, Team: e.Team, Session: e.Session, Outcome: e.Outcome,
		})
	}
	var err, more error
	if len(sightings) > 0 {
		r.SecretsOf = e.ID
		r.Secrets, more = pack(sightings)
	}
	r.Counted, err = pack(countOf(e))
	err = errors.Join(err, more)
	e.Findings = nil
	r.Exchange, more = pack(e)
	return r, errors.Join(err, more)
}

func countOf(e exchange.Exchange) counted {
	c := counted{e.Team, e.Session, e.Model, countsItem(ledger.Count(e)), ledger.Delays{}}
	c.Delays.Count(e)
	return c
}

func rowsPart(generation, day string) string { return generation + "#rows#" + day }

func quarterOf(e exchange.Exchange) string {
	return name(e.Developer) + "#" + e.Started.UTC().Truncate(quarterLength).Format(clockForm)
}

// Add implements ledger.Store. While a rebuild is under way, rows go to both
// generations.
func (l *Ledger) Add(ctx context.Context, rows []exchange.Exchange) error {
	p, err := l.pointer(ctx)
	if err == nil {
		_, err = l.add(ctx, p.Current, rows)
	}
	if err == nil && p.Next != "" {
		_, err = l.add(ctx, p.Next, rows)
	}
	if err != nil {
		return fmt.Errorf("add to the ledger: %w", err)
	}
	return nil
}

// add adds rows to a generation, and returns how many are new there.
func (l *Ledger) add(ctx context.Context, generation string, rows []exchange.Exchange) (added int64, err error) {
	seen, marks := map[string]bool{}, map[mark]bool{}
	var items []rowItem
	for _, e := range rows {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		r, err := newRow(generation, e)
		if err != nil {
			return 0, fmt.Errorf("the exchange %s: %w", e.ID, err)
		}
		items = append(items, r)
		marks[dayMark(generation, dayOf(e.Started))] = true
		for _, s := range e.Secrets() {
			marks[secretMark(generation, s.Fingerprint, dayOf(e.Started))] = true
		}
	}
	// Marks come first, so that no row is ever out of sight.
	if err := l.make(ctx, marks); err != nil {
		return 0, err
	}
	var fresh atomic.Int64
	above := newStale(generation)
	err = together(ctx, items, func(ctx context.Context, r rowItem) error {
		written, err := l.table.put(ctx, r, "attribute_not_exists(part)", nil)
		if err != nil {
			return err
		}
		if written {
			fresh.Add(1)
		} else if _, err := l.table.get(ctx, key(r.Part, r.Sort), &r); err != nil { // the one that stands
			return err
		}
		return above.note(r)
	})
	if err != nil {
		return 0, err
	}
	return fresh.Load(), l.refresh(ctx, above)
}

// rows calls each with the rows of a day.
func (l *Ledger) rows(ctx context.Context, generation, day string, each func(rowItem, exchange.Exchange) error) error {
	return l.table.query(ctx, within(rowsPart(generation, day), ""), func(found item) error {
		var r rowItem
		var e exchange.Exchange
		if err := l.table.decode(found, &r); err != nil {
			return err
		}
		if err := r.Exchange.unpack(&e); err != nil {
			return err
		}
		return each(r, e)
	})
}

// binary is an attribute value.
func binary(value []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: value} }
