package record

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestASpoolOnAFullDiskGoesOnWhenThereIsRoomAgain(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := newHouse(t)
	h.stop()
	if err := unix.Mount("tmpfs", h.dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("no file system can be mounted here: ", err)
	}
	defer func() {
		if err := unix.Unmount(h.dir, 0); err != nil {
			t.Error(err)
		}
	}()
	h.reopen()
	h.archive.fail(errDown)
	noise := make([]byte, 20_000)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(noise)
	opened, whole := 0, map[string]bool{}
	var err error
	for err == nil {
		e := newExchange()
		var w *Writer
		if w, err = h.Open(t.Context(), e, Message{}, nil); err != nil {
			break
		}
		opened++
		if opened > 100 {
			t.Fatal("the disk does not fill")
		}
		whole[Key(e)] = w.WriteRequest(noise) == nil && w.Flush(t.Context()) == nil
		w.Close(ended(e))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("opening a record on a full disk: %v", err)
	}
	h.archive.fail(nil)
	h.eventually("all is settled", func() bool { n, _ := h.Depth(); return n == 0 })
	if len(h.archive.docs) != opened || len(h.ledger.byID) != opened {
		t.Errorf("%d documents and %d rows of %d that were opened", len(h.archive.docs), len(h.ledger.byID), opened)
	}
	for _, e := range h.ledger.byID {
		if doc := h.document(e); whole[Key(e)] && len(doc.Request.Bytes()) != len(noise) || !whole[Key(e)] && doc.Request.Incomplete == "" {
			t.Errorf("of %d bytes that were flushed (%v), %d are on record, marked %q", len(noise), whole[Key(e)], len(doc.Request.Bytes()), doc.Request.Incomplete)
		}
	}
	e, w := h.begin()
	w.Close(ended(e))
	h.stop()
}
