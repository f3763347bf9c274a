// Package sqlite keeps the proxy's tables in SQLite files on this machine.
//
// A file has one connection that writes and several that read. In WAL mode
// readers never wait for the writer, and other processes (the commands, beside
// a running server) may read and write the same file: a change that one commits
// is what the next read of the other sees.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// queueWait is how long a change waits for its turn within this process, and
	// lockWait how long SQLite then waits for another process's lock. Together
	// they keep a change that cannot be made from waiting more than 2 seconds.
	queueWait = time.Second
	lockWait  = time.Second
	// readers is the number of connections that read.
	readers = 8
)

// DB is one open database file. Its methods may be called concurrently.
type DB struct {
	path   string
	writer *sql.DB
	reader *sql.DB
}

// Open opens the database file at path, creating it (mode 0600) and its
// directory (mode 0700) where they are missing, and brings its tables up to
// date: migrations[i] takes the file from PRAGMA user_version i to i+1, each in
// a transaction of its own. A migration that was ever released is never edited;
// a change is a new one at the end.
//
// The error says what to do when the path cannot be written, holds no database,
// or was written by a newer program.
func Open(ctx context.Context, path string, migrations []string) (*DB, error) {
	if err := createFile(path); err != nil {
		return nil, fmt.Errorf("open the database %s: %w: check the path and its permissions, or name another directory with --data", path, err)
	}
	db := &DB{path: path}
	if err := db.open(ctx, migrations); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", path, explain(err)), db.Close())
	}
	return db, nil
}

// Reader returns the connections that read. They refuse to write.
func (db *DB) Reader() *sql.DB { return db.reader }

// Writer returns the one connection that writes, for preparing statements to
// be used in Write (with tx.StmtContext).
func (db *DB) Writer() *sql.DB { return db.writer }

// Write runs change in a transaction that holds the write lock from its first
// moment. When it returns nil the change is durable; otherwise nothing changed.
// Waiting for its turn is bounded to 2 seconds; what change does is bounded by
// ctx alone. change must use nothing but tx to reach this database.
func (db *DB) Write(ctx context.Context, change func(tx *sql.Tx) error) error {
	queue, cancel := context.WithTimeout(ctx, queueWait)
	defer cancel()
	conn, err := db.writer.Conn(queue)
	if err != nil {
		if ctx.Err() == nil && queue.Err() != nil {
			err = errors.New("another change is still being written")
		}
		return fmt.Errorf("write to %s: %w", db.path, explain(err))
	}
	defer conn.Close() // gives it back to the pool; fails only if already given back
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write to %s: %w", db.path, explain(err))
	}
	if err := change(tx); err != nil {
		return errors.Join(explain(err), rollback(tx))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write to %s: %w", db.path, explain(err))
	}
	return nil
}

// read runs look in a transaction that sees the file as it is at one moment.
func (db *DB) read(ctx context.Context, look func(tx *sql.Tx) error) error {
	tx, err := db.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read %s: %w", db.path, explain(err))
	}
	return errors.Join(look(tx), rollback(tx))
}

