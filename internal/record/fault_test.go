package record

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

// badDisk makes files whose writes and syncs fail when they are told to.
type badDisk struct {
	mu          sync.Mutex
	write, sync func(size int) (n int, err error) // nil when they work
	hang        chan struct{}                     // while not nil, writes wait for its end
	syncHang    chan struct{}                     // the same of syncs
	doomed      string                            // the path of a file whose syncs fail
	create      error
}

func (d *badDisk) options(o *Options) {
	o.create = func(path string) (file, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.create != nil {
			return nil, d.create
		}
		f, err := createFile(path)
		return &badFile{f, d}, err
	}
}

// set changes what the disk does.
func (d *badDisk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

type badFile struct {
	file
	disk *badDisk
}

func (f *badFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	hang, fail := f.disk.hang, f.disk.write
	f.disk.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if fail == nil {
		return f.file.Write(p)
	}
	n, err := fail(len(p))
	if n > 0 {
		_, _ = f.file.Write(p[:n])
	}
	return n, err
}

func (f *badFile) Sync() error {
	f.disk.mu.Lock()
	hang, fail := f.disk.syncHang, f.disk.sync
	f.disk.mu.Unlock()
	if hang != nil {
		<-hang
	}
	f.disk.mu.Lock()
	doomed := f.disk.doomed
	f.disk.mu.Unlock()
	if file, ok := f.file.(*os.File); ok && file.Name() == doomed {
		return syscall.EIO
	}
	if fail != nil {
		_, err := fail(0)
		return err
	}
	return f.file.Sync()
}

// faults are the ways in which a disk fails at once.
func faults(d *badDisk) map[string]struct {
	err  error
	fail func()
} {
	return map[string]struct {
		err  error
		fail func()
	}{
		"a write fails":       {syscall.EIO, func() { d.write = func(int) (int, error) { return 0, syscall.EIO } }},
		"a write is short":    {io.ErrShortWrite, func() { d.write = func(n int) (int, error) { return n / 2, io.ErrShortWrite } }},
		"the disk is full":    {syscall.ENOSPC, func() { d.write = func(n int) (int, error) { return n - 1, syscall.ENOSPC } }},
		"a sync fails":        {syscall.EIO, func() { d.sync = func(int) (int, error) { return 0, syscall.EIO } }},
		"no file can be made": {syscall.EROFS, func() { d.create = syscall.EROFS; d.write = func(int) (int, error) { return 0, syscall.EROFS } }},
	}
}

func TestNoRecordIsOpenedOnADiskThatFailsAndTheNextOneIsWhenItWorks(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name := range faults(nil) {
		t.Run(name, func(t *testing.T) {
			d := new(badDisk)
			h := newHouse(t, d.options)
			before, w := h.talk("asked", "told")
			fault := faults(d)[name]
			d.set(fault.fail)
			for range 3 {
				if _, err := h.Open(t.Context(), newExchange(), Message{}, nil); !errors.Is(err, fault.err) || !strings.Contains(err.Error(), "open a record: ") {
					t.Errorf("opening a record: %v, want %v", err, fault.err)
				}
				if err := h.Ready(t.Context()); !errors.Is(err, fault.err) {
					t.Errorf("ready: %v, want %v", err, fault.err)
				}
			}
			d.set(func() { d.write, d.sync, d.create = nil, nil, nil })
			after, v := h.talk("asked", "told")
			if err := h.Ready(t.Context()); err != nil {
				t.Errorf("a disk that works again is still not ready: %v", err)
			}
			w.Close(ended(before))
			v.Close(ended(after))
			h.stop()
			if len(h.ledger.byID) != 2 || len(h.archive.docs) != 2 {
				t.Errorf("%d rows and %d documents, want those of the two that were opened", len(h.ledger.byID), len(h.archive.docs))
			}
			if doc := h.document(before); doc.Response.Body != "told" || doc.Response.Incomplete != "" {
				t.Errorf("the record that was written before is %+v", doc)
			}
			if left := segments(t, h.dir); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
		})
	}
}

func TestARecordWhoseWritesFailedIsSettledOnceAndMarked(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, answered := range []bool{false, true} {
		for _, forgetful := range []bool{false, true} { // a crash comes before it is settled
			d := new(badDisk)
			h := newHouse(t, d.options)
			if forgetful {
				h.archive.fail(errDown)
			}
			e, w := h.begin()
			if answered {
				w.Answer(200, nil)
			}
			must(t, w.WriteRequest([]byte("asked")))
			must(t, w.Flush(t.Context()))
			d.set(func() { d.write = func(int) (int, error) { return 0, syscall.EIO } })
			must(t, w.WriteRequest([]byte(" and lost")))
			if err := w.Flush(t.Context()); !errors.Is(err, syscall.EIO) {
				t.Errorf("flushing to a disk that fails: %v", err)
			}
			d.set(func() { d.write = nil })
			if err := w.WriteRequest([]byte(" more")); !errors.Is(err, syscall.EIO) {
				t.Errorf("writing on after bytes were lost: %v", err)
			}
			w.Close(ended(e))
			if forgetful {
				h.crash()
				h.archive.fail(nil)
				h.reopen()
				h.recover()
			}
			h.stop()
			doc := h.document(e)
			if !strings.HasPrefix("asked and lost", doc.Request.Body) || doc.Request.Incomplete == "" {
				t.Errorf("answered %v, forgetful %v: the request is %+v", answered, forgetful, doc.Request)
			}
			if answered && doc.Response.Incomplete == "" {
				t.Errorf("forgetful %v: the answer is %+v", forgetful, doc.Response)
			}
			if h.archive.puts[Key(e)] != 1 || h.ledger.calls[e.ID] != 1 {
				t.Errorf("settled into %d documents and %d rows", h.archive.puts[Key(e)], h.ledger.calls[e.ID])
			}
		}
	}
}

func TestOpeningOnADiskThatHangsFailsInTimeAndWorksWhenItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(badDisk)
		h := newHouse(t, d.options)
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		began := time.Now()
		if _, err := h.Open(t.Context(), newExchange(), Message{}, nil); err == nil || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("opening on a disk that hangs: %v", err)
		}
		if waited := time.Since(began); waited != h.Spool.options.OpenTimeout { // by the bubble's clock
			t.Errorf("it failed after %v", waited)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Open(ctx, newExchange(), Message{}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("opening for somebody who went away: %v", err)
		}
		d.set(func() { d.hang = nil })
		close(hang)
		e, w := h.begin()
		w.Close(ended(e))
		h.stop()
		if len(h.archive.docs) != 1 || len(h.ledger.byID) != 1 {
			t.Errorf("%d documents and %d rows, want those of the one that was opened", len(h.archive.docs), len(h.ledger.byID))
		}
	})
}

