package sqlite

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// closed makes a file that nobody has open, with one row.
func closed(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a.db")
	db, err := Open(t.Context(), path, oneTable, Own)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Write(t.Context(), insert(t.Context(), "kept")), db.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// files returns what is in a directory: each file's content, mode and time.
func files(t *testing.T, directory string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		raw, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		found[entry.Name()] = info.Mode().String() + info.ModTime().Format(time.RFC3339Nano) + string(raw)
	}
	return found
}

var moreTables = append(oneTable[:1:1], "CREATE TABLE more (a TEXT)")

func TestACommandMovesNoSchema(t *testing.T) {
	for name, access := range map[string]Access{"to change": Change, "to look": Look} {
		path := closed(t)
		before := files(t, filepath.Dir(path))
		_, err := Open(t.Context(), path, moreTables, access)
		if err == nil || !strings.Contains(err.Error(), "an older codex-proxy wrote it (its tables have version 1, this program needs 2): stop the older server") {
			t.Errorf("%s: %v", name, err)
		}
		if after := files(t, filepath.Dir(path)); !maps.Equal(after, before) {
			t.Errorf("%s: the directory is another", name)
		}
	}
}

func TestASchemaIsMovedOnlyWhileNobodyElseHasTheFileOpen(t *testing.T) {
	path := closed(t)
	server, err := Open(t.Context(), path, oneTable, Own)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path, moreTables, Own)
	if err == nil || !strings.Contains(err.Error(), "another process has it open: stop the codex-proxy that does") {
		t.Errorf("beside a server: %v", err)
	}
	if version, err := userVersion(t.Context(), server.reader); err != nil || version != 1 {
		t.Errorf("the server's tables have version %d, %v, want 1", version, err)
	}
	if err := server.Write(t.Context(), insert(t.Context(), "more")); err != nil {
		t.Errorf("the server cannot write any more: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, openTest(t, path, moreTables)); n != 2 {
		t.Errorf("%d rows after the server ended, want 2", n)
	}
}

func TestOnlyAnOwnerMakesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "typo", "a.db")
	for name, access := range map[string]Access{"to change": Change, "to look": Look} {
		if _, err := Open(t.Context(), path, oneTable, access); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want %v", name, err, fs.ErrNotExist)
		}
		if _, err := os.Stat(filepath.Dir(path)); err == nil {
			t.Errorf("%s: there is a directory now", name)
		}
	}
}

func TestLookingLeavesTheDirectoryAsItIs(t *testing.T) {
	path := closed(t)
	before := files(t, filepath.Dir(path))
	db, err := Open(t.Context(), path, oneTable, Look)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	if err := db.Write(t.Context(), insert(t.Context(), "a")); err == nil {
		t.Error("it was written to")
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := errors.Join(db.Check(t.Context()), db.Close(), Copy(t.Context(), path, copied)); err != nil {
		t.Error(err)
	}
	if after := files(t, filepath.Dir(path)); !maps.Equal(after, before) {
		t.Errorf("the directory is another: %v", after)
	}
	if n := count(t, openTest(t, copied, moreTables)); n != 1 {
		t.Errorf("the copy has %d rows, want 1", n)
	}
}

func TestWhoLooksSeesWhatAServerHasWritten(t *testing.T) {
	path := closed(t)
	server := openTest(t, path, oneTable)
	if err := server.Write(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), path, oneTable, Look)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := errors.Join(db.Close(), Copy(t.Context(), path, copied)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, openTest(t, copied, oneTable)); n != 2 {
		t.Errorf("the copy has %d rows, want 2", n)
	}
}

func TestAReadOnlyCopyOfARunningServersFilesCanBeRead(t *testing.T) {
	path := closed(t)
	server := openTest(t, path, oneTable)
	if err := server.Write(t.Context(), insert(t.Context(), "in the WAL")); err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(directory, os.DirFS(filepath.Dir(path))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(directory, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(directory, 0o700) })
	db, err := Open(t.Context(), filepath.Join(directory, "a.db"), oneTable, Look)
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatIsReadWhileSomebodyBeginsToWriteIsAnError(t *testing.T) {
	path := closed(t)
	db, err := Open(t.Context(), path, oneTable, Look)
	if err != nil {
		t.Fatal(err)
	}
	server, err := Open(t.Context(), path, oneTable, Own)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.Write(t.Context(), insert(t.Context(), "a")), server.Close()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err == nil || !strings.Contains(err.Error(), "try again") {
		t.Errorf("Close: %v, want an error that says to try again", err)
	}
}
