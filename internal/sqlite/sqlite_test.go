package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var oneTable = []string{"CREATE TABLE things (name TEXT PRIMARY KEY) STRICT"}

func openTest(t *testing.T, path string, migrations []string) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, migrations, Own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func insert(ctx context.Context, name string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO things (name) VALUES (?)", name)
		return err
	}
}

func count(t *testing.T, db *DB) (n int) {
	t.Helper()
	if err := db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM things").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryConnectionHasTheSettingsThatDurabilityNeeds(t *testing.T) {
	db := openTest(t, filepath.Join(t.TempDir(), "a.db"), oneTable)
	for name, pool := range map[string]*sql.DB{"writer": db.Writer(), "reader": db.Reader()} {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "1000",
		} {
			var got string
			if err := pool.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%s: %s = %s, want %s", name, pragma, got, want)
			}
		}
	}
}

func TestOnlyTheOwnerMayReadTheFiles(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "new", "data")
	db := openTest(t, filepath.Join(directory, "a.db"), oneTable)
	if err := db.Write(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(directory)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("the directory's mode is %o, want 700", got)
	}
	files, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 {
		t.Fatalf("found %d files, want the database and its WAL at least", len(files))
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("%s has mode %o, want 600", file.Name(), got)
		}
	}
}

func TestAPathWithOddCharactersIsTheFileThatIsOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a?b#c%20d&e ä.db")
	db := openTest(t, path, oneTable)
	if err := db.Write(t.Context(), insert(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the file was not written: %v", err)
	}
	if _, err := os.Stat(path + "-wal"); err != nil {
		t.Error(err)
	}
}

func TestMigrationsRunOnceAndInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	first, err := Open(t.Context(), path, oneTable, Own)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Write(t.Context(), insert(t.Context(), "kept")), first.Close()); err != nil {
		t.Fatal(err)
	}
	later := append(oneTable[:1:1], "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7")
	second := openTest(t, path, later)
	var size int
	if err := second.Reader().QueryRowContext(t.Context(), "SELECT size FROM things WHERE name = 'kept'").Scan(&size); err != nil || size != 7 {
		t.Errorf("size = %d, %v; want 7", size, err)
	}
	openTest(t, path, later)
}

func TestAFailedMigrationChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	broken := append(oneTable[:1:1], "CREATE TABLE half (a TEXT); INSERT INTO missing VALUES (1)")
	if _, err := Open(t.Context(), path, broken, Own); err == nil {
		t.Fatal("a broken migration was accepted")
	}
	db := openTest(t, path, oneTable)
	if _, err := db.Reader().ExecContext(t.Context(), "SELECT * FROM half"); err == nil {
		t.Error("half of the failed migration is there")
	}
}

func TestFilesOpenedByManyAtOnceAreMigratedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			db, err := Open(t.Context(), path, oneTable, Own)
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestOpenSaysWhatIsWrongWithAFile(t *testing.T) {
	directory := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(directory, "newer.db")
	openTest(t, newer, append(oneTable[:1:1], "CREATE TABLE more (a TEXT)"))

	for name, test := range map[string]struct{ path, want string }{
		"no database":        {write("text.db", strings.Repeat("This is a text. ", 100)), "the file is no database"},
		"newer":              {newer, "a newer codex-proxy wrote it (its tables have version 2, this program knows 1)"},
		"a directory":        {directory, "it is no regular file"},
		"a file as a folder": {filepath.Join(write("plain", "x"), "a.db"), "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := os.ReadFile(test.path)
			_, err := Open(t.Context(), test.path, oneTable, Own)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: %v, want an error with %q", err, test.want)
			}
			if after, _ := os.ReadFile(test.path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestAFileThatCannotBeWrittenIsAnErrorThatSaysSo(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := Open(t.Context(), path, oneTable, Own)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, protect := range []string{path, filepath.Dir(path)} {
		info, err := os.Stat(protect)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(protect, 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path, oneTable, Own); err == nil || !strings.Contains(err.Error(), "cannot be written: check permissions") {
			t.Errorf("Open with %s protected: %v", filepath.Base(protect), err)
		}
		if err := os.Chmod(protect, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFileThatSomebodyIsWritingToCanBeOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	writing := openTest(t, path, oneTable)
	if err := writing.Write(t.Context(), func(*sql.Tx) error {
		reading := openTest(t, path, oneTable)
		if n := count(t, reading); n != 0 {
			t.Errorf("%d rows, want 0", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedChangeLeavesNothing(t *testing.T) {
	db := openTest(t, filepath.Join(t.TempDir(), "a.db"), oneTable)
	failed := errors.New("changed my mind")
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		if err := insert(t.Context(), "a")(tx); err != nil {
			return err
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("Write: %v, want the change's own error", err)
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows, want 0", n)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	db := openTest(t, filepath.Join(t.TempDir(), "a.db"), oneTable)
	if _, err := db.Reader().ExecContext(t.Context(), "INSERT INTO things VALUES ('a')"); err == nil {
		t.Error("a reader wrote")
	}
}

func TestAChangeOfOneProcessIsSeenByTheOthersNextRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	server, command := openTest(t, path, oneTable), openTest(t, path, oneTable)
	for want := 1; want <= 3; want++ {
		if err := command.Write(t.Context(), insert(t.Context(), strings.Repeat("x", want))); err != nil {
			t.Fatal(err)
		}
		if got := count(t, server); got != want {
			t.Errorf("the other sees %d rows, want %d", got, want)
		}
	}
}

func TestALockedFileIsAnErrorAndNotAHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	holder, db := openTest(t, path, oneTable), openTest(t, path, oneTable)
	held, release := make(chan struct{}), make(chan struct{})
	var holding sync.WaitGroup
	holding.Go(func() {
		if err := holder.Write(context.Background(), func(*sql.Tx) error {
			close(held)
			<-release
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-held
	defer holding.Wait()
	defer close(release)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for name, locked := range map[string]*DB{"by another process": db, "by this process": holder} {
		err := locked.Write(ctx, insert(ctx, "a"))
		if err == nil || ctx.Err() != nil {
			t.Errorf("locked %s: %v, want an error before the caller's own limit", name, err)
		}
		if n := count(t, locked); n != 0 {
			t.Errorf("locked %s: readers see %d rows, want 0", name, n)
		}
	}
}

func TestAFileHeldExclusivelyIsAnErrorThatSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := Open(t.Context(), path, oneTable, Own)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// A repair holds the file like this: readers are shut out, too.
	repair, err := sql.Open("sqlite", "file:"+path+"?_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		t.Fatal(err)
	}
	defer repair.Close()
	if _, err := repair.ExecContext(t.Context(), "INSERT INTO things VALUES ('held')"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, oneTable, Own); err == nil || !strings.Contains(err.Error(), "another process holds the database's lock") {
		t.Errorf("Open: %v", err)
	}
}
