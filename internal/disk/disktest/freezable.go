// Package disktest has disks for tests that do not do what a disk should.
package disktest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Freezable is a file system that a test may freeze.
type Freezable struct {
	t         *testing.T
	Directory string // where it is mounted
	thawed    string // the file that is there once it is being thawed
}

// NewFreezable mounts a file system that is a file. It skips the test where that
// cannot be done.
func NewFreezable(t *testing.T) *Freezable {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may freeze a file system")
	}
	elsewhere := t.TempDir()
	f := &Freezable{t: t, Directory: t.TempDir(), thawed: filepath.Join(elsewhere, "thawed")}
	image := filepath.Join(elsewhere, "image")
	for _, step := range [][]string{
		{"truncate", "--size=32M", image},
		{"mkfs.ext4", "-q", image},
		{"mount", "-o", "loop", image, f.Directory},
	} {
		if out, err := exec.CommandContext(t.Context(), step[0], step[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system to freeze: %s: %v: %s", step[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", f.Directory).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return f
}

// Freeze freezes the file system until thaw, or for 20 seconds: another process
// thaws it then, as this one may be what hangs.
func (f *Freezable) Freeze() (thaw func()) {
	f.t.Helper()
	command := exec.Command("sh", "-c", `timeout 20 cat >/dev/null; touch "$1"; fsfreeze --unfreeze "$0"`, f.Directory, f.thawed)
	input, err := command.StdinPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	thaw = sync.OnceFunc(func() { _ = errors.Join(input.Close(), command.Wait()) })
	f.t.Cleanup(thaw)
	if out, err := exec.CommandContext(f.t.Context(), "fsfreeze", "--freeze", f.Directory).CombinedOutput(); err != nil {
		f.t.Skipf("fsfreeze: %v: %s", err, out)
	}
	return thaw
}

// Frozen tells whether the file system is still frozen.
func (f *Freezable) Frozen() bool {
	_, err := os.Stat(f.thawed)
	return err != nil
}
