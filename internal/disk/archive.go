// Package disk keeps the archive in a directory.
package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"codex-proxy/internal/record"
)

var _ record.Archive = (*Archive)(nil)

// Archive is a record.Archive whose keys are paths below a directory. Files
// appear whole, with mode 0600, in directories with mode 0700; no key can name
// anything outside.
type Archive struct {
	path string
	root *os.Root

	mu   sync.Mutex
	made map[string]bool // directories that are known to be durable
}

// incoming is where files are written before they get their names.
const incoming = ".incoming"

// NewArchive opens the archive in dir, which it makes where it is missing.
func NewArchive(dir string) (*Archive, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the archive: %w (choose another directory with --data or --archive)", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	a := newArchive(dir, root)
	if err := root.Mkdir(incoming, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, errors.Join(fmt.Errorf("open the archive: %w", err), root.Close())
	}
	return a, nil
}

// OpenArchive opens the archive in dir for reading. It makes nothing.
func OpenArchive(dir string) (*Archive, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	return newArchive(dir, root), nil
}

func newArchive(dir string, root *os.Root) *Archive {
	return &Archive{path: dir, root: root, made: map[string]bool{".": true}}
}

// Clean removes what an interrupted Put left behind. Only the process that
// writes the archive may call it.
func (a *Archive) Clean() error {
	entries, err := fs.ReadDir(a.root.FS(), incoming)
	if err != nil {
		return fmt.Errorf("clean the archive: %w", err)
	}
	for _, entry := range entries {
		if err := a.root.Remove(path.Join(incoming, entry.Name())); err != nil {
			return fmt.Errorf("clean the archive: %w", err)
		}
	}
	return nil
}

// Probe puts a document where no record is, and removes it; it returns what of that
// failed, or that the archive is no longer at its path.
func (a *Archive) Probe(context.Context) error {
	open, err := a.root.Stat(".")
	if err == nil {
		err = inPlace(a.path, open)
	}
	if err != nil {
		return fmt.Errorf("write to the archive: %w", err)
	}
	file, err := a.root.Create(path.Join(incoming, "probe-"+rand.Text()))
	if err != nil {
		return fmt.Errorf("write to the archive: %w", err)
	}
	_, err = file.WriteString("probe")
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = a.root.Remove(path.Join(incoming, path.Base(file.Name())))
	}
	if err != nil {
		return fmt.Errorf("write to the archive: %w", err)
	}
	return nil
}

// Put implements record.Archive.
func (a *Archive) Put(ctx context.Context, key string, doc io.Reader, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !isKey(key) {
		return fmt.Errorf("put into the archive: %q is no key", key)
	}
	temporary := path.Join(incoming, rand.Text()) // no other process's, not even in another container
	if err := a.write(temporary, doc, size); err != nil {
		_ = a.root.Remove(temporary) // Clean does what this cannot
		return fmt.Errorf("put %s into the archive: %w", key, err)
	}
	directory := path.Dir(key)
	err := a.makeDirectory(directory)
	if err == nil {
		err = a.root.Rename(temporary, key)
	}
	if err == nil {
		err = a.sync(directory)
	}
	if err != nil {
		a.mu.Lock() // somebody may have removed a directory that was known
		a.made = map[string]bool{".": true}
		a.mu.Unlock()
		_ = a.root.Remove(temporary)
		return fmt.Errorf("put %s into the archive: %w", key, err)
	}
	return nil
}

// write writes a file that must not exist, durably.
func (a *Archive) write(name string, doc io.Reader, size int64) error {
	f, err := a.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, doc)
	if err == nil && n != size {
		err = fmt.Errorf("the document has %d bytes and not %d", n, size)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// makeDirectory makes a directory and those above it, durably.
func (a *Archive) makeDirectory(name string) error {
	a.mu.Lock()
	made := a.made[name]
	a.mu.Unlock()
	if made {
		return nil
	}
	parent := path.Dir(name)
	if err := a.makeDirectory(parent); err != nil {
		return err
	}
	if err := a.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := a.sync(parent); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.made) > 10_000 { // years of days; the next look costs a Mkdir
		a.made = map[string]bool{".": true}
	}
	a.made[name] = true
	return nil
}

// Get implements record.Archive.
func (a *Archive) Get(_ context.Context, key string) (io.ReadCloser, error) {
	if !isKey(key) {
		return nil, fmt.Errorf("get from the archive: %q is no key", key)
	}
	f, err := a.root.Open(key)
	if err != nil {
		return nil, fmt.Errorf("get from the archive: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: key, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("get from the archive: %w", err), f.Close())
	}
	return f, nil
}

// isKey reports whether a name is one below the root that a document can have.
func isKey(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.HasPrefix(name, incoming)
}

// Keys implements record.Archive.
func (a *Archive) Keys(ctx context.Context, first, last time.Time) iter.Seq2[string, error] {
	const dayForm = "2006/01/02"
	from, to := first.UTC().Format(dayForm), last.UTC().Format(dayForm)
	return func(yield func(string, error) bool) {
		a.walk(ctx, ".", yield, func(name string, directory bool) bool {
			parts := strings.Split(name, "/")
			if !digits(parts[0]) {
				return false
			}
			if directory { // 2026, 2026/02, 2026/02/16, …/developer
				n := min(len(name), len(dayForm))
				return len(parts) <= 4 && name[:n] >= from[:n] && name[:n] <= to[:n]
			}
			return len(parts) == 5 && strings.HasSuffix(name, ".json.zst")
		})
	}
}

// List implements record.Archive.
func (a *Archive) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		a.walk(ctx, strings.TrimSuffix(prefix, "/"), yield, func(string, bool) bool { return true })
	}
}

// walk yields the files below a directory that want wants, in their order.
func (a *Archive) walk(ctx context.Context, directory string, yield func(string, error) bool, want func(name string, directory bool) bool) (more bool) {
	entries, err := fs.ReadDir(a.root.FS(), directory)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		yield("", fmt.Errorf("list the archive: %w", err))
		return false
	}
	sort.Slice(entries, func(i, k int) bool { return sortName(entries[i]) < sortName(entries[k]) })
	for _, entry := range entries {
		name := path.Join(directory, entry.Name())
		if !want(name, entry.IsDir()) {
			continue
		}
		if entry.IsDir() {
			more = a.walk(ctx, name, yield, want)
		} else {
			more = yield(name, nil)
		}
		if !more {
			return false
		}
	}
	return true
}

// sortName is what an entry sorts by so that the files below it come in the order
// of their keys.
func sortName(entry fs.DirEntry) string {
	if entry.IsDir() {
		return entry.Name() + "/"
	}
	return entry.Name()
}

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
