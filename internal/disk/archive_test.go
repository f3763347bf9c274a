package disk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/record"
	"codex-proxy/internal/record/archivetest"
)

const key = "2026/02/16/alice/018e0000-0000-7000-8000-000000000001.json.zst"

func open(t *testing.T, dir string) *disk.Archive {
	t.Helper()
	archive, err := disk.NewArchive(dir)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func put(t *testing.T, archive *disk.Archive, key string) {
	t.Helper()
	if err := archive.Put(t.Context(), key, strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
}

func TestADirectoryKeepsTheContractOfArchives(t *testing.T) {
	archivetest.Run(t, func(t *testing.T) record.Archive { return open(t, t.TempDir()) })
}

func TestOnlyItsOwnerReadsTheArchive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "archive")
	put(t, open(t, dir), key)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("%s has mode %o", entry.Name(), mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsPutOutsideThroughALink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	archive := open(t, dir)
	if err := os.Symlink(outside, filepath.Join(dir, "2026")); err != nil {
		t.Skip(err)
	}
	if err := archive.Put(t.Context(), key, strings.NewReader("x"), 1); err == nil {
		t.Error("a document was put through a link that leads outside")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("%d files outside, %v", len(entries), err)
	}
}

func TestAPutAfterADirectoryWasRemovedWorksAtTheSecondTry(t *testing.T) {
	dir := t.TempDir()
	archive := open(t, dir)
	put(t, archive, key)
	if err := os.RemoveAll(filepath.Join(dir, "2026")); err != nil {
		t.Fatal(err)
	}
	if err := archive.Put(t.Context(), key, strings.NewReader("x"), 1); err == nil {
		return // it noticed by itself
	}
	put(t, archive, key)
}

func TestCleanRemovesWhatAnInterruptedPutLeft(t *testing.T) {
	dir := t.TempDir()
	archive := open(t, dir)
	put(t, archive, key)
	left := filepath.Join(dir, ".incoming", "1-1")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := archive.Clean(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what was left is still there: %v", err)
	}
	if r, err := archive.Get(t.Context(), key); err != nil {
		t.Errorf("the document is gone: %v", err)
	} else {
		_ = r.Close()
	}
}

func TestAFailedPutLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	archive := open(t, dir)
	if err := archive.Put(t.Context(), key, strings.NewReader("half"), 8); err == nil {
		t.Fatal("a document shorter than its size was put")
	}
	entries, err := os.ReadDir(filepath.Join(dir, ".incoming"))
	if err != nil || len(entries) > 0 {
		t.Errorf("%d files left, %v", len(entries), err)
	}
}

func TestNoKeyNamesAFileThatIsBeingWritten(t *testing.T) {
	archive := open(t, t.TempDir())
	if err := archive.Put(t.Context(), ".incoming/1-1", strings.NewReader("x"), 1); err == nil {
		t.Error("a document was put among those that are being written")
	}
	if _, err := archive.Get(t.Context(), ".incoming/1-1"); err == nil {
		t.Error("a document was got from among those that are being written")
	}
}

func TestADirectoryThatCannotBeMadeIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.NewArchive(filepath.Join(file, "archive")); err == nil || !strings.Contains(err.Error(), "--archive") {
		t.Errorf("%v, want what to do about it", err)
	}
}
