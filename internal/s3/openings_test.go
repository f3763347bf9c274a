package s3_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/s3"
	"codex-proxy/internal/standin"
)

// counted is a ledger of the test's own.
type counted struct {
	mu   sync.Mutex
	rows map[string]exchange.Exchange
}

func (c *counted) add(_ context.Context, rows []exchange.Exchange) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = map[string]exchange.Exchange{}
	}
	for _, e := range rows {
		c.rows[e.ID] = e
	}
	return nil
}

// short is a spool on a disk that goes, with an archive and openings in a bucket.
func short(t *testing.T, archive *s3.Archive, rows *counted) *record.Spool {
	t.Helper()
	spool, err := record.OpenSpool(t.TempDir(), record.Options{
		Archive: archive, Ledger: rows.add, Openings: record.NewOpenings(archive), Quiet: time.Hour, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return spool
}

func begun(at time.Time) exchange.Exchange {
	return exchange.Exchange{
		ID: exchange.NewID(at), Started: at.UTC(), Developer: "alice@example.com", Team: "platform",
		Method: "POST", Path: "/v1/responses", Transport: exchange.HTTP,
	}
}

// prompt is the body of every request.
const prompt = `{"model":"gpt-5.1-codex","input":"what did I ask?"}`

func open(t *testing.T, spool *record.Spool, e exchange.Exchange) *record.Writer {
	t.Helper()
	w, err := spool.Open(t.Context(), e, record.Message{Method: e.Method, URI: e.Path, Header: http.Header{"Originator": {"codex"}}}, []byte(prompt))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func notes(t *testing.T, archive *s3.Archive) (keys []string) {
	t.Helper()
	for key, err := range archive.List(t.Context(), "open/") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestAnExchangeIsNotedUntilItsRecordIsInTheArchive(t *testing.T) {
	archive := s3.NewArchive(s3.Connect(standin.Config(standin.S3(t, "archive"))), s3.Location{Bucket: "archive"}, "")
	rows := &counted{}
	spool := short(t, archive, rows)
	e := begun(time.Now())
	w := open(t, spool, e)
	if keys := notes(t, archive); len(keys) != 1 {
		t.Errorf("noted: %v", keys)
	}
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := spool.Settle(brief); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an open record is settled: %v", err)
	}
	e.Outcome = exchange.Completed
	w.Close(e)
	if err := spool.Settle(t.Context()); err != nil { // in spite of Quiet
		t.Fatal(err)
	}
	if keys := notes(t, archive); len(keys) != 0 {
		t.Errorf("still noted: %v", keys)
	}
	if doc, err := record.Load(t.Context(), archive, record.Key(e)); err != nil || doc.Exchange.Outcome != exchange.Completed || rows.rows[e.ID].Outcome != exchange.Completed {
		t.Errorf("on record as %s, counted as %s, %v", doc.Exchange.Outcome, rows.rows[e.ID].Outcome, err)
	}
	if err := spool.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWhatNobodyEndedIsClosedByTheNext leaves exchanges open whose server is gone
// with its disk.
func TestWhatNobodyEndedIsClosedByTheNext(t *testing.T) {
	archive := s3.NewArchive(s3.Connect(standin.Config(standin.S3(t, "archive"))), s3.Location{Bucket: "archive"}, "")
	rows := &counted{}
	spool := short(t, archive, rows)
	now := time.Now().Truncate(time.Millisecond)
	lost, young := begun(now.Add(-20*time.Minute)), begun(now)
	open(t, spool, lost)
	open(t, spool, young)
	finish := func(e *exchange.Exchange, request io.Reader) {
		body, err := io.ReadAll(request)
		if err != nil || string(body) != prompt {
			t.Errorf("the request is known as %q, %v", body, err)
		}
		e.Cost = exchange.Cost{State: exchange.CostUnpriced}
	}
	var sweeping sync.WaitGroup
	for range 3 {
		sweeping.Go(func() {
			if _, err := record.NewOpenings(archive).Sweep(t.Context(), record.Sweep{Before: now.Add(-16 * time.Minute), Count: rows.add, Finish: finish, Log: slog.New(slog.DiscardHandler)}); err != nil {
				t.Error(err)
			}
		})
	}
	sweeping.Wait()
	doc, err := record.Load(t.Context(), archive, record.Key(lost))
	if err != nil || doc.Exchange.Outcome != exchange.Interrupted || doc.Request.Header.Get("Originator") != "codex" || doc.Request.Body != prompt {
		t.Errorf("on record: %+v, %v", doc, err)
	}
	if got := rows.rows[lost.ID]; got.Outcome != exchange.Interrupted || got.Cost.State != exchange.CostUnpriced || len(rows.rows) != 1 {
		t.Errorf("counted: %+v", rows.rows)
	}
	if _, err := record.Load(t.Context(), archive, record.Key(young)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what may still run is closed: %v", err)
	}
	if keys := notes(t, archive); len(keys) != 1 {
		t.Errorf("noted: %v", keys)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = spool.Close(ended) // both are open
}

func TestWhatCannotBeNotedDoesNotBegin(t *testing.T) {
	line := standin.NewLine(t, standin.S3(t, "archive"))
	archive := s3.NewArchive(s3.Connect(standin.Config(line.Address)), s3.Location{Bucket: "archive"}, "")
	spool := short(t, archive, &counted{})
	line.FailAll(standin.Broken)
	e := begun(time.Now())
	if _, err := spool.Open(t.Context(), e, record.Message{Method: e.Method, URI: e.Path}, nil); err == nil {
		t.Error("it began")
	}
	line.FailAll(standin.None)
	if err := spool.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
