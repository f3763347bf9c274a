package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	sqlite3 "modernc.org/sqlite/lib"
)

// ErrMoved says that the file that is open is no longer at its path, ErrDamaged
// that it does not hold a whole database.
var (
	ErrMoved   = errors.New("the file was moved or replaced while it was open: restart the server, so that it uses what is there now")
	ErrDamaged = errors.New("the file is damaged: restore it from a backup")
)

// file is a database file that is open.
type file struct {
	path string
	info fs.FileInfo
	// asIs is set when nobody writes to the file, so that it is read without a look
	// at who else does.
	asIs bool
	// moved is set once the file is not at its path, damaged once a call says that
	// it is. Both are final.
	moved   atomic.Bool
	damaged atomic.Pointer[error]
}

func newFile(path string) (*file, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	return &file{path: path, info: info}, err
}

// readOnly is what the address of a file has besides, to read it and leave the
// directory as it is. While somebody writes to the file, its WAL is there, and what
// coordinates them with it.
func (f *file) readOnly() string {
	if _, err := os.Stat(f.path + "-wal"); err == nil {
		return "&mode=ro"
	}
	f.asIs = true
	return "&mode=ro&immutable=1"
}

// unchanged returns an error when a file that was read as it is was written to
// meanwhile.
func (f *file) unchanged() error {
	if !f.asIs {
		return nil
	}
	info, err := os.Stat(f.path)
	if err == nil && (!os.SameFile(info, f.info) || info.Size() != f.info.Size() || !info.ModTime().Equal(f.info.ModTime())) {
		err = errors.New("it was written to meanwhile: try again")
	}
	if err != nil {
		return fmt.Errorf("read the database %s: %w", f.path, err)
	}
	return nil
}

// usable returns ErrMoved once the file is not at its path. No call is made then:
// what it says, or changes, would be of a file that nobody else sees.
func (f *file) usable() error {
	if f.moved.Load() {
		return ErrMoved
	}
	return nil
}

// note keeps it when a call comes back with the news that the file is damaged.
func (f *file) note(err error) {
	if code := primaryCode(err); code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB {
		f.damaged.CompareAndSwap(nil, &err)
	}
}

// inPlace returns ErrMoved when another file is at the path, or none. It is final:
// to go on with another file, SQLite would need what lies beside the first one.
func (f *file) inPlace() error {
	info, err := os.Stat(f.path)
	if err == nil && os.SameFile(info, f.info) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.moved.Store(true)
	return ErrMoved
}

// Reason names what is wrong with a file that err is about, in a word or two; "" when
// it is nothing that has a name.
func Reason(err error) string {
	code := primaryCode(err)
	switch {
	case errors.Is(err, ErrMoved):
		return "moved"
	case errors.Is(err, ErrDamaged), code == sqlite3.SQLITE_CORRUPT, code == sqlite3.SQLITE_NOTADB:
		return "damaged"
	case errors.Is(err, ErrHanging):
		return "hanging"
	case code == sqlite3.SQLITE_READONLY, code == sqlite3.SQLITE_CANTOPEN, code == sqlite3.SQLITE_PERM:
		return "read-only"
	case code == sqlite3.SQLITE_FULL:
		return "disk full"
	case code == sqlite3.SQLITE_IOERR:
		return "disk failing"
	}
	return ""
}

// maxWholeCheck is the size of a file, in bytes, up to which a check reads all of it.
const maxWholeCheck = 1 << 20

// Check returns why the file cannot be read, or be written to where it is open for
// that; nil when it can. It takes what the disk has, and not what a connection
// remembers.
func (db *DB) Check(ctx context.Context) error {
	if err := db.check(ctx); err != nil {
		return fmt.Errorf("check %s: %w", db.file.path, explain(err))
	}
	return nil
}

func (db *DB) check(ctx context.Context) error {
	if err := db.file.inPlace(); err != nil {
		return err
	}
	if damaged := db.file.damaged.Load(); damaged != nil {
		return *damaged
	}
	if db.writer == nil {
		return db.look(ctx, db.reader)
	}
	if err := db.look(ctx, db.anew); err != nil {
		return err
	}
	if err := writable(db.file.path); err != nil {
		return err
	}
	probing := &DB{file: db.file, writer: db.anew}
	if err := probing.probe(ctx); err != nil && primaryCode(err) != sqlite3.SQLITE_BUSY {
		return err // who else writes to the file shows that it can be
	}
	return nil
}

// look reads from each table and index; from a small file, everything.
func (db *DB) look(ctx context.Context, with *sql.DB) error {
	info, err := os.Stat(db.file.path)
	if err != nil {
		return err
	}
	if info.Size() <= maxWholeCheck {
		var found string
		if err := with.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
			return err
		}
		if found != "ok" {
			damaged := fmt.Errorf("%w (%s)", ErrDamaged, found)
			db.file.damaged.CompareAndSwap(nil, &damaged)
			return damaged
		}
		return nil
	}
	names, err := list(ctx, with, func(row scanner) (name string, err error) { return name, row.Scan(&name) },
		`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`)
	if err != nil {
		return err
	}
	for _, name := range names {
		var n int
		if err := with.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM "`+name+`" LIMIT 1)`).Scan(&n); err != nil {
			return err
		}
	}
	return nil
}

// writable returns why nothing can be written beside a file, where SQLite keeps
// what was changed last.
func writable(path string) (err error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".probe") // always the same, should it be left behind
	probe, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = probe.Write(make([]byte, 4<<10))
	err = errors.Join(err, probe.Close())
	if removed := os.Remove(name); !errors.Is(removed, fs.ErrNotExist) { // as another process, such as the doctor, may have
		err = errors.Join(err, removed)
	}
	return err
}
