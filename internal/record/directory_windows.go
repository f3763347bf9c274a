package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// syncDirectory does nothing: Windows makes names durable with their files.
func syncDirectory(string) error { return nil }

// lockDirectory keeps a second process out of a directory until the file that it
// returns is closed.
func lockDirectory(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("another codex-proxy uses %s: stop it, or name another directory with --data", dir), f.Close())
	}
	return f, nil
}
