package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/readiness"
	"codex-proxy/internal/record"
	"codex-proxy/internal/sqlite"
)

const (
	// readyEvery is how often each part of a server is checked, and readyLimit how
	// long a check may take.
	readyEvery = 2 * time.Second
	readyLimit = 5 * time.Second
	// maxUnarchived is how long the archive may take no record, as a bucket that
	// answers an error now and then does.
	maxUnarchived = 30 * time.Second
	// maxUnarchivedHere is the same for a directory, which has no such moods.
	maxUnarchivedHere = 3 * time.Second
)

// watchReadiness returns what knows how each part of the proxy is.
func (p *proxy) watchReadiness(s *Settings, archive *notedArchive) (*readiness.Watch, error) {
	options := readiness.Options{Every: readyEvery, Limit: readyLimit, Reason: partReason, Now: p.now, Log: p.log}
	if p.options.fleeting {
		options.Every = 0
	}
	spool, err := disk.OpenDirectory(s.spoolDirectory())
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	records := p.spool // which Close forgets
	return readiness.New(
		options,
		readiness.Part{Name: "developers", Check: p.developers.Ping},
		readiness.Part{Name: "ledger", Check: p.ledger.Ping},
		readiness.Part{Name: "spool", Check: func(ctx context.Context) error {
			if err := records.Ready(ctx); err != nil {
				return err
			}
			return spool.Check(ctx)
		}},
		readiness.Part{Name: "archive", Check: archive.check},
	), nil
}

// partReason names what is wrong with a part, where the store knows a word for it.
func partReason(err error) string {
	if errors.Is(err, disk.ErrMoved) || errors.Is(err, record.ErrMoved) {
		return "moved"
	}
	return cmp.Or(sqlite.Reason(err), map[bool]string{true: "takes no records"}[errors.Is(err, errUnarchived)])
}

// notedArchive is an archive that knows since when it takes no record.
type notedArchive struct {
	record.Archive
	now func() time.Time

	mu    sync.Mutex
	since time.Time // zero when the last record was taken
	err   error
}

// Put implements record.Archive.
func (a *notedArchive) Put(ctx context.Context, key string, doc io.Reader, size int64) error {
	err := a.Archive.Put(ctx, key, doc, size)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err = err; err == nil {
		a.since = time.Time{}
	} else if a.since.IsZero() {
		a.since = a.now()
	}
	return err
}

var errUnarchived = errors.New("the archive takes no records")

// check returns why records cannot be archived: it is known by the records that are
// taken, and a directory is tried besides.
func (a *notedArchive) check(ctx context.Context) error {
	patience := maxUnarchived
	if directory, ok := a.Archive.(*disk.Archive); ok {
		patience = maxUnarchivedHere
		if err := directory.Probe(ctx); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.since.IsZero() && a.now().Sub(a.since) > patience {
		return fmt.Errorf("%w since %s: %w", errUnarchived, a.since.UTC().Format(time.RFC3339), a.err)
	}
	return nil
}
