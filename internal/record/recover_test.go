package record

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"codex-proxy/internal/exchange"
)

var errDown = errors.New("it is down")

// talk runs one exchange up to, but not including, its end.
func (h *house) talk(asked, told string) (exchange.Exchange, *Writer) {
	h.t.Helper()
	e, w := h.begin()
	must(h.t, w.WriteRequest([]byte(asked)))
	w.Answer(200, http.Header{"A": {"b"}})
	must(h.t, w.WriteResponse([]byte(told)))
	must(h.t, w.Flush(context.Background()))
	return e, w
}

func (h *house) wantRow(e exchange.Exchange) {
	h.t.Helper()
	h.ledger.mu.Lock()
	defer h.ledger.mu.Unlock()
	if diff := cmp.Diff(e, h.ledger.byID[e.ID]); diff != "" {
		h.t.Errorf("row (-want +got):\n%s", diff)
	}
}

func TestAnExchangeThatWasOpenIsClosedAsInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	e, _ := h.talk("asked ☃", "told\xff\xfe\xfd")
	silent, _ := h.begin()
	h.crash()
	h.reopen()
	n, err := h.Recover(t.Context(), func(e *exchange.Exchange, request, response io.Reader) {
		asked, err := io.ReadAll(request)
		must(t, err)
		told := make([]byte, 2)
		_, _ = io.ReadFull(response, told) // not all of it
		e.Model = string(asked)
		e.Tier = string(told)
	})
	must(t, err)
	if n != 2 {
		t.Errorf("%d were interrupted, want 2", n)
	}
	h.stop()
	doc := h.document(e)
	if doc.Request.Body != "asked ☃" || string(doc.Response.Bytes()) != "told\xff\xfe\xfd" {
		t.Errorf("the bodies are %q and %q", doc.Request.Body, doc.Response.Bytes())
	}
	if doc.Request.Incomplete == "" || doc.Response.Incomplete == "" {
		t.Error("an interrupted record does not say that its end may be missing")
	}
	got := doc.Exchange
	if got.Outcome != exchange.Interrupted || got.ErrorOrigin != exchange.OriginProxy || got.Status != 200 || got.Ended.IsZero() ||
		got.Model != "asked ☃" || got.Tier != "to" || got.RequestBytes != 9 || got.ResponseBytes != 7 {
		t.Errorf("the facts are %+v", got)
	}
	h.wantRow(got)
	if doc := h.document(silent); doc.Response != nil || doc.Exchange.Outcome != exchange.Interrupted || doc.Exchange.Status != 0 {
		t.Errorf("the exchange without an answer is on record as %+v", doc)
	}
}

func TestAnExchangeThatWasClosedIsSettledAsItWasClosed(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	h.archive.fail(errDown)
	e, w := h.talk("asked", "told")
	w.SetTrailer(http.Header{"T": {"1"}})
	w.RequestIncomplete("the client went away")
	w.ResponseIncomplete("upstream went away")
	e = ended(e)
	w.Close(e)
	h.crash()
	h.archive.fail(nil)
	h.reopen()
	if n := h.recover(); n != 0 {
		t.Errorf("%d were interrupted, want none", n)
	}
	h.stop()
	h.wantRow(e)
	want := &Document{
		Format: Format, Exchange: e,
		Request: Message{Method: e.Method, URI: e.Path, Header: http.Header{"Accept": {"*/*"}}, Body: "asked", Incomplete: "the client went away"},
		Response: &Message{
			Status: 200, Header: http.Header{"A": {"b"}}, Trailer: http.Header{"T": {"1"}}, Body: "told", Incomplete: "upstream went away",
		},
	}
	if diff := cmp.Diff(want, h.document(e)); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
}

