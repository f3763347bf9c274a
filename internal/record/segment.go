package record

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// sum is the SHA-256 of a chunk's bytes, or of an entry. Equality rests on it, and
// whoever checks a record later must be able to compute it: so it is a cryptographic
// hash, and has no key.
type sum [sha256.Size]byte

// file is what the log needs of a segment's file; tests put faults between.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// createFile makes a segment's file, which must not exist.
func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
}

// segmentMagic is how every segment begins. It names the log's format.
const segmentMagic = "codex-proxy spool 2\n"

// maxShared is how many chunks of a segment later bodies may refer to; each takes
// about 100 bytes of memory.
const maxShared = 1 << 17

// segment is one file of the log. The journal's lock guards what changes.
type segment struct {
	path string
	file file
	info os.FileInfo // of the file as it was made; nil for a test's that has none
	size int64       // of what is whole in it
	// users counts the exchanges that have entries in it, or refer to its chunks,
	// and one more while not all of it is synced. At zero, and when it is no
	// longer written, it is deleted.
	users  int
	sealed bool
	dirty  bool // was written to since it was synced
	// failed is why nobody knows what of it is on the disk.
	failed error
	// damaged segments are set aside and not deleted.
	damaged bool
	// shared are the chunks that later bodies may refer to, while it is written.
	// That none is older keeps a busy conversation from holding on to every
	// segment that it ever stood in.
	shared map[sum]place
}

// place is where an entry's payload, or a chunk's frame, stands.
type place struct {
	segment *segment
	offset  int64
	length  int
}

// read returns the bytes at a place.
func (p place) read() ([]byte, error) {
	raw := make([]byte, p.length)
	if _, err := p.segment.file.ReadAt(raw, p.offset); err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	return raw, nil
}

// createSegment begins a segment, durably.
func createSegment(dir string, number int, create func(path string) (file, error)) (*segment, error) {
	path := filepath.Join(dir, fmt.Sprintf("%010d.log", number))
	f, err := create(path)
	if err == nil {
		_, err = f.Write([]byte(segmentMagic))
	}
	if err == nil {
		err = syncDirectory(dir)
	}
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close(), os.Remove(path))
		}
		return nil, fmt.Errorf("begin a segment of the spool: %w", err)
	}
	s := &segment{path: path, file: f, size: int64(len(segmentMagic)), shared: map[sum]place{}}
	if inspected, ok := f.(interface{ Stat() (os.FileInfo, error) }); ok {
		if s.info, err = inspected.Stat(); err != nil {
			return nil, errors.Join(fmt.Errorf("begin a segment of the spool: %w", err), f.Close(), os.Remove(path))
		}
	}
	return s, nil
}

// ErrMoved says that a file of the spool is no longer where it was made: what is
// written to it would be lost with this process.
var ErrMoved = errors.New("a file of the spool was moved or deleted")

// inPlace returns ErrMoved if the next start would not find the segment.
func (s *segment) inPlace() error {
	if s.info == nil {
		return nil
	}
	there, err := os.Stat(s.path)
	if err != nil || !os.SameFile(there, s.info) {
		return fmt.Errorf("%w: %s", ErrMoved, s.path)
	}
	return nil
}

// discard closes the segment and deletes its file.
func (s *segment) discard() error {
	if err := s.file.Close(); err != nil {
		return err
	}
	if s.damaged {
		return os.Rename(s.path, s.path+".damaged")
	}
	return os.Remove(s.path)
}

// use counts one more exchange that needs the segment.
func (j *journal) use(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.users++
}

// release counts exchanges that need the segment no more, and deletes it when
// nobody does.
func (j *journal) release(s *segment, users int) {
	j.mu.Lock()
	s.users -= users
	unused := s.sealed && s.users == 0
	if unused {
		delete(j.segments, s)
	}
	j.mu.Unlock()
	if unused {
		_ = s.discard() // one that stays is settled again at the next start, which is harmless
	}
}

// find returns where a chunk stands that a body may refer to, and counts the user
// of its segment unless that is counted already.
func (j *journal) find(of sum, counted func(*segment) bool) (place, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.current
	if s == nil || s.failed != nil {
		return place{}, false
	}
	at, ok := s.shared[of]
	if ok && !counted(s) {
		s.users++
	}
	return at, ok
}

// writable returns the segment to write to, beginning a new one where needed.
func (j *journal) writable() (*segment, error) {
	j.mu.Lock()
	s := j.current
	failed := s != nil && s.failed != nil
	j.mu.Unlock()
	if failed {
		j.seal(s)
	} else if s != nil {
		return s, nil
	}
	s, err := createSegment(j.dir, j.number, j.create)
	j.number++
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments[s] = struct{}{}
	j.current = s
	return s, nil
}

// seal ends a segment; it goes when its last exchange is settled.
func (j *journal) seal(s *segment) {
	j.mu.Lock()
	j.current = nil
	s.sealed, s.shared = true, nil
	j.mu.Unlock()
	j.release(s, 0)
}

// segmentFiles returns the segments in dir in the order in which they were
// written, and the number that the next one gets.
func segmentFiles(dir string) (paths []string, next int, err error) {
	paths, err = filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, 0, err
	}
	sort.Strings(paths)
	next = 1
	if len(paths) > 0 {
		if _, err := fmt.Sscanf(filepath.Base(paths[len(paths)-1]), "%d.log", &next); err != nil {
			return nil, 0, fmt.Errorf("%s is no segment of the spool: move it away", paths[len(paths)-1])
		}
		next++
	}
	return paths, next, nil
}