// ping returns why the file cannot be read; nil when it can.
func (db *DB) ping(ctx context.Context) error {
	var one int
	if err := db.reader.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)`).Scan(&one); err != nil {
		return fmt.Errorf("read %s: %w", db.path, explain(err))
	}
	return nil
}

// probe returns why the file cannot be written to; nil when it can.
func (db *DB) probe(ctx context.Context) error {
	return db.Write(ctx, func(*sql.Tx) error { return nil })
}

// Close closes the file. Statements prepared on it are of no use afterwards.
func (db *DB) Close() error {
	var errs []error
	// The writer goes last, as the last connection merges the WAL into the file.
	for _, pool := range []*sql.DB{db.reader, db.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

func (db *DB) open(ctx context.Context, migrations []string) (err error) {
	registerFileSystem()
	db.writer = connections(source(db.path, ""), 1)
	db.reader = connections(source(db.path, "&_pragma=query_only(1)"), readers)
	if err := useWAL(ctx, db.writer); err != nil {
		return err
	}
	if err := db.migrate(ctx, migrations); err != nil {
		return err
	}
	if err := db.checkWritable(ctx); err != nil {
		return err
	}
	return db.reader.PingContext(ctx)
}

// createFile makes sure that there is a file at path. One that exists is not
// opened: closing any descriptor of a database file drops the POSIX locks that
// SQLite holds on it elsewhere in this process.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return file.Close()
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	return err
}

// checkWritable finds out now, and not at the first change, that the file
// cannot be written. One that somebody else is writing to can be.
func (db *DB) checkWritable(ctx context.Context) error {
	undo := errors.New("undo")
	err := db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "PRAGMA user_version = 0"); err != nil {
			return err
		}
		return undo
	})
	if errors.Is(err, undo) || primaryCode(err) == sqlite3.SQLITE_BUSY {
		return nil
	}
	return err
}

// source is the driver's address of a file, with the settings that every
// connection needs.
func source(path, more string) string {
	escaped := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	return fmt.Sprintf("file:%s?vfs=%s&_txlock=immediate&_pragma=busy_timeout(%d)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)%s",
		escaped, fileSystem, lockWait.Milliseconds(), more)
}

// connections returns a pool of at most n, which never closes an idle one: their
// caches and prepared statements are what makes them fast.
func connections(source string, n int) *sql.DB {
	made := sql.OpenDB(&pool{source: source, limit: n})
	made.SetMaxOpenConns(n)
	made.SetMaxIdleConns(n)
	return made
}

// useWAL puts the file in WAL mode, where it stays. SQLite does not wait for
// another process that is doing the same at this moment, so this does.
func useWAL(ctx context.Context, pool *sql.DB) error {
	for deadline := time.Now().Add(lockWait); ; {
		var mode string
		err := pool.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		switch {
		case err == nil && mode != "wal":
			return fmt.Errorf("the file system does not allow WAL mode (the journal mode stays %q): use a local disk", mode)
		case err == nil:
			return nil
		case primaryCode(err) != sqlite3.SQLITE_BUSY || time.Now().After(deadline):
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (db *DB) migrate(ctx context.Context, migrations []string) error {
	for {
		version, err := userVersion(ctx, db.writer)
		if err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("a newer codex-proxy wrote it (its tables have version %d, this program knows %d): use that version or a newer one", version, len(migrations))
		}
		if version == len(migrations) {
			return nil
		}
		if err := db.Write(ctx, func(tx *sql.Tx) error { return step(ctx, tx, version, migrations[version]) }); err != nil {
			return err
		}
	}
}

// step takes the tables from version to the next one, unless another process
// has done so since version was read.
func step(ctx context.Context, tx *sql.Tx, version int, migration string) error {
	if now, err := userVersion(ctx, tx); err != nil || now != version {
		return err
	}
	if _, err := tx.ExecContext(ctx, migration); err != nil {
		return fmt.Errorf("bring its tables to version %d: %w", version+1, err)
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1))
	return err
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func userVersion(ctx context.Context, q queryer) (version int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

func rollback(tx *sql.Tx) error {
	// A transaction that its context ended, or that SQLite gave up, is already
	// rolled back.
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) && !errors.Is(err, ErrHanging) && !strings.Contains(err.Error(), "no transaction is active") {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// explain adds to SQLite's errors what they mean for whoever runs the proxy.
func explain(err error) error {
	advice := ""
	switch primaryCode(err) {
	case sqlite3.SQLITE_NOTADB:
		advice = "the file is no database: move it away, restore it from a backup, or name another directory with --data"
	case sqlite3.SQLITE_CORRUPT:
		advice = "the file is damaged: restore it from a backup"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		advice = "another process holds the database's lock: try again, and see which process has the file open if this persists"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		advice = "the file or its directory cannot be written: check permissions and the file system"
	case sqlite3.SQLITE_FULL:
		advice = "the disk is full: make room"
	case sqlite3.SQLITE_IOERR:
		advice = "the disk failed to read or write: check the file system"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", advice, err)
}

// primaryCode is SQLite's result code of an error, without its extension; 0
// when the error is not SQLite's.
func primaryCode(err error) int {
	var failed *driver.Error
	if !errors.As(err, &failed) {
		return 0
	}
	return failed.Code() & 0xff
}