// A sync of somebody's that takes for ever keeps nobody from writing; only who needs a
// sync waits, as long as opening a record may take, and once that is known, not at all.
func TestNoWriteWaitsForASyncThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(badDisk)
		h := newHouse(t, d.options)
		e, w := h.begin()
		hang := make(chan struct{})
		d.set(func() { d.syncHang = hang })
		began := time.Now()
		if _, err := h.Open(t.Context(), newExchange(), Message{}, []byte("asked")); !errors.Is(err, errHangs) {
			t.Errorf("opening on a disk that does not sync: %v", err)
		}
		if waited := time.Since(began); waited != h.Spool.options.OpenTimeout { // by the bubble's clock
			t.Errorf("it failed after %v", waited)
		}
		time.Sleep(time.Millisecond)
		_, before := h.Depth()
		began = time.Now()
		must(t, w.WriteRequest([]byte("asked")))
		w.Answer(200, nil)
		must(t, w.WriteResponse([]byte("told")))
		must(t, w.Flush(t.Context()))
		if _, after := h.Depth(); after <= before || time.Since(began) > 0 {
			t.Errorf("a flush wrote %d bytes, after %v", after-before, time.Since(began))
		}
		if _, err := h.Open(t.Context(), newExchange(), Message{}, nil); !errors.Is(err, errHangs) || time.Since(began) > 0 {
			t.Errorf("the next one to open is told %v, after %v", err, time.Since(began))
		}
		if err := h.Ready(t.Context()); !errors.Is(err, errHangs) {
			t.Errorf("a spool whose disk hangs says that it is %v", err)
		}
		w.Close(ended(e))
		time.Sleep(time.Second)
		if len(h.ledger.byID) > 0 {
			t.Error("the ledger is told of what is not on the disk")
		}
		d.set(func() { d.syncHang = nil })
		close(hang)
		synctest.Wait()
		if err := h.Ready(t.Context()); err != nil {
			t.Errorf("the disk works again, but: %v", err)
		}
		time.Sleep(2 * time.Minute)
		h.stop()
		if doc := h.document(e); doc.Request.Body != "asked" || doc.Response.Body != "told" || doc.Request.Incomplete != "" {
			t.Errorf("the record is %+v", doc)
		}
		if len(h.ledger.byID) != 1 {
			t.Errorf("%d rows, want that of the one that was opened", len(h.ledger.byID))
		}
	})
}

