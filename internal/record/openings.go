package record

import (
	"bytes"
	"context"
	"encoding/json"
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
// spool, Sweep finds here. A note is a small document with what was known before
// upstream was asked; it goes when the record is in the archive. A nil *Openings
// notes nothing.
type Openings struct {
	store OpeningStore
}

// NewOpenings returns the openings that are kept beside an archive.
func NewOpenings(store OpeningStore) *Openings { return &Openings{store} }

// openingsDirectory holds the notes; their names are the exchanges' ids, which
// begin with the time.
const openingsDirectory = "open/"

func openingKey(id string) string { return openingsDirectory + id + ".json" }

// begin notes an exchange while something else is done; what it returns waits for
// that.
func (o *Openings) begin(ctx context.Context, within time.Duration, id string, note []byte) (wait func() error) {
	if o == nil {
		return func() error { return nil }
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	noted := make(chan error, 1)
	go func() {
		defer cancel()
		noted <- o.store.Put(ctx, openingKey(id), bytes.NewReader(note), int64(len(note)))
	}()
	return func() error {
		if err := <-noted; err != nil {
			return fmt.Errorf("note that it begins: %w", err)
		}
		return nil
	}
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
	// Finish may fill in what is known besides, such as that the cost is not.
	Finish func(e *exchange.Exchange)
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
		id := strings.TrimSuffix(path.Base(key), ".json")
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
	s.Finish(&e)
	if err := s.Count(ctx, []exchange.Exchange{e}); err != nil {
		return false, err
	}
	note.Request.Incomplete = lost
	doc, size, err := bodiless(e, &note.Request)
	if err != nil {
		return false, err
	}
	if err := o.store.Put(ctx, Key(e), doc, size); err != nil {
		return false, err
	}
	return true, o.store.Remove(ctx, key)
}

func (o *Openings) read(ctx context.Context, key string) (note opening, err error) {
	r, err := o.store.Get(ctx, key)
	if err != nil {
		return note, err
	}
	defer r.Close() // only read
	raw, err := io.ReadAll(r)
	if err != nil {
		return note, fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(raw, &note); err != nil {
		return note, fmt.Errorf("read %s: %w", key, err)
	}
	return note, nil
}

// bodiless is the document of an exchange of which the request's head is known.
func bodiless(e exchange.Exchange, request *head) (doc io.Reader, size int64, err error) {
	packer, err := newPacker()
	if err != nil {
		return nil, 0, err
	}
	defer packer.encoder.Close()
	a := assembly{packer: packer}
	a.text(`{"format":"` + Format + `","exchange":`)
	a.json(e)
	a.text(`,"request":`)
	a.message(request, nil)
	a.text("}\n")
	a.pack()
	return io.MultiReader(a.parts...), a.size, a.err
}
