package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/parquet"
	"codex-proxy/internal/terminal"
)

type recordExportCommand struct {
	Parquet bool   `help:"As Parquet, a file a day, below folders named day=2026-02-16: the one form there is." required:"" env:"-"`
	From    string `arg:"" help:"First day (UTC), such as 2026-02-01."`
	To      string `arg:"" optional:"" help:"Last day (UTC), inclusive; the first day if left out."`
	Out     string `help:"Directory to write to." default:"export" env:"-" placeholder:"DIR"`
	jsonFlag
}

// Help is the long form of the command's help.
func (*recordExportCommand) Help() string {
	return "One row an exchange, from the ledger alone: no body is read, and no prompt or answer is in it. A day that was exported before is replaced, whole or not at all; run it each night for the day before, or again for a day whose costs were repriced. docs/analytics.md describes the columns, with tables for Athena and DuckDB and queries to begin with."
}

// exportedDay is what became of a day, in JSON.
type exportedDay struct {
	Day       string `json:"day"`
	Exchanges int    `json:"exchanges"`
	File      string `json:"file,omitempty"`
	Bytes     int64  `json:"bytes"`
}

func (cmd *recordExportCommand) Run(c *console) error {
	from, to, err := dayRange(cmd.From, cmd.To, time.UTC, now())
	if err != nil {
		return err
	}
	store, err := c.settings.openLedger(c.ctx, look)
	if err != nil {
		return err
	}
	defer store.Close()
	days := []exportedDay{}
	shown := startProgress(c, "exported")
	defer shown.clear()
	for day := from; day.Before(to); day = day.AddDate(0, 0, 1) {
		shown.step(day)
		done, err := cmd.exportDay(c.ctx, store, day)
		if err != nil {
			return fmt.Errorf("export %s (the days before it are done): %w", day.Format(time.DateOnly), err)
		}
		days = append(days, done)
	}
	shown.clear()
	if cmd.JSON {
		return printSafeJSON(c.stdout, days)
	}
	exchanges, files, bytes := 0, 0, int64(0)
	for _, done := range days {
		exchanges, bytes = exchanges+done.Exchanges, bytes+done.Bytes
		if done.Exchanges > 0 {
			files++
		}
	}
	_, err = fmt.Fprintf(c.stdout, "Exported %s in %s, %s bytes, to %s.\n", plural(exchanges, "exchange"), plural(files, "file"), grouped(bytes), terminal.Safe(cmd.Out))
	return err
}

// exportDay writes the file of a day, beside its place, and then puts it there.
func (cmd *recordExportCommand) exportDay(ctx context.Context, store books, day time.Time) (done exportedDay, err error) {
	done.Day = day.Format(time.DateOnly)
	path := filepath.Join(cmd.Out, "day="+done.Day, "exchanges.parquet")
	if err := os.MkdirAll(cmd.Out, 0o700); err != nil {
		return done, err
	}
	file, err := os.CreateTemp(cmd.Out, ".export-*") // which no reader takes for a file of its own
	if err != nil {
		return done, err
	}
	defer func() {
		if file != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	done.Exchanges, err = parquet.Write(file, exchangesOf(ctx, store, day))
	if err != nil {
		return done, err
	}
	if done.Exchanges == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
		return done, nil
	}
	info, err := file.Stat()
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return done, err
	}
	name := file.Name()
	if err := file.Close(); err != nil {
		return done, errors.Join(err, os.Remove(name))
	}
	file = nil
	if err := os.Rename(name, path); err != nil {
		return done, errors.Join(err, os.Remove(name))
	}
	done.File, done.Bytes = path, info.Size()
	return done, nil
}

// exchangesOf yields the exchanges of a day, the newest first, some at a time.
func exchangesOf(ctx context.Context, store books, day time.Time) iter.Seq2[parquet.Exchange, error] {
	const page = 1000
	return func(yield func(parquet.Exchange, error) bool) {
		query := ledger.ExchangeQuery{From: day, To: day.AddDate(0, 0, 1), Limit: page}
		carried := query
		carried.Secrets = true
		secrets := map[string]bool{}
		if err := eachExchange(ctx, store, carried, func(e exchange.Exchange) bool { secrets[e.ID] = true; return true }); err != nil {
			yield(parquet.Exchange{}, err)
			return
		}
		if err := eachExchange(ctx, store, query, func(e exchange.Exchange) bool {
			return yield(parquet.Exchange{Exchange: e, CarriedSecrets: secrets[e.ID]}, nil)
		}); err != nil {
			yield(parquet.Exchange{}, err)
		}
	}
}

// eachExchange calls each with the exchanges that a query chooses, a page of the
// ledger's at a time, until it returns false.
func eachExchange(ctx context.Context, store books, q ledger.ExchangeQuery, each func(exchange.Exchange) bool) error {
	for {
		rows, err := store.Exchanges(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range rows {
			if !each(e) {
				return nil
			}
			q.Before = e.ID
		}
		if len(rows) < q.Limit {
			return nil
		}
	}
}
