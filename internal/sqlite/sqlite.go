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
	"net/url"
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
	// ownWait is how long an owner waits for others to let go of the file, so that it
	// can move the schema.
	ownWait = 3 * time.Second
	// readers is the number of connections that read.
	readers = 8
)

// DB is one open database file. Its methods may be called concurrently.
type DB struct {
	file   *file
	writer *sql.DB // nil when the file is opened to Look
	anew   *sql.DB // makes a connection for each use, which remembers nothing; nil with writer
	reader *sql.DB
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
	if db.writer == nil {
		return fmt.Errorf("write to %s: it is open for reading", db.file.path)
	}
	queue, cancel := context.WithTimeout(ctx, queueWait)
	defer cancel()
	conn, err := db.writer.Conn(queue)
	if err != nil {
		if ctx.Err() == nil && queue.Err() != nil {
			err = errors.New("another change is still being written")
		}
		return fmt.Errorf("write to %s: %w", db.file.path, explain(err))
	}
	defer conn.Close() // gives it back to the pool; fails only if already given back
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write to %s: %w", db.file.path, explain(err))
	}
	if err := change(tx); err != nil {
		return errors.Join(explain(err), rollback(tx))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write to %s: %w", db.file.path, explain(err))
	}
	return nil
}

// read runs look in a transaction that sees the file as it is at one moment.
func (db *DB) read(ctx context.Context, look func(tx *sql.Tx) error) error {
	tx, err := db.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read %s: %w", db.file.path, explain(err))
	}
	return errors.Join(look(tx), rollback(tx))
}

// probe returns why the file cannot be written to; nil when it can.
func (db *DB) probe(ctx context.Context) error {
	return db.Write(ctx, func(*sql.Tx) error { return nil })
}

// Close closes the file. Statements prepared on it are of no use afterwards.
func (db *DB) Close() error {
	errs := []error{db.file.unchanged()}
	// The writer goes last, as the last connection merges the WAL into the file.
	for _, pool := range []*sql.DB{db.reader, db.anew, db.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}

// connections returns a pool of at most n, which never closes an idle one: their
// caches and prepared statements are what makes them fast.
func connections(f *file, source string, n int) *sql.DB {
	made := sql.OpenDB(&pool{file: f, source: source, limit: n})
	made.SetMaxOpenConns(n)
	made.SetMaxIdleConns(n)
	return made
}

// source is the driver's address of a file, with the settings that every
// connection needs.
func source(path, more string) string {
	escaped := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	return fmt.Sprintf("file:%s?vfs=%s&_txlock=immediate&_pragma=busy_timeout(%d)&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)%s",
		escaped, fileSystem, lockWait.Milliseconds(), more)
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
	case sqlite3.SQLITE_CANTOPEN:
		advice = "the file, or the -wal or -shm file beside it, cannot be opened: check permissions and the file system; " +
			"a copy on a read-only disk needs all three"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
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
