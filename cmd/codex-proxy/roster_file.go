package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"codex-proxy/internal/roster"
	"codex-proxy/internal/terminal"
)

// readList reads a file, or standard input for "-", with one of package
// roster's readers. A file that cannot be understood is the caller's error.
func readList[T any](c *console, path string, read func(io.Reader) (T, error)) (list T, err error) {
	name, in := "standard input", c.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return list, fmt.Errorf("read the list: %w", err)
		}
		defer file.Close() // was only read
		name, in = path, file
	}
	list, err = read(in)
	var wrong roster.Errors
	switch {
	case errors.As(err, &wrong):
		return list, misuse("nothing was changed, as %s cannot be taken as it is:\n%s", terminal.Safe(name), terminal.SafeLines(wrong.Error()))
	case err != nil:
		return list, misuse("nothing was changed, as %s cannot be read: %s", terminal.Safe(name), terminal.Safe(err.Error()))
	}
	return list, nil
}
