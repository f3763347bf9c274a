package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"codex-proxy/internal/exchange"
)

// noise is text that does not compress well.
func noise(size int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	text := make([]byte, size)
	for i := range text {
		text[i] = byte(' ' + random.IntN(94))
	}
	return text
}

// resend opens an exchange with a body at hand.
func (h *house) resend(body []byte) (exchange.Exchange, *Writer) {
	h.t.Helper()
	e := newExchange()
	w, err := h.Open(context.Background(), e, Message{Method: e.Method, URI: e.Path}, body)
	if err != nil {
		h.t.Fatal(err)
	}
	return e, w
}

// refers reports whether a record's body is chunks of other records'.
func (w *Writer) refers() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.request.chunks {
		if c.reference {
			return true
		}
	}
	return false
}

func TestWhatWasSentBeforeStandsInTheLogOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	history := noise(200_000, 1)
	_, first := h.resend(history)
	h.written()
	_, before := h.Depth()
	again, second := h.resend(append(bytes.Clone(history), " and a new turn"...))
	h.written()
	if _, after := h.Depth(); after-before > 20_000 { // the last chunk, which is not a full one, and what else there is
		t.Errorf("200 kB that were sent before take %d bytes", after-before)
	}
	if first.refers() || !second.refers() {
		t.Error("the first body refers to what nobody has sent, or the second to nothing")
	}
	first.Close(ended(newExchange()))
	second.Close(ended(again))
	h.stop()
	if got := h.document(again).Request.Body; got != string(history)+" and a new turn" {
		t.Errorf("the second body has %d bytes, or others", len(got))
	}
}

// A chunk stays for as long as an unsettled exchange refers to it, whoever brought it.
func TestChunksOutliveTheExchangeThatBroughtThem(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, crashes := range []bool{false, true} {
		t.Run(fmt.Sprint("a crash: ", crashes), func(t *testing.T) {
			h := newHouse(t, func(o *Options) { o.SegmentBytes = 400_000 })
			history := noise(200_000, 2)
			first, w := h.resend(history)
			h.written()
			second, v := h.resend(history)
			h.written()
			if !v.refers() {
				t.Fatal("the second body refers to nothing")
			}
			w.Close(ended(first))
			h.eventually("the first is settled", func() bool { n, _ := h.Depth(); return n == 1 })
			holds := segments(t, h.dir)[0]
			for seed := uint64(3); len(segments(t, h.dir)) < 2; seed++ { // until their segment is no longer written
				other, u := h.resend(noise(150_000, seed))
				u.Close(ended(other))
				h.written()
			}
			h.eventually("the others are settled", func() bool { n, _ := h.Depth(); return n == 1 })
			h.written()
			if _, err := os.Stat(holds); err != nil {
				t.Fatalf("the chunks that an exchange refers to are gone: %v", err)
			}
			if crashes {
				h.crash()
				h.reopen()
				h.recover()
			} else {
				v.Close(ended(second))
			}
			h.eventually("all is settled", func() bool { n, _ := h.Depth(); return n == 0 })
			h.written()
			if _, err := os.Stat(holds); err == nil {
				t.Error("a segment stays that nobody needs")
			}
			if !crashes { // what is gone is not referred to
				third, u := h.resend(history)
				u.Close(ended(third))
				h.settled(third)
				if got := h.document(third).Request.Body; got != string(history) {
					t.Errorf("the third body has %d bytes, or others", len(got))
				}
			}
			h.stop()
			if got := h.document(second).Request.Body; got != string(history) {
				t.Errorf("the second body has %d bytes, or others", len(got))
			}
			if h.archive.puts[Key(first)] != 1 {
				t.Errorf("the first was archived %d times", h.archive.puts[Key(first)])
			}
		})
	}
}