func TestWhatWasSettledIsNotSettledAgain(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	e, w := h.talk("asked", "told")
	open, _ := h.talk("keeps the file", "")
	w.Close(ended(e))
	h.eventually("one is left", func() bool { n, _ := h.Depth(); return n == 1 })
	h.crash()
	h.reopen()
	if n := h.recover(); n != 1 {
		t.Errorf("%d were interrupted, want 1", n)
	}
	h.stop()
	if h.archive.puts[Key(e)] != 1 || h.ledger.calls[e.ID] != 1 {
		t.Errorf("settled into %d documents and %d rows", h.archive.puts[Key(e)], h.ledger.calls[e.ID])
	}
	if h.document(open).Exchange.Outcome != exchange.Interrupted {
		t.Error("the open one was not closed as interrupted")
	}
}

// An exchange can stand in two files, of which the later one goes with the note
// that it is settled, while the earlier one is needed by another exchange.
func TestAWholeRecordIsNotReplacedByWhatTheLogStillHolds(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t, func(o *Options) { o.SegmentBytes = 1000 })
	_, _ = h.begin() // keeps the first file
	e, w := h.begin()
	long := strings.Repeat("asked ☃", 5000)
	for _, r := range []string{long[:30_000], long[30_000:]} { // seals the first file
		must(t, w.WriteRequest([]byte(r)))
		must(t, w.Flush(t.Context()))
	}
	for len(segments(t, h.dir)) < 2 {
		must(t, w.WriteRequest([]byte("more")))
		must(t, w.Flush(t.Context()))
		long += "more"
	}
	w.Answer(200, nil)
	e = ended(e)
	w.Close(e)
	h.eventually("one is left", func() bool { n, _ := h.Depth(); return n == 1 })
	h.written()
	noted := segments(t, h.dir)
	for gone := false; !gone; { // more exchanges, until the note is gone with its file
		other, w := h.talk(strings.Repeat(exchange.NewID(noon), 100), "")
		w.Close(ended(other))
		h.eventually("one is left", func() bool { n, _ := h.Depth(); return n == 1 })
		h.written()
		left := segments(t, h.dir)
		gone = left[0] == noted[0] && !slices.Contains(left, noted[len(noted)-1])
	}
	h.crash()
	h.reopen()
	h.recover()
	h.stop()
	h.wantRow(e)
	if doc := h.document(e); doc.Exchange.Outcome != exchange.Completed || doc.Request.Body != long {
		t.Errorf("the record is now %s with %d of %d bytes", doc.Exchange.Outcome, len(doc.Request.Body), len(long))
	}
}

func TestATornEndLosesNoEntryBeforeIt(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	h.archive.fail(errDown)
	first, w := h.talk("first asked", "first told")
	first = ended(first)
	w.Close(first)
	h.written()
	_, whole := h.Depth()
	second, _ := h.talk("second asked", "second told")
	h.crash()
	log := segments(t, h.dir)[0]
	raw, err := os.ReadFile(log)
	must(t, err)
	length := int64(raw[whole+sha256.Size]) + int64(raw[whole+sha256.Size+1])<<8
	opened := whole + headerSize + length // of the second's first entry
	h.archive.fail(nil)
	for size := whole; size <= int64(len(raw)); size++ {
		h := newHouse(t)
		h.stop()
		must(t, os.WriteFile(filepath.Join(h.dir, filepath.Base(log)), raw[:size], 0o600))
		h.reopen()
		n := h.recover()
		h.stop()
		h.wantRow(first)
		if doc := h.document(first); doc.Request.Body != "first asked" || doc.Response.Body != "first told" || doc.Request.Incomplete != "" {
			t.Fatalf("cut at %d: the first record is %+v", size, doc)
		}
		if want := size >= opened; (n == 1) != want || (h.raw(second) != nil) != want {
			t.Fatalf("cut at %d, with the second opened at %d: %d were interrupted", size, opened, n)
		}
		if strings.Contains(h.log.String(), "damaged") {
			t.Fatalf("cut at %d: the end of a crash is called damage:\n%s", size, h.log)
		}
	}
}

