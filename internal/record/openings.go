package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
)

// OpeningStore keeps what has begun: an archive from which things can be removed.
type OpeningStore interface {
	Archive
	// Remove removes what is under key; nothing there is no error.
	Remove(ctx context.Context, key string) error
}

// Openings note, beside the archive, which exchanges have begun, for a server whose
// disk does not outlive it, such as a function of Lambda's: what Recover finds in a
// spool, Sweep finds here. A note is the record as it began, with the request's body
// where that was buffered; it goes when the record is in the archive. A nil *Openings
// notes nothing.
type Openings struct {
	store OpeningStore
}

// NewOpenings returns the openings that are kept beside an archive.
func NewOpenings(store OpeningStore) *Openings { return &Openings{store} }

// openingsDirectory holds the notes; their names are the exchanges' ids, which
// begin with the time.
const openingsDirectory = "open/"

const openingSuffix = ".json.zst"

func openingKey(id string) string { return openingsDirectory + id + openingSuffix }

// begin notes an exchange while something else is done; what it returns waits for
// that.
func (o *Openings) begin(ctx context.Context, within time.Duration, e exchange.Exchange, request Message, body []byte) (wait func() error) {
	if o == nil {
		return func() error { return nil }
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	noted := make(chan error, 1)
	go func() {
		defer cancel()
		request.SetBytes(body)
		noted <- o.put(ctx, openingKey(e.ID), &Document{Format: Format, Exchange: e, Request: request})
	}()
	return func() error {
		if err := <-noted; err != nil {
			return fmt.Errorf("note that it begins: %w", err)
		}
		return nil
	}
}

// put stores a document.
func (o *Openings) put(ctx context.Context, key string, doc *Document) error {
	raw, err := doc.encode()
	if err != nil {
		return err
	}
	return o.store.Put(ctx, key, bytes.NewReader(raw), int64(len(raw)))
}

// end removes the note of an exchange whose record is in the archive.
func (o *Openings) end(ctx context.Context, id string) error {
	if o == nil {
		return nil
	}
	return o.store.Remove(ctx, openingKey(id))
}

// Sweep is how exchanges are closed that nobody ended.
type Sweep struct {
	// Before is when an exchange must have begun so that it can no longer be
	// running.
	Before time.Time
	// Count takes the rows, as Options.Ledger does.
	Count func(ctx context.Context, rows []exchange.Exchange) error
	// Finish may fill in what the request's body, as far as it was known when the
	// exchange began, tells of it: the model, the usage, the cost.
	Finish func(e *exchange.Exchange, request io.Reader)
	Log    *slog.Logger
}

// Sweep makes records of exchanges that began and of which nothing more was heard:
// whoever carried them is gone, with what they had. They are closed as interrupted,
// the record without bodies. Others may sweep at the same time. It returns how many
// there were.
func (o *Openings) Sweep(ctx context.Context, s Sweep) (interrupted int, err error) {
	if o == nil {
		return 0, nil
	}
	for key, err := range o.store.List(ctx, openingsDirectory) {
		if err != nil {
			return interrupted, fmt.Errorf("look for exchanges that nobody ended: %w", err)
		}
		id := strings.TrimSuffix(path.Base(key), openingSuffix)
		began, err := exchange.IDTime(id)
		if err != nil {
			s.Log.Warn("a note among those of exchanges that began is none", "key", key)
			continue
		}
		if !began.Before(s.Before) {
			break // nor are those that follow
		}
		done, err := o.interrupt(ctx, key, s)
		if err != nil {
			return interrupted, fmt.Errorf("close the exchange %s that nobody ended: %w", id, err)
		}
		if done {
			interrupted++
		}
	}
	return interrupted, nil
}

// interrupt closes one exchange that nobody ended; done is false where somebody has.
func (o *Openings) interrupt(ctx context.Context, key string, s Sweep) (done bool, err error) {
	note, err := o.read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // another sweep was faster
	}
	if err != nil {
		return false, err
	}
	e := note.Exchange
	settled, err := o.store.Get(ctx, Key(e))
	switch {
	case err == nil: // and only the note was left
		return false, errors.Join(settled.Close(), o.store.Remove(ctx, key))
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	const lost = "what carried this exchange ended in the middle of it, and with it what it had"
	e.Ended = e.Started
	e.Outcome, e.ErrorOrigin, e.Error = exchange.Interrupted, exchange.OriginProxy, lost
	s.Finish(&e, bytes.NewReader(note.Request.Bytes()))
	if err := s.Count(ctx, []exchange.Exchange{e}); err != nil {
		return false, err
	}
	note.Exchange = e
	if len(note.Request.Bytes()) == 0 { // it streamed, and may have had one
		note.Request.Incomplete = lost
	}
	if err := o.put(ctx, Key(e), note); err != nil {
		return false, err
	}
	return true, o.store.Remove(ctx, key)
}

func (o *Openings) read(ctx context.Context, key string) (*Document, error) {
	r, err := o.store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close() // only read
	note, err := ReadDocument(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return note, nil
}