func TestAMissingChunkMakesTheRecordIncompleteAndNothingElse(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t, func(o *Options) { o.SegmentBytes = 30_000 })
	h.archive.fail(errDown)
	history := noise(20_000, 4) // one full chunk, in a segment that is then full
	_, _ = h.resend(history)
	_, v := h.resend(history)
	h.written()
	if !v.refers() {
		t.Fatal("the second body refers to nothing")
	}
	must(t, v.WriteRequest([]byte("and what follows")))
	h.crash()

	// The chunk is lost, as damage loses it: the entry of the first exchange is cut out.
	log := segments(t, h.dir)[0]
	raw, err := os.ReadFile(log)
	must(t, err)
	left := bytes.NewReader(raw[len(segmentMagic):])
	kept := bytes.NewBufferString(segmentMagic)
	cut := false
	for at := len(segmentMagic); ; {
		e, err := readEntry(left)
		if err == io.EOF {
			break
		}
		must(t, err)
		if e.kind == entryRequest && !cut {
			cut = true
		} else {
			kept.Write(raw[at : at+int(e.size)])
		}
		at += int(e.size)
	}
	must(t, os.WriteFile(log, kept.Bytes(), 0o600))
	h.archive.fail(nil)
	h.reopen()
	if n := h.recover(); n != 2 {
		t.Errorf("%d were interrupted, want 2", n)
	}
	h.stop()
	for _, e := range h.ledger.byID {
		if doc := h.document(e); !strings.HasPrefix(string(history), doc.Request.Body) || doc.Request.Incomplete == "" {
			t.Errorf("a record without its chunk has %d bytes and is marked %q", len(doc.Request.Body), doc.Request.Incomplete)
		}
	}
}

// Whatever was flushed, or waited for a second, survives a crash byte for byte,
// however it was split, and whether or not the end is a whole rune.
func TestWhatWasHandedOverIsRecoveredByteForByte(t *testing.T) {
	defer goleak.VerifyNone(t)
	random := rand.New(rand.NewPCG(5, 6))
	h := newHouse(t)
	type sent struct{ request, response string }
	all := map[string]sent{}
	for _, body := range bodies() {
		for range 3 {
			buffered := random.IntN(len(body) + 1)
			e, w := h.resend([]byte(body[:buffered]))
			next, flush := func() int { return random.IntN(20_000) }, func() bool { return random.IntN(3) == 0 }
			feed(t, w, w.WriteRequest, []byte(body[buffered:]), next, flush)
			w.Answer(200, nil)
			end := random.IntN(len(body) + 1)
			feed(t, w, w.WriteResponse, []byte(body[:end]), next, flush)
			must(t, w.Flush(t.Context()))
			all[e.ID] = sent{body, body[:end]}
		}
	}
	h.crash()
	h.reopen()
	if n := h.recover(); n != len(all) {
		t.Errorf("%d were interrupted, want %d", n, len(all))
	}
	h.stop()
	for id, want := range all {
		doc := h.document(h.ledger.byID[id])
		if string(doc.Request.Bytes()) != want.request || string(doc.Response.Bytes()) != want.response {
			t.Errorf("recovered %d and %d bytes of %d and %d, or others", len(doc.Request.Bytes()), len(doc.Response.Bytes()), len(want.request), len(want.response))
		}
		wantPlainJSON(t, h.raw(doc.Exchange), "recovered")
	}
}

func TestBytesAreHandedOverWithinASecondThoughNobodyFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		e, w := h.begin()
		w.Answer(200, nil)
		for _, delta := range []string{"one ", "two ", "three"} {
			must(t, w.WriteResponse([]byte(delta)))
			time.Sleep(handOverWithin + time.Millisecond) // of the bubble's clock
			synctest.Wait()
		}
		must(t, w.WriteResponse([]byte(" and lost")))
		h.crash()
		h.reopen()
		h.recover()
		h.stop()
		if got := h.document(e).Response.Body; got != "one two three" {
			t.Errorf("what was answered more than a second ago is on record as %q", got)
		}
	})
}

func TestARecoveredExchangeEndedWithItsLastEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		now := time.Now().UTC()
		began := map[string]time.Time{"before its entries": now, "after them, by a clock that was set back": now.Add(time.Hour)}
		ids := map[string]string{}
		for name, at := range began {
			e := newExchange()
			e.ID, e.Started = exchange.NewID(at), at
			w, err := h.Open(t.Context(), e, Message{}, []byte("asked"))
			must(t, err)
			time.Sleep(3 * time.Second)
			w.Answer(200, nil)
			must(t, w.Flush(t.Context()))
			ids[e.ID] = name
		}
		h.crash()
		time.Sleep(time.Hour) // until the next start
		h.reopen()
		h.recover()
		h.stop()
		for id, name := range ids {
			e := h.ledger.byID[id]
			if took := e.Ended.Sub(e.Started); took < 0 || took > 10*time.Second || e.DurationMicros != took.Microseconds() {
				t.Errorf("an exchange that began %s ended after %v, and took %d µs", name, took, e.DurationMicros)
			}
			if e.Started.Equal(now) && e.DurationMicros == 0 {
				t.Errorf("an exchange that began %s took no time", name)
			}
		}
	})
}

