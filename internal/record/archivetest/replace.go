package archivetest

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
)

// aRecord is a record with all that is hard to write back as it was.
func aRecord() record.Document {
	started := time.Date(2026, 2, 16, 9, 0, 0, 123_456_000, time.UTC)
	return record.Document{
		Format: record.Format,
		Exchange: exchange.Exchange{
			ID: exchange.NewID(started), Started: started, Ended: started.Add(time.Second), Developer: "alice@example.com", Outcome: exchange.Completed,
			Cost: exchange.Cost{Nanos: 1<<53 + 1, State: exchange.CostPriced}, Findings: []exchange.Finding{{Rule: "jwt", Fingerprint: "aa", Mode: exchange.Redacted, Path: "input"}},
		},
		Request: record.Message{
			Method: "POST", URI: "/v1/responses?a=1;b=2", Header: http.Header{"X-Two": {"<a>", "\u2028"}},
			ContentCoding: "zstd", Body: `{"input":"<&>\u0000` + "\u2028é\x00\"}\n", BodyBase64: []byte{0xff, 0, 'a'},
		},
		Response: &record.Message{Status: 200, Framing: "websocket", Trailer: http.Header{"X-End": {"1"}}, Body: strings.Repeat("data: x\n\n", 10_000), Incomplete: "cut off"},
	}
}

func putRecord(t *testing.T, a record.Archive, doc any, key string) {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, a, key, string(encoder.EncodeAll(raw, nil)))
}

func wantRecord(t *testing.T, a record.Archive, key string, want record.Document) {
	t.Helper()
	got, err := record.Load(t.Context(), a, key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", key, diff)
	}
}

func testReplaceRecord(t *testing.T, a record.Archive) {
	doc := aRecord()
	k := record.Key(doc.Exchange)
	putRecord(t, a, doc, k)
	put(t, a, key("2026/02/16", "alice", 1), "another")
	same := func(*record.Document) error { return nil }
	if err := record.Replace(t.Context(), a, k, same); err != nil {
		t.Fatal(err)
	}
	wantRecord(t, a, k, doc)
	note := record.Purge{At: doc.Exchange.Ended, Secrets: []record.PurgedSecret{{Rule: "jwt", Fingerprint: "aa", Places: 2}}, Decoded: []record.Side{record.SideResponse}}
	err := record.Replace(t.Context(), a, k, func(d *record.Document) error {
		d.Purged = append(d.Purged, note)
		d.Request.SetBytes([]byte("text \xff\xfe"))
		d.Response.SetBytes([]byte("text alone"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	doc.Purged = []record.Purge{note}
	doc.Request.Body, doc.Request.BodyBase64 = "text ", []byte{0xff, 0xfe}
	doc.Response.Body = "text alone"
	wantRecord(t, a, k, doc)
	wantDocument(t, a, key("2026/02/16", "alice", 1), "another")
	wantKeys(t, a.Keys(t.Context(), day("2026/02/16"), day("2026/02/16")), key("2026/02/16", "alice", 1), k)
}

func testFailedChange(t *testing.T, a record.Archive) {
	doc := aRecord()
	k := record.Key(doc.Exchange)
	if err := record.Replace(t.Context(), a, k, func(*record.Document) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("replacing what is missing: %v, want fs.ErrNotExist", err)
	}
	putRecord(t, a, doc, k)
	because := errors.New("because")
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		change func() error
		want   error
	}{
		{func() error { return because }, because},
		{func() error { return record.ErrUnchanged }, nil},
		{func() error { cancel(); return nil }, context.Canceled},
	} {
		err := record.Replace(ctx, a, k, func(d *record.Document) error {
			d.Request.Body = "changed"
			return c.change()
		})
		if !errors.Is(err, c.want) {
			t.Errorf("replacing fails with %v, want %v", err, c.want)
		}
		wantRecord(t, a, k, doc)
	}
}

func testUnknownMember(t *testing.T, a record.Archive) {
	doc := aRecord()
	k := record.Key(doc.Exchange)
	for _, c := range []struct {
		doc  any
		says string
	}{
		{struct {
			record.Document
			Chain string `json:"chain"`
		}{doc, "aa"}, "chain"},
		{record.Document{Format: "codex-proxy/record/2", Exchange: doc.Exchange}, "codex-proxy/record/2"},
	} {
		putRecord(t, a, c.doc, k)
		err := record.Replace(t.Context(), a, k, func(*record.Document) error {
			t.Error("the change was asked for")
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("replacing a record that would lose something: %v, want an error that says %q", err, c.says)
		}
	}
}

func testReplaceBesideReaders(t *testing.T, a record.Archive) {
	doc := aRecord()
	k := record.Key(doc.Exchange)
	putRecord(t, a, doc, k)
	const rounds = 20
	replaced := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				got, err := record.Load(t.Context(), a, k)
				if err != nil {
					t.Error(err)
					return
				}
				if n := len(got.Purged); n > rounds || got.Request.Body != doc.Request.Body+strings.Repeat("x", n) {
					t.Errorf("a reader saw %d notes beside a body of %d bytes", n, len(got.Request.Body))
				}
				select {
				case <-replaced:
					return
				default:
				}
			}
		})
	}
	for range rounds {
		if err := record.Replace(t.Context(), a, k, func(d *record.Document) error {
			d.Purged = append(d.Purged, record.Purge{At: doc.Exchange.Ended})
			d.Request.Body += "x"
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	close(replaced)
	readers.Wait()
}
