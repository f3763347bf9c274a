package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrMoved says that a directory that is open is no longer at its path.
var ErrMoved = errors.New("the directory was moved or replaced while it was open: put it back, or restart the server, so that it uses what is there now")

// Directory is a directory that a server uses.
type Directory struct {
	path string
	info fs.FileInfo
}

// OpenDirectory returns the directory that is at path now.
func OpenDirectory(path string) (*Directory, error) {
	info, err := os.Stat(path)
	return &Directory{path, info}, err
}

// Check returns why nothing can be kept in the directory: it is not at its path any
// more, or the disk does not take a file. It may hang as the disk does.
func (d *Directory) Check(context.Context) error {
	if err := inPlace(d.path, d.info); err != nil {
		return err
	}
	name := filepath.Join(d.path, ".probe") // always the same, should it be left behind
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write to %s: %w", d.path, err)
	}
	_, err = file.Write(make([]byte, 4<<10))
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close(), os.Remove(name)); err != nil {
		return fmt.Errorf("write to %s: %w", d.path, err)
	}
	return nil
}

// inPlace returns ErrMoved unless what is open is what is at path.
func inPlace(path string, open fs.FileInfo) error {
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(there, open) {
		return fmt.Errorf("look at %s: %w", path, ErrMoved)
	}
	return err
}
