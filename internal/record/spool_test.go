package record

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"codex-proxy/internal/exchange"
)

// memory is an archive in memory; err, when set, is what it answers.
type memory struct {
	mu   sync.Mutex
	docs map[string][]byte
	puts map[string]int
	err  error
}

func newMemory() *memory { return &memory{docs: map[string][]byte{}, puts: map[string]int{}} }

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) Put(_ context.Context, key string, doc io.Reader, size int64) error {
	raw, err := io.ReadAll(doc)
	if err != nil {
		return err
	}
	if int64(len(raw)) != size {
		return fmt.Errorf("%d bytes and not %d", len(raw), size)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	m.docs[key] = raw
	m.puts[key]++
	return nil
}

func (m *memory) Get(_ context.Context, key string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	raw, ok := m.docs[key]
	if m.err != nil {
		return nil, m.err
	}
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(raw)), nil
}

func (m *memory) Keys(context.Context, time.Time, time.Time) iter.Seq2[string, error] {
	panic("the spool lists no keys")
}

func (m *memory) List(context.Context, string) iter.Seq2[string, error] {
	panic("the spool lists no keys")
}

// rows is a ledger that, as the contract says, keeps one row for each id.
type rows struct {
	mu    sync.Mutex
	byID  map[string]exchange.Exchange
	calls map[string]int
	err   error
}

func newRows() *rows { return &rows{byID: map[string]exchange.Exchange{}, calls: map[string]int{}} }

func (r *rows) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *rows) write(_ context.Context, es []exchange.Exchange) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	for _, e := range es {
		r.byID[e.ID] = e
		r.calls[e.ID]++
	}
	return nil
}

// logged is a log that is kept to be looked at.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// house is a spool with all that stands around it.
type house struct {
	t       testing.TB
	dir     string
	archive *memory
	ledger  *rows
	log     *logged
	options Options
	*Spool
}

// newHouse opens a spool; changes are made to its options first.
func newHouse(t testing.TB, changes ...func(*Options)) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), archive: newMemory(), ledger: newRows(), log: new(logged)}
	h.options = Options{Archive: h.archive, Ledger: h.ledger.write, Quiet: time.Millisecond, Log: slog.New(slog.NewTextHandler(h.log, nil))}
	for _, change := range changes {
		change(&h.options)
	}
	h.reopen()
	return h
}

// reopen opens the spool as the next start does, without Recover.
func (h *house) reopen() {
	h.t.Helper()
	spool, err := OpenSpool(h.dir, h.options)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Spool = spool
}

// stop closes the spool once all is settled.
func (h *house) stop() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		h.t.Error(err)
	}
}

// crash ends the spool at once, and what is in it stays, as a crash would leave it.
func (h *house) crash() {
	h.t.Helper()
	h.Spool.stop()
	h.mu.Lock()
	h.closing = true
	h.wake.Broadcast()
	h.mu.Unlock()
	h.workers.Wait()
	h.tails.stop()
	must(h.t, h.journal.close(context.Background()))
	must(h.t, h.packer.encoder.Close())
	must(h.t, h.lock.Close())
}

// written waits until all that was appended is written, and synced where it is to be.
func (h *house) written() {
	h.t.Helper()
	h.journal.mu.Lock()
	last := h.journal.writing
	if len(h.journal.next.entries) > 0 {
		last = h.journal.next
	}
	h.journal.mu.Unlock()
	if last != nil {
		<-last.written
	}
	must(h.t, h.journal.waitSynced(context.Background()))
}