func TestASpoolOfAnotherFormatIsRefusedAndKept(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	h.stop()
	old := filepath.Join(h.dir, "0000000001.log")
	must(t, os.WriteFile(old, []byte("\x20\x00\x00\x00 an entry of another version"), 0o600))
	h.reopen()
	_, err := h.Recover(t.Context(), func(*exchange.Exchange, io.Reader, io.Reader) {})
	if err == nil || !strings.Contains(err.Error(), old) || !strings.Contains(err.Error(), "start that version once more and stop it") {
		t.Errorf("a spool of another format: %v", err)
	}
	h.crash()
	if raw, err := os.ReadFile(old); err != nil || len(raw) == 0 {
		t.Errorf("it is not kept: %v", err)
	}
}

// opened is what opening a record returned.
type opened struct {
	e   exchange.Exchange
	w   *Writer
	err error
}

// referAcross opens a record whose body refers to another's chunks, while what fills
// their segment is written: the record itself begins the next segment.
func (h *house) referAcross(d *badDisk, history []byte) (filler *Writer, next <-chan opened) {
	h.t.Helper()
	write := make(chan struct{})
	d.set(func() { d.hang = write })
	filler = h.newWriter(uuid.Must(uuid.NewV7()))
	must(h.t, filler.WriteRequest(noise(300_000, 8)))
	h.eventually("the filler is written", func() bool {
		h.journal.mu.Lock()
		defer h.journal.mu.Unlock()
		return h.journal.writing != nil && len(h.journal.next.entries) == 0
	})
	result := make(chan opened, 1)
	go func() {
		e := newExchange()
		w, err := h.Open(context.Background(), e, Message{}, history)
		result <- opened{e, w, err}
	}()
	h.eventually("it waits to be written", func() bool {
		h.journal.mu.Lock()
		defer h.journal.mu.Unlock()
		return len(h.journal.next.entries) > 0
	})
	d.set(func() { d.hang = nil })
	close(write)
	return filler, result
}

func TestChunksOfTheSegmentBeforeStay(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, crashes := range []bool{false, true} {
		d := new(badDisk)
		h := newHouse(t, d.options, func(o *Options) { o.SegmentBytes = 200_000 })
		history := noise(100_000, 9)
		first, w := h.resend(history)
		h.written()
		holds := segments(t, h.dir)[0]
		filler, next := h.referAcross(d, history)
		second := <-next
		must(t, second.err)
		w.Close(ended(first))
		filler.settled()
		h.eventually("the first is settled", func() bool { n, _ := h.Depth(); return n == 1 })
		h.written()
		if !second.w.refers() || len(segments(t, h.dir)) != 2 {
			t.Fatalf("the second does not refer to the segment before its own: %v", segments(t, h.dir))
		}
		if _, err := os.Stat(holds); err != nil {
			t.Errorf("the chunks that an exchange refers to are gone: %v", err)
		}
		if crashes {
			h.crash()
			h.reopen()
			h.recover()
		} else {
			second.w.Close(ended(second.e))
		}
		h.stop()
		if got := h.document(second.e).Request.Body; got != string(history) {
			t.Errorf("the second body has %d bytes, or others", len(got))
		}
		if left := segments(t, h.dir); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	}
}

// After a sync that failed nobody knows what is on the disk. Who refers to it is told
// so, even if their own entries are on the disk.
func TestNoRecordIsOpenThatRefersToWhatWasNotSynced(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := new(badDisk)
	h := newHouse(t, d.options, func(o *Options) { o.SegmentBytes = 200_000 })
	e, w := h.begin()
	history := noise(100_000, 7)
	sync := make(chan struct{})
	d.set(func() { d.syncHang, d.doomed = sync, segments(t, h.dir)[0] })
	must(t, w.WriteRequest(history)) // written, and not synced
	must(t, w.Flush(t.Context()))
	filler, next := h.referAcross(d, history)
	h.eventually("it is written, to a segment of its own", func() bool { return len(segments(t, h.dir)) == 2 })
	d.set(func() { d.syncHang = nil })
	close(sync)
	if second := <-next; !errors.Is(second.err, syscall.EIO) {
		t.Errorf("a record is open whose body may not be on the disk: %v", second.err)
	}
	third, v := h.resend(history)
	h.written()
	w.Close(ended(e))
	v.Close(ended(third))
	filler.settled()
	h.stop()
	if doc := h.document(third); doc.Request.Body != string(history) || doc.Request.Incomplete != "" {
		t.Errorf("the next body has %d bytes and is marked %q", len(doc.Request.Body), doc.Request.Incomplete)
	}
}