// What is to be opened while the disk hangs takes no more memory than the backlog may.
func TestOpeningsOnADiskThatHangsHaveABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const backlog = 200_000
		d := new(badDisk)
		h := newHouse(t, d.options, func(o *Options) { o.BacklogBytes = backlog })
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		refused := make(chan error, 100)
		for i := range cap(refused) {
			go func() {
				_, err := h.Open(context.Background(), newExchange(), Message{}, noise(50_000, uint64(i)))
				refused <- err
			}()
		}
		synctest.Wait()
		h.journal.mu.Lock()
		waiting := len(h.journal.next.data) + len(h.journal.writing.data)
		h.journal.mu.Unlock()
		if waiting == 0 || waiting > backlog {
			t.Errorf("%d bytes wait in memory, of %d that may", waiting, backlog)
		}
		began := time.Now()
		for range cap(refused) {
			if err := <-refused; !errors.Is(err, errHangs) && !errors.Is(err, errBacklog) {
				t.Errorf("opening on a disk that hangs: %v", err)
			}
		}
		if waited := time.Since(began); waited != h.Spool.options.OpenTimeout {
			t.Errorf("the last was refused after %v", waited)
		}
		d.set(func() { d.hang = nil })
		close(hang)
		synctest.Wait()
		e, w := h.begin()
		w.Close(ended(e))
		h.stop()
		if len(h.ledger.byID) != 1 {
			t.Errorf("%d rows, want that of the one that was opened", len(h.ledger.byID))
		}
	})
}

func TestWritingToADiskThatHangsFailsWhenTheBacklogIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(badDisk)
		h := newHouse(t, d.options, func(o *Options) { o.BacklogBytes = 10_000 })
		e, w := h.begin()
		w.Answer(200, nil)
		other, v := h.begin()
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		noise := []byte(bodies()["bytes that are no text"])
		began := time.Now()
		var err error
		for n := 0; err == nil; n++ {
			if n > 100 {
				t.Fatal("the backlog grows without a bound")
			}
			err = w.WriteResponse(noise)
			synctest.Wait() // the first batch is being written
		}
		if !errors.Is(err, errBacklog) {
			t.Errorf("writing to a disk that hangs: %v", err)
		}
		if waited := time.Since(began); waited != h.Spool.options.BacklogWait { // by the bubble's clock
			t.Errorf("it failed after %v", waited)
		}
		if err := w.WriteResponse(noise); !errors.Is(err, errBacklog) || time.Since(began) != h.Spool.options.BacklogWait {
			t.Errorf("the next write waits again, or works: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		must(t, v.WriteRequest([]byte("as")))
		if err := v.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flushing to a disk that hangs: %v", err)
		}
		// An exchange that ends while the disk hangs is not archived without what
		// hangs, however long that takes.
		w.Close(ended(e))
		time.Sleep(5 * time.Minute)
		if len(h.archive.docs) > 0 {
			t.Error("a record was archived without what is still to be written")
		}
		d.set(func() { d.hang = nil })
		close(hang)
		must(t, v.WriteRequest([]byte("ked")))
		must(t, v.Flush(t.Context()))
		v.Close(ended(other))
		time.Sleep(time.Minute)
		h.stop()
		if doc := h.document(e); doc.Response.Incomplete == "" || doc.Response.Bytes() == nil {
			t.Errorf("the answer has %d bytes and is marked %q", len(doc.Response.Bytes()), doc.Response.Incomplete)
		}
		if doc := h.document(other); doc.Request.Body != "asked" || doc.Request.Incomplete != "" {
			t.Errorf("the other record is %+v", doc.Request)
		}
	})
}