func TestATornEndIsNoDamageAtTheStartAfterTheNext(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	h.archive.fail(errDown)
	e, _ := h.talk("asked", "told")
	h.crash()
	log := segments(t, h.dir)[0]
	raw, err := os.ReadFile(log)
	must(t, err)
	must(t, os.WriteFile(log, raw[:len(raw)-1], 0o600))
	for range 2 {
		h.reopen()
		h.recover()
		_, _ = h.begin() // makes the torn file not the last
		h.crash()
	}
	h.archive.fail(nil)
	h.reopen()
	h.recover()
	h.stop()
	if h.document(e).Request.Body != "asked" {
		t.Error("the record is not what was written")
	}
	if strings.Contains(h.log.String(), "damaged") {
		t.Errorf("the end of a crash is called damage:\n%s", h.log)
	}
}

func TestADamagedFileIsReportedAndSetAside(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t, func(o *Options) { o.SegmentBytes = 1 }) // a file for every batch
	h.archive.fail(errDown)
	before, w := h.talk("before asked", "before told")
	w.Close(ended(before))
	marred, w := h.talk("marred asked", "marred told")
	w.Close(ended(marred))
	h.written()
	after, _ := h.talk("after asked", "after told")
	h.crash()
	damage := ""
	for _, path := range segments(t, h.dir) {
		raw, err := os.ReadFile(path)
		must(t, err)
		if at := bytes.Index(raw, []byte(`"request":{`)); at >= 0 && bytes.Contains(raw, []byte(marred.ID)) {
			raw[at] ^= 1
			must(t, os.WriteFile(path, raw, 0o600))
			damage = path
		}
	}
	h.archive.fail(nil)
	h.reopen()
	h.recover()
	h.stop()
	if log := h.log.String(); !strings.Contains(log, "damaged") || !strings.Contains(log, filepath.Base(damage)) {
		t.Errorf("the damage of %s is not reported:\n%s", filepath.Base(damage), log)
	}
	if _, err := os.Stat(damage + ".damaged"); err != nil {
		t.Errorf("the damaged file is not set aside: %v", err)
	}
	for _, e := range []exchange.Exchange{before, after} {
		if h.raw(e) == nil {
			t.Error("a record in another file is lost")
		}
	}
	// What the damage left of the other one is settled, and says what it is.
	doc := h.document(marred)
	if doc.Request.Body != "marred asked" || doc.Request.Incomplete == "" {
		t.Errorf("the record whose opening is damaged is %+v", doc)
	}
	if left := segments(t, h.dir); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestAFlippedBitAnywhereIsFoundAndCostsNoEntryBeforeIt(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	h.archive.fail(errDown)
	first, w := h.talk("first asked", "first told")
	w.Close(ended(first))
	h.written()
	_, whole := h.Depth()
	_, _ = h.talk("second asked", "second told")
	h.crash()
	log := segments(t, h.dir)[0]
	raw, err := os.ReadFile(log)
	must(t, err)
	h.archive.fail(nil)
	for at := whole; at < int64(len(raw)); at += 3 {
		marred := bytes.Clone(raw)
		marred[at] ^= 1 << (at % 8)
		h := newHouse(t)
		h.stop()
		must(t, os.WriteFile(filepath.Join(h.dir, filepath.Base(log)), marred, 0o600))
		h.reopen()
		h.recover()
		h.stop()
		if doc := h.document(first); doc.Request.Body != "first asked" || doc.Response.Body != "first told" || doc.Request.Incomplete != "" {
			t.Fatalf("a bit flipped at %d: the first record is %+v", at, doc)
		}
		if h.log.String() == "" {
			t.Fatalf("a bit flipped at %d is not reported", at)
		}
	}
}