func (h *house) recover() (interrupted int) {
	h.t.Helper()
	n, err := h.Recover(context.Background(), func(*exchange.Exchange, io.Reader, io.Reader) {})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func newExchange() exchange.Exchange {
	return exchange.Exchange{
		ID: exchange.NewID(noon), Started: noon, Developer: "alice@example.com",
		TokenID: "tok", Method: http.MethodPost, Path: "/v1/responses", Transport: exchange.HTTP,
	}
}

func (h *house) begin() (exchange.Exchange, *Writer) {
	h.t.Helper()
	e := newExchange()
	w, err := h.Open(context.Background(), e, Message{Method: e.Method, URI: e.Path, Header: http.Header{"Accept": {"*/*"}}}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return e, w
}

// ended is an exchange as it ends when all goes well.
func ended(e exchange.Exchange) exchange.Exchange {
	e.Ended, e.Status, e.Outcome = e.Started.Add(time.Second), 200, exchange.Completed
	return e
}

func (h *house) document(e exchange.Exchange) *Document {
	h.t.Helper()
	r, err := h.archive.Get(context.Background(), Key(e))
	if err != nil {
		h.t.Fatal(err)
	}
	doc, err := ReadDocument(r)
	if err != nil {
		h.t.Fatal(err)
	}
	return doc
}

func (h *house) raw(e exchange.Exchange) []byte {
	h.t.Helper()
	h.archive.mu.Lock()
	defer h.archive.mu.Unlock()
	return h.archive.docs[Key(e)]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bodies are those that are hard to keep byte for byte.
func bodies() map[string]string {
	snow := strings.Repeat("snow☃and𝄞", 8000)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	random := make([]byte, 70_000)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(random)
	m := map[string]string{
		"nothing":                       "",
		"one byte":                      "a",
		"text":                          strings.Repeat("hello ", 9000),
		"runes over every chunk border": snow,
		"the same a byte later":         "a" + snow,
		"the same two bytes later":      "ab" + snow,
		"the same three bytes later":    "abc" + snow,
		"a byte order mark":             "\ufefftext",
		"NUL":                           "a\x00b",
		"only control characters":       strings.Repeat("\x01\x1f\x00\x7f\b\f\n\r\t", 4000),
		"quotes and backslashes":        strings.Repeat(`\"\\u0041"`, 5000),
		"line separators":               "\u2028\u2029\u0085",
		"a replacement character":       "a\ufffdb" + snow,
		"a surrogate":                   "a\xed\xa0\x80b",
		"an overlong form":              "a\xc0\x80b",
		"a rune that never ends":        "abc\xf0\x9d\x84",
		"a rune cut by the next":        "abc\xf0\x9d\x84☃" + snow,
		"every byte":                    string(all),
		"bytes that are no text":        string(random),
		"text and then bytes":           snow + string(random) + snow,
		"a full chunk":                  strings.Repeat("x", requestChunk),
		"a full chunk and a torn rune":  strings.Repeat("x", requestChunk-1) + "\xf0",
		"a full chunk and a whole rune": strings.Repeat("x", requestChunk-1) + "☃",
	}
	for n := range 7 {
		m[fmt.Sprintf("%d bytes in base64", n)] = "text" + strings.Repeat("\xff", n)
	}
	return m
}

// feed writes a body in pieces whose sizes next gives, and flushes where flush
// says so.
func feed(t testing.TB, w *Writer, write func([]byte) error, body []byte, next func() int, flush func() bool) {
	for len(body) > 0 {
		n := min(max(next(), 1), len(body))
		piece := bytes.Clone(body[:n])
		must(t, write(piece))
		clear(piece) // nothing of it may be kept
		body = body[n:]
		if flush() {
			must(t, w.Flush(t.Context()))
		}
	}
}

func never() bool { return false }

func TestABodyComesBackByteForByteHoweverItIsSplit(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	defer h.stop()
	random := rand.New(rand.NewPCG(1, 2))
	splits := map[string]func() (next func() int, flush func() bool){
		"at once":         func() (func() int, func() bool) { return func() int { return 1 << 30 }, never },
		"in odd pieces":   func() (func() int, func() bool) { return func() int { return 4093 }, never },
		"in random sizes": func() (func() int, func() bool) { return func() int { return random.IntN(40_000) }, never },
		"with flushes": func() (func() int, func() bool) {
			return func() int { return random.IntN(6_000) }, func() bool { return random.IntN(3) == 0 }
		},
	}
	for name, body := range bodies() {
		for how, split := range splits {
			e, w := h.begin()
			next, flush := split()
			feed(t, w, w.WriteRequest, []byte(body), next, flush)
			w.Answer(200, http.Header{"Content-Type": {"text/event-stream"}})
			feed(t, w, w.WriteResponse, []byte(body), next, flush)
			back, err := w.Request()
			must(t, err)
			if got, err := io.ReadAll(back); err != nil || string(got) != body {
				t.Errorf("%s, written %s: %d of %d bytes are read back from the writer, %v", name, how, len(got), len(body), err)
			}
			w.Close(ended(e))
			h.settled(e)
			wantBody(t, h.document(e), name+", written "+how, body)
			wantPlainJSON(t, h.raw(e), name)
		}
	}
}

// settled waits until an exchange has its row.
func (h *house) settled(e exchange.Exchange) {
	h.t.Helper()
	h.eventually("the exchange is settled", func() bool {
		h.ledger.mu.Lock()
		counted := h.ledger.calls[e.ID] > 0
		h.ledger.mu.Unlock()
		return counted && h.raw(e) != nil
	})
}

// eventually waits for a state that is bound to come.
func (h *house) eventually(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited in vain until %s; the log says:\n%s", what, h.log)
		}
	}
}

func wantBody(t testing.TB, doc *Document, name, body string) {
	t.Helper()
	if doc.Response == nil {
		t.Fatalf("%s: no answer is on record", name)
	}
	if got := string(doc.Request.Bytes()); got != body {
		t.Errorf("%s: the request has %d bytes, want %d, or others", name, len(got), len(body))
	}
	if got := string(doc.Response.Bytes()); got != body {
		t.Errorf("%s: the answer has %d bytes, want %d, or others", name, len(got), len(body))
	}
	if doc.Request.Incomplete != "" || doc.Response.Incomplete != "" {
		t.Errorf("%s: a whole record is marked incomplete: %q, %q", name, doc.Request.Incomplete, doc.Response.Incomplete)
	}
}

// wantPlainJSON checks that any zstd and any JSON decoder read a document.
func wantPlainJSON(t testing.TB, raw []byte, name string) {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	must(t, err)
	defer decoder.Close()
	text, err := decoder.DecodeAll(raw, nil)
	must(t, err)
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if !bytes.HasSuffix(text, []byte("}\n")) {
		t.Errorf("%s: the document does not end in a line feed", name)
	}
}

func FuzzBody(f *testing.F) {
	for _, body := range bodies() {
		f.Add([]byte(body), uint64(1))
	}
	h := newHouse(f)
	f.Cleanup(h.stop)
	f.Fuzz(func(t *testing.T, body []byte, dice uint64) {
		h := &house{t: t, archive: h.archive, ledger: h.ledger, log: h.log, Spool: h.Spool}
		random := rand.New(rand.NewPCG(dice, 0))
		e, w := h.begin()
		next, flush := func() int { return random.IntN(20_000) }, func() bool { return random.IntN(4) == 0 }
		feed(t, w, w.WriteRequest, body, next, flush)
		w.Answer(200, nil)
		feed(t, w, w.WriteResponse, body, next, flush)
		w.Close(ended(e))
		h.settled(e)
		wantBody(t, h.document(e), "fuzz", string(body))
		wantPlainJSON(t, h.raw(e), "fuzz")
		h.archive.mu.Lock()
		clear(h.archive.docs)
		h.archive.mu.Unlock()
	})
}

func TestAResentBodyWithALongerTailIsExact(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t, func(o *Options) { o.SegmentBytes = 30_000 }) // so that what was sent before goes with its segment
	defer h.stop()
	var history []byte
	for turn := range 40 {
		history = fmt.Appendf(history, "%d ☃ %s", turn, strings.Repeat("turn\n", 1500))
		e, w := h.begin()
		feed(t, w, w.WriteRequest, history, func() int { return 32 << 10 }, never)
		w.Answer(200, nil)
		feed(t, w, w.WriteResponse, history, func() int { return 5000 }, never)
		w.Close(ended(e))
		h.settled(e)
		wantBody(t, h.document(e), fmt.Sprint("turn ", turn), string(history))
	}
}

