package standin_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
	"codex-proxy/internal/s3"
	"codex-proxy/internal/standin"
)

// TestNoExchangeIsLostOrCountedTwiceWhenAWSFails runs two replicas, each with a
// spool of its own, while DynamoDB throttles and S3 is down at first and loses
// answers afterwards.
func TestNoExchangeIsLostOrCountedTwiceWhenAWSFails(t *testing.T) {
	const each = 25
	tables, bucket := standin.NewLine(t, standin.DynamoDB(t)), standin.NewLine(t, standin.S3(t, "archive"))
	api := dynamodb.Connect(standin.Config(tables.Address))
	check(t, dynamodb.CreateTable(t.Context(), api, dynamodb.UsageTable("usage")))
	archive := s3.NewArchive(s3.Connect(standin.Config(bucket.Address)), s3.Location{Bucket: "archive"}, "")
	tables.Fail(failing(standin.Throttled, 20))
	bucket.Fail(failing(standin.SlowDown, 20))

	start := time.Date(2026, 2, 16, 12, 0, 0, 0, time.UTC)
	var replicas sync.WaitGroup
	for replica := range 2 {
		spool, err := record.OpenSpool(t.TempDir(), record.Options{
			Archive: archive, Ledger: dynamodb.NewLedger(api, "usage").Add, Log: slog.New(slog.DiscardHandler),
		})
		check(t, err)
		replicas.Go(func() {
			for n := range each {
				if err := exchanged(t.Context(), spool, start.Add(time.Duration(n)*time.Minute), fmt.Sprint("s", replica)); err != nil {
					t.Error(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			if err := spool.Close(ctx); err != nil { // waits until all is settled
				t.Error(err)
			}
		})
	}
	replicas.Wait()

	tables.FailAll(standin.None)
	bucket.FailAll(standin.None)
	records := 0
	for e, err := range record.Exchanges(t.Context(), archive, record.Filter{First: start, Last: start}) {
		check(t, err)
		if records++; e.Cost.Nanos != 7 {
			t.Errorf("the record says %+v", e.Cost)
		}
	}
	day := start.Truncate(24 * time.Hour)
	report, err := ledger.NewReport(t.Context(), dynamodb.NewLedger(api, "usage"),
		ledger.Query{From: day, To: day.AddDate(0, 0, 1), By: ledger.BySession, Zone: time.UTC})
	check(t, err)
	if total := report.Total; records != 2*each || total.Requests != 2*each || total.CostNanos != 7*2*each || len(report.Rows) != 2 {
		t.Errorf("%d records, and the ledger tells %+v in %d sessions; want %d of each", records, total.Counts, len(report.Rows), 2*each)
	}
}

// failing fails in one way at first, and then loses every fifth answer.
func failing(fault standin.Fault, first int64) func(string) standin.Fault {
	var calls atomic.Int64
	return func(string) standin.Fault {
		n := calls.Add(1)
		switch {
		case n <= first:
			return fault
		case n%5 == 0:
			return standin.Lost
		}
		return standin.None
	}
}

// exchanged records one whole exchange that cost 7 nanos.
func exchanged(ctx context.Context, spool *record.Spool, at time.Time, session string) error {
	e := exchange.Exchange{
		ID: exchange.NewID(at), Started: at, Developer: "alice@example.com", Team: "platform", TokenID: "token", Session: session,
		Method: http.MethodPost, Path: "/v1/responses", Transport: exchange.HTTP,
	}
	w, err := spool.Open(ctx, e, record.Message{Method: e.Method, URI: e.Path, Header: http.Header{}}, nil)
	if err != nil {
		return err
	}
	for _, write := range []func([]byte) error{w.WriteRequest, w.WriteResponse} {
		if err := write([]byte(strings.Repeat(`{"text":"hello"}`, 100))); err != nil {
			return err
		}
	}
	w.Answer(http.StatusOK, http.Header{})
	e.Ended, e.Status, e.Outcome = at.Add(time.Second), http.StatusOK, exchange.Completed
	e.Cost = exchange.Cost{State: exchange.CostPriced, Nanos: 7}
	w.Close(e)
	return nil
}
