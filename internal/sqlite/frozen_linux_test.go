package sqlite

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// frozen is a file system that a test may freeze.
type frozen struct {
	t         *testing.T
	directory string
	thawed    string // the file that is there once it is being thawed
}

// newFrozen makes a file system in a file, where that can be done.
func newFrozen(t *testing.T) *frozen {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may freeze a file system")
	}
	elsewhere := t.TempDir()
	f := &frozen{t: t, directory: t.TempDir(), thawed: filepath.Join(elsewhere, "thawed")}
	image := filepath.Join(elsewhere, "image")
	for _, step := range [][]string{
		{"truncate", "--size=32M", image},
		{"mkfs.ext4", "-q", image},
		{"mount", "-o", "loop", image, f.directory},
	} {
		if out, err := exec.CommandContext(t.Context(), step[0], step[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system to freeze: %s: %v: %s", step[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", f.directory).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return f
}

// freeze freezes the file system until thaw, or for 5 seconds: another process
// thaws it then, as this one may be what hangs.
func (f *frozen) freeze() (thaw func()) {
	f.t.Helper()
	command := exec.Command("sh", "-c", `timeout 5 cat >/dev/null; touch "$1"; fsfreeze --unfreeze "$0"`, f.directory, f.thawed)
	input, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	thaw = sync.OnceFunc(func() { _ = errors.Join(input.Close(), command.Wait()) })
	f.t.Cleanup(thaw)
	if out, err := exec.CommandContext(f.t.Context(), "fsfreeze", "--freeze", f.directory).CombinedOutput(); err != nil {
		f.t.Skipf("fsfreeze: %v: %s", err, out)
	}
	return thaw
}

// is tells whether the file system is still frozen.
func (f *frozen) is() bool {
	_, err := os.Stat(f.thawed)
	return err != nil
}

func TestAFrozenFileSystemHoldsUpTheCallsToItAlone(t *testing.T) {
	f := newFrozen(t)
	db := openTest(t, filepath.Join(f.directory, "a.db"), oneTable)
	if n := count(t, db); n != 0 {
		t.Fatalf("%d rows", n)
	}
	// The next look at the table notes in the mapping that it has seen this change.
	if err := db.Write(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	thaw := f.freeze()

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
	if !f.is() {
		t.Fatal("this process hung until another thawed the file system")
	}
	if err := db.Write(t.Context(), insert(t.Context(), "c")); !errors.Is(err, ErrHanging) {
		t.Errorf("a change on a disk that is known to hang: %v, want %v", err, ErrHanging)
	}
	if !f.is() {
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
