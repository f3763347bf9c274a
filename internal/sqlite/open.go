package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// Access is what a file is opened for.
type Access int

const (
	// Own is for a server. The file is made where it is missing, and its tables are
	// brought up to date unless another process has the file open.
	Own Access = iota
	// Change is for a command that changes what is in the file.
	Change
	// Look is for a command that reads: it changes neither the file nor the directory.
	Look
)

// Open opens the database file at path for access. Own creates it (mode 0600), and
// its directory (mode 0700), where they are missing, and brings its tables up to
// date: migrations[i] takes the file from PRAGMA user_version i to i+1, each in a
// transaction of its own. A migration that was ever released is never edited; a
// change is a new one at the end.
//
// The error says what to do when the path cannot be read or written, holds no
// database, or was written by another version of the program. It wraps
// fs.ErrNotExist when there is no file and access does not make one.
func Open(ctx context.Context, path string, migrations []string, access Access) (*DB, error) {
	registerFileSystem()
	if access == Own {
		if err := createFile(path); err != nil {
			return nil, fmt.Errorf("open the database %s: %w: check the path and its permissions, or name another directory with --data", path, err)
		}
	}
	f, err := newFile(path)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	db := &DB{file: f}
	if err := db.open(ctx, migrations, access); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", path, explain(err)), db.Close())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context, migrations []string, access Access) error {
	if access == Own {
		if err := bringUpToDate(ctx, db.file, migrations); err != nil {
			return err
		}
	}
	look := "&_pragma=query_only(1)"
	if access == Look {
		look += db.file.readOnly()
	} else {
		db.writer = connections(db.file, source(db.file.path, ""), 1)
		db.anew = connections(db.file, source(db.file.path, ""), 1)
		db.anew.SetMaxIdleConns(-1)
	}
	db.reader = connections(db.file, source(db.file.path, look), readers)
	if access == Own {
		if err := useWAL(ctx, db.writer, lockWait); err != nil {
			return err
		}
	}
	version, err := userVersion(ctx, db.reader)
	if err == nil {
		err = checkVersion(version, len(migrations))
	}
	if err != nil || access == Look {
		return err
	}
	return db.checkWritable(ctx)
}

// checkVersion says what to do about tables of another version than this program's.
func checkVersion(version, known int) error {
	switch {
	case version > known:
		return fmt.Errorf("a newer codex-proxy wrote it (its tables have version %d, this program knows %d): use that version or a newer one",
			version, known)
	case version < known:
		return fmt.Errorf("an older codex-proxy wrote it (its tables have version %d, this program needs %d): stop the older server, "+
			"then start this version's, or run 'codex-proxy migrate'", version, known)
	}
	return nil
}

// Copy writes what the database file at path holds now to a new file, and changes
// neither the file nor its directory.
func Copy(ctx context.Context, path, to string) error {
	registerFileSystem()
	f, err := newFile(path)
	if err != nil {
		return fmt.Errorf("read the database %s: %w", path, err)
	}
	from := connections(f, source(path, f.readOnly()), 1)
	ctx, cancel := maintenance(ctx)
	defer cancel()
	if _, err := from.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return errors.Join(fmt.Errorf("read the database %s: %w", path, explain(err)), from.Close())
	}
	return errors.Join(f.unchanged(), from.Close())
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

// useWAL puts the file in WAL mode, where it stays. SQLite does not wait for
// another process that is doing the same at this moment, so this does.
func useWAL(ctx context.Context, pool *sql.DB, wait time.Duration) error {
	for deadline := time.Now().Add(wait); ; {
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

// bringUpToDate moves the tables to this program's version, while no other process
// has the file open.
func bringUpToDate(ctx context.Context, f *file, migrations []string) error {
	ctx, cancel := maintenance(ctx)
	defer cancel()
	for deadline := time.Now().Add(ownWait); ; {
		version, err := currentVersion(ctx, f)
		if err != nil {
			return err
		}
		if version >= len(migrations) {
			return checkVersion(version, len(migrations))
		}
		err = migrate(ctx, f, migrations)
		if err == nil {
			return nil
		}
		if primaryCode(err) != sqlite3.SQLITE_BUSY {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("its tables have version %d, this program needs %d, and another process has it open: stop the codex-proxy that does, "+
				"then try again; nothing was changed", version, len(migrations))
		}
		select {
		case <-time.After(5*time.Millisecond + rand.N(20*time.Millisecond)): // others may try in step
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func currentVersion(ctx context.Context, f *file) (int, error) {
	asked := connections(f, source(f.path, ""), 1)
	version, err := userVersion(ctx, asked)
	return version, errors.Join(err, asked.Close())
}

// migrate holds the file exclusively from its first look at it.
func migrate(ctx context.Context, f *file, migrations []string) (err error) {
	// It must not wait: with the lock that it holds already it would keep out another
	// one that waits for the same.
	db := &DB{file: f, writer: connections(f, source(f.path, "&_pragma=locking_mode(EXCLUSIVE)&_pragma=busy_timeout(0)"), 1)}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := useWAL(ctx, db.writer, 0); err != nil {
		return err
	}
	for version, migration := range migrations {
		if err := db.Write(ctx, func(tx *sql.Tx) error { return step(ctx, tx, version, migration) }); err != nil {
			return err
		}
	}
	return nil
}

// step takes the tables from version to the next one, unless they are past it.
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
