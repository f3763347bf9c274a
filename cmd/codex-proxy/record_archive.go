package main

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"time"

	"codex-proxy/internal/record"
)

// openArchive opens the archive for reading.
func openArchive(c *console) (record.Source, error) {
	return archiveReader{files: os.DirFS(c.settings.archiveDirectory())}, nil
}

// archiveReader reads an archive that is a directory.
type archiveReader struct{ files fs.FS }

func (a archiveReader) Get(_ context.Context, key string) (io.ReadCloser, error) {
	return a.files.Open(key)
}

func (a archiveReader) Keys(ctx context.Context, first, last time.Time) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for day := first.UTC(); !day.After(last.UTC()); day = day.AddDate(0, 0, 1) {
			names, err := fs.Glob(a.files, path.Join(day.Format("2006/01/02"), "*", "*.json.zst"))
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range names {
				if !yield(name, nil) {
					return
				}
			}
		}
	}
}
