package onboard

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// replace gives a file new content at once, or not at all: a reader sees the old
// or the new bytes, whole. A symbolic link stays one, and its target is replaced.
// The mode of an existing file stays; a new one is for its owner alone.
func replace(path string, content []byte) error {
	target, err := filepath.EvalSymlinks(path)
	mode := fs.FileMode(0o600)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = path
		if link, err := os.Readlink(path); err == nil { // a link to a file that is not there yet
			if target = link; !filepath.IsAbs(link) {
				target = filepath.Join(filepath.Dir(path), link)
			}
		}
	case err != nil:
		return err
	default:
		info, err := os.Stat(target)
		if err != nil {
			return err
		}
		mode = info.Mode().Perm()
	}
	return write(target, content, mode, nil)
}

// WritePrivate writes a file that nobody but its owner can read, whole or not at
// all.
func WritePrivate(path string, content []byte) error {
	return write(path, content, 0o600, restrict)
}

// copyBeside writes a copy of a file with the file's own mode.
func copyBeside(path, to string, content []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return write(to, content, info.Mode().Perm(), nil)
}

// write writes a whole file under a temporary name in its directory and then
// renames it. Before it has content, guard may narrow who can read it.
func write(path string, content []byte, mode fs.FileMode, guard func(path string) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	if guard != nil {
		if err := guard(file.Name()); err != nil {
			return err
		}
	}
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