func TestARecordSaysAllThatWasNoted(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	defer h.stop()
	e := newExchange()
	request := Message{
		Method: "POST", URI: "/v1/responses?a=b", Header: http.Header{"Accept": {"a", "b"}},
		Framing: "websocket", ContentCoding: "zstd",
	}
	w, err := h.Open(t.Context(), e, request, nil)
	must(t, err)
	w.Answer(100, http.Header{"A": {"not the last"}})
	w.Answer(200, http.Header{"A": {"the last"}})
	w.SetTrailer(http.Header{"T": {"1"}})
	w.RequestIncomplete("the client went away")
	w.ResponseIncomplete("upstream went away")
	e = ended(e)
	w.Close(e)
	h.settled(e)
	want := &Document{
		Format: Format, Exchange: e, Request: request,
		Response: &Message{Status: 200, Header: http.Header{"A": {"the last"}}, Trailer: http.Header{"T": {"1"}}, Incomplete: "upstream went away"},
	}
	want.Request.Incomplete = "the client went away"
	if diff := cmp.Diff(want, h.document(e)); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(e, h.ledger.byID[e.ID]); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
}

func TestAnExchangeWithoutAnAnswerHasARecordWithoutOne(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	e, w := h.begin()
	must(t, w.WriteRequest([]byte("{}")))
	w.Close(ended(e))
	h.stop()
	if doc := h.document(e); doc.Response != nil || doc.Request.Body != "{}" {
		t.Errorf("%+v", doc)
	}
}

func TestManyExchangesAtOnceKeepApart(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t, func(o *Options) { o.SegmentBytes = 64 << 10 })
	var group sync.WaitGroup
	for n := range 16 {
		group.Go(func() {
			for i := range 20 {
				e, w := h.begin()
				body := strings.Repeat(fmt.Sprintf("%d/%d ", n, i), 200*(i+1))
				var sides sync.WaitGroup
				sides.Go(func() { feed(t, w, w.WriteRequest, []byte(body), func() int { return 7000 }, never) })
				w.Answer(200, nil)
				feed(t, w, w.WriteResponse, []byte(body), func() int { return 900 }, func() bool { return i%3 == 0 })
				sides.Wait()
				back, err := w.Request()
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := io.ReadAll(back); err != nil || string(got) != body {
					t.Errorf("what was written is not read back: %d of %d bytes, %v", len(got), len(body), err)
				}
				w.Close(ended(e))
				h.settled(e)
				wantBody(t, h.document(e), "one of many", body)
			}
		})
	}
	group.Wait()
	h.stop()
	if left := segments(t, h.dir); len(left) > 0 {
		t.Errorf("%v are left of a spool where all is settled", left)
	}
}

func segments(t testing.TB, dir string) []string {
	t.Helper()
	paths, _, err := segmentFiles(dir)
	must(t, err)
	return slices.Clip(paths)
}