func TestAnArchiveOrALedgerThatIsDownIsTriedUntilItWorks(t *testing.T) {
	for name, down := range map[string]func(h *house, err error){
		"archive": func(h *house, err error) { h.archive.fail(err) },
		"ledger":  func(h *house, err error) { h.ledger.fail(err) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				down(h, errDown)
				var all []exchange.Exchange
				for i := range 100 {
					e, w := h.talk(fmt.Sprint("asked ", i), "told")
					e = ended(e)
					w.Close(e)
					all = append(all, e)
				}
				time.Sleep(5 * time.Minute) // of the bubble's clock
				if n, _ := h.Depth(); n != 100 {
					t.Errorf("%d wait to be settled, want 100", n)
				}
				if log := h.log.String(); !strings.Contains(log, errDown.Error()) {
					t.Errorf("the log does not say what is down:\n%.500s", log)
				}
				down(h, nil)
				time.Sleep(time.Minute)
				if n, _ := h.Depth(); n != 0 {
					t.Errorf("%d still wait to be settled", n)
				}
				for i, e := range all {
					h.wantRow(e)
					if h.document(e).Request.Body != fmt.Sprint("asked ", i) {
						t.Error("a record is not what was written")
					}
					if h.archive.puts[Key(e)] != 1 || h.ledger.calls[e.ID] != 1 {
						t.Errorf("settled into %d documents and %d rows", h.archive.puts[Key(e)], h.ledger.calls[e.ID])
					}
				}
				h.stop()
			})
		})
	}
}

// stuck is an archive that answers when the context ends.
type stuck struct {
	*memory
	reached chan struct{}
}

func (s stuck) Put(ctx context.Context, _ string, _ io.Reader, _ int64) error {
	close(s.reached)
	<-ctx.Done()
	return ctx.Err()
}

func TestClosingEndsWithItsContextAndTheNextStartSettles(t *testing.T) {
	defer goleak.VerifyNone(t)
	reached := make(chan struct{})
	h := newHouse(t, func(o *Options) { o.Archive = stuck{o.Archive.(*memory), reached} })
	e, w := h.talk("asked", "told")
	e = ended(e)
	w.Close(e)
	<-reached
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 exchanges stay in the spool") {
		t.Errorf("closing with a stuck archive: %v", err)
	}
	h.options.Archive = h.archive
	h.eventually("the log is closed", func() bool {
		select {
		case <-h.journal.done:
			return true
		default:
			return false
		}
	})
	h.reopen()
	h.recover()
	h.stop()
	h.wantRow(e)
}

func TestASecondProcessIsKeptOut(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	defer h.stop()
	second, err := OpenSpool(h.dir, h.options)
	if err == nil {
		_ = second.Close(t.Context())
		t.Fatal("a second spool was opened in the directory")
	}
	if want := "another codex-proxy uses " + h.dir; !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("%v, want %q and what to do", err, want)
	}
}

func TestAFileGoesWhenAllInItIsSettled(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t, func(o *Options) { o.SegmentBytes = 4000 })
	_, long := h.begin()
	for range 200 {
		e, w := h.talk(exchange.NewID(noon), exchange.NewID(noon))
		w.Close(ended(e))
	}
	h.eventually("one is left", func() bool { n, _ := h.Depth(); return n == 1 })
	h.written()
	if left := segments(t, h.dir); len(left) > 2 {
		t.Errorf("one open exchange keeps %d files", len(left))
	}
	long.Close(ended(newExchange()))
	h.stop()
	if left := segments(t, h.dir); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestAFullSpoolTakesNoExchangeUntilWhatIsInItIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.MaxBytes = 20_000 })
		h.archive.fail(errDown)
		full := func() error {
			for range 1000 {
				e := newExchange()
				w, err := h.Open(t.Context(), e, Message{}, nil)
				if err != nil {
					return err
				}
				must(t, w.WriteRequest([]byte(exchange.NewID(noon))))
				w.Close(ended(e))
				h.written()
			}
			return nil
		}
		if err := full(); !errors.Is(err, errFull) || !strings.Contains(err.Error(), "largest size") {
			t.Errorf("opening in a full spool: %v", err)
		}
		if !errors.Is(h.Ready(t.Context()), errFull) {
			t.Errorf("a full spool says that it is %v", h.Ready(t.Context()))
		}
		h.archive.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := h.Ready(t.Context()); err != nil {
			t.Errorf("all is settled, but: %v", err)
		}
		e, w := h.begin()
		w.Close(ended(e))
		h.stop()
	})
}
