package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

// repricing is the note of a reprice in the archive, so that a rebuild of the
// ledger repeats it.
type repricing struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"` // exclusive
	At      time.Time `json:"at"` // when it was made
	Edition string    `json:"edition"`
	Prices  []string  `json:"prices"` // the book's TOML documents

	book *ledger.Book
}

// rate is what an exchange costs by the repricing. One of another time keeps its
// cost, as does one that had not ended when the repricing was made.
func (r *repricing) rate(e exchange.Exchange) exchange.Cost {
	if e.Started.Before(r.From) || !e.Started.Before(r.To) || e.Ended.After(r.At) || e.Cost.State == exchange.CostNone {
		return e.Cost
	}
	return r.book.Rate(e.Model, e.Tier, e.Started, e.Usage)
}

// repricings is where the notes are kept; their names sort by time.
const repricings = "repricings/"

func noteRepricing(ctx context.Context, archive record.Archive, note repricing) error {
	raw, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("note the repricing: %w", err)
	}
	key := repricings + uuid.Must(uuid.NewV7()).String() + ".json"
	if err := archive.Put(ctx, key, bytes.NewReader(raw), int64(len(raw))); err != nil {
		return fmt.Errorf("note the repricing: %w", err)
	}
	return nil
}

// readRepricings reads the notes, the oldest first.
func readRepricings(ctx context.Context, archive record.Archive) ([]repricing, error) {
	var notes []repricing
	for key, err := range archive.List(ctx, repricings) {
		if err != nil {
			return nil, err
		}
		note, err := readRepricing(ctx, archive, key)
		if err != nil {
			return nil, fmt.Errorf("read the repricing %s: %w", key, err)
		}
		notes = append(notes, note)
	}
	return notes, nil
}

func readRepricing(ctx context.Context, archive record.Archive, key string) (note repricing, err error) {
	reader, err := archive.Get(ctx, key)
	if err != nil {
		return note, err
	}
	defer reader.Close()
	raw, err := io.ReadAll(reader)
	if err == nil {
		err = json.Unmarshal(raw, &note)
	}
	if err == nil {
		note.book, err = ledger.ParseBook(note.Prices)
	}
	return note, err
}