func TestAWriterThatFailsNowAndThenLosesNothingThatItSaidItKept(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := new(badDisk)
	h := newHouse(t, d.options)
	n := 0
	d.set(func() {
		d.sync = func(int) (int, error) {
			if n++; n%7 == 0 {
				return 0, syscall.EIO
			}
			return 0, nil
		}
	})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 40 {
				e := newExchange()
				w, err := h.Open(t.Context(), e, Message{}, nil)
				if err != nil {
					continue
				}
				kept := w.WriteRequest([]byte("asked")) == nil && w.Flush(t.Context()) == nil
				w.Answer(200, nil)
				w.Close(ended(e))
				h.settled(e)
				doc := h.document(e)
				if kept && doc.Request.Body != "asked" {
					t.Errorf("what was flushed is %q on record", doc.Request.Body)
				}
				if doc.Request.Incomplete == "" && (doc.Request.Body != "asked" || doc.Response == nil) {
					t.Errorf("a record that is not whole is not marked: %+v", doc)
				}
			}
		})
	}
	group.Wait()
	h.stop()
}

// What was flushed can be read back, even while the log still tells others of
// the same batch where their entries stand.
func TestAFlushWaitsUntilTheWriterKnowsItsEntries(t *testing.T) {
	defer goleak.VerifyNone(t)
	d := new(badDisk)
	h := newHouse(t, d.options)
	for range 50 {
		h.eventually("nothing is left to write", func() bool { n, _ := h.Depth(); return n == 0 })
		h.written()
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		var group sync.WaitGroup
		e, opened := newExchange(), make(chan *Writer)
		go func() { // its batch is the one that hangs
			w, err := h.Open(context.Background(), e, Message{}, nil)
			if err != nil {
				t.Error(err)
			}
			opened <- w
		}()
		h.eventually("a batch is being written", func() bool {
			h.journal.mu.Lock()
			defer h.journal.mu.Unlock()
			return h.journal.writing != nil && len(h.journal.next.entries) == 0
		})
		first, second := h.newWriter(uuid.New()), h.newWriter(uuid.New())
		for _, w := range []*Writer{first, second} {
			must(t, w.WriteRequest(make([]byte, requestChunk)))
		}
		first.mu.Lock()
		d.set(func() { d.hang = nil })
		close(hang)
		w := <-opened
		group.Go(func() {
			if err := second.Flush(context.Background()); err != nil {
				t.Error(err)
			}
			second.mu.Lock()
			defer second.mu.Unlock()
			if len(second.request.chunks) != 1 {
				t.Error("a flush returned before the writer knew its entry")
			}
		})
		for range 100 {
			runtime.Gosched()
		}
		first.mu.Unlock()
		group.Wait()
		first.settled()
		second.settled()
		w.Close(ended(e))
	}
	h.stop()
}

// TestNoRecordIsOpenInAFileThatTheNextStartDoesNotFind moves the log away under a
// running spool: what is written to it then would be lost with the process.
func TestNoRecordIsOpenInAFileThatTheNextStartDoesNotFind(t *testing.T) {
	h := newHouse(t)
	defer h.stop()
	before, after := newExchange(), newExchange()
	writer, err := h.Open(t.Context(), before, Message{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(h.dir, "*.log"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments: %v, %v", segments, err)
	}
	if err := os.Rename(segments[0], segments[0]+".away"); err != nil {
		t.Fatal(err)
	}
	if err := h.Ready(t.Context()); !errors.Is(err, ErrMoved) {
		t.Errorf("ready says %v", err)
	}
	if err := os.Rename(segments[0]+".away", filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	if err := h.Ready(t.Context()); err != nil {
		t.Errorf("ready, with a new segment, says %v", err)
	}
	next, err := h.Open(t.Context(), after, Message{}, nil)
	if err != nil {
		t.Fatalf("no record is open in the new segment: %v", err)
	}
	segments, _ = filepath.Glob(filepath.Join(h.dir, "*.log"))
	if len(segments) == 0 {
		t.Error("the record is in no segment that the next start finds")
	}
	writer.Close(ended(before))
	next.Close(ended(after))
}

// TestAnOpeningIsRefusedWhoseFileIsGone has nobody ask whether the spool is ready.
func TestAnOpeningIsRefusedWhoseFileIsGone(t *testing.T) {
	h := newHouse(t)
	defer h.stop()
	e := newExchange()
	first, err := h.Open(t.Context(), e, Message{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	segments, _ := filepath.Glob(filepath.Join(h.dir, "*.log"))
	for _, path := range segments {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Open(t.Context(), newExchange(), Message{}, nil); !errors.Is(err, ErrMoved) {
		t.Errorf("a record opens in a file that is gone: %v", err)
	}
	after := newExchange()
	next, err := h.Open(t.Context(), after, Message{}, nil)
	if err != nil {
		t.Fatalf("the next one does not open in a new file: %v", err)
	}
	first.Close(ended(e))
	next.Close(ended(after))
}
