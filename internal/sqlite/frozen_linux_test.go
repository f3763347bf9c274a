package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/disk/disktest"
)

func TestAFrozenFileSystemHoldsUpTheCallsToItAlone(t *testing.T) {
	f := disktest.NewFreezable(t)
	db := openTest(t, filepath.Join(f.Directory, "a.db"), oneTable)
	if n := count(t, db); n != 0 {
		t.Fatalf("%d rows", n)
	}
	// The next look at the table notes in the mapping that it has seen this change.
	if err := db.Write(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	thaw := f.Freeze()

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for range 3 * readers {
		all.Go(func() {
			var n int
			err := db.Reader().QueryRowContext(ctx, "SELECT count(*) FROM things").Scan(&n)
			if err != nil && ctx.Err() == nil && !errors.Is(err, ErrHanging) {
				t.Errorf("a look at the table: %v", err)
			}
		})
	}
	all.Go(func() {
		if err := db.Write(ctx, insert(ctx, "b")); err == nil {
			t.Error("a change was made on a frozen file system")
		}
	})
	all.Wait()
	runtime.GC() // which waits for every goroutine that runs
	if !f.Frozen() {
		t.Fatal("this process hung until another thawed the file system")
	}
	if err := db.Write(t.Context(), insert(t.Context(), "c")); !errors.Is(err, ErrHanging) {
		t.Errorf("a change on a disk that is known to hang: %v, want %v", err, ErrHanging)
	}
	if !f.Frozen() {
		t.Error("what could be known to hang waited")
	}

	thaw()
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		err := db.Write(ctx, insert(ctx, "d"))
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("a change after the disk came back: %v", err)
		}
	}
	if n := count(t, db); n < 2 || n > 3 {
		t.Errorf("%d rows, want those before and after, and perhaps the one whose caller went away", n)
	}
}
