package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"codex-proxy/internal/exchange"
)

// rebuildBatch is how many rows a rebuild adds at once. Rows of one developer's
// day come one after another, and the sums above them are then computed once.
const rebuildBatch = 2_000

// Rebuild implements ledger.Store. Rows go into a new generation, which becomes
// the current one at the end. Servers go on reading the old one meanwhile, and
// add to both from the moment that rows is first asked. An exchange that they
// have counted just before then must come with rows: whoever reads an archive
// that servers write to waits first, until it holds what was counted.
func (l *Ledger) Rebuild(ctx context.Context, rows iter.Seq2[exchange.Exchange, error]) (count int, err error) {
	p, err := l.pointer(ctx)
	if err != nil {
		return 0, fmt.Errorf("rebuild the ledger: %w", err)
	}
	p.Next = newGeneration()
	if p, err = l.point(ctx, p); err != nil {
		return 0, fmt.Errorf("rebuild the ledger: %w", err)
	}
	err = l.clean(ctx, p)
	if err == nil {
		count, err = l.build(ctx, p.Next, rows)
	}
	if err == nil {
		p.Current, p.Next = p.Next, ""
		_, err = l.point(ctx, p)
	}
	if err != nil {
		return 0, fmt.Errorf("rebuild the ledger, which is as it was: %w", errors.Join(err, l.giveUp(ctx, p)))
	}
	return count, nil
}

// giveUp ends a rebuild that failed. What it has built is removed by the next one.
func (l *Ledger) giveUp(ctx context.Context, p pointer) error {
	ctx = context.WithoutCancel(ctx)
	now, err := l.pointer(ctx)
	if err != nil || now.Write != p.Write { // another rebuild is under way
		return err
	}
	now.Next = ""
	_, err = l.point(ctx, now)
	return err
}

// build adds rows to a generation that nobody reads yet.
func (l *Ledger) build(ctx context.Context, generation string, rows iter.Seq2[exchange.Exchange, error]) (count int, err error) {
	var batch []exchange.Exchange
	flush := func() error {
		added, err := l.add(ctx, generation, batch)
		count += int(added)
		batch = batch[:0]
		return err
	}
	for e, err := range rows {
		if err != nil {
			return 0, err
		}
		if batch = append(batch, e); len(batch) == rebuildBatch {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	return count, flush()
}

const (
	// mostDeleted is how many items one BatchWriteItem deletes.
	mostDeleted = 25
	// cleanBatch is how many items are found before they are deleted.
	cleanBatch = 40 * mostDeleted
)

// clean removes the items of generations that are neither current nor being
// built.
func (l *Ledger) clean(ctx context.Context, p pointer) error {
	var doomed []types.WriteRequest
	flush := func() error {
		err := together(ctx, slices.Collect(slices.Chunk(doomed, mostDeleted)), l.table.writeAll)
		doomed = doomed[:0]
		return err
	}
	err := l.table.scan(ctx, sdk.ScanInput{ProjectionExpression: aws.String("part, sort")}, func(found item) error {
		var m mark
		if err := l.table.decode(found, &m); err != nil {
			return err
		}
		generation, _, inOne := strings.Cut(m.Part, "#")
		if !inOne || generation == p.Current || generation == p.Next {
			return nil
		}
		doomed = append(doomed, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: key(m.Part, m.Sort)}})
		if len(doomed) < cleanBatch {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// writeAll makes up to mostDeleted writes.
func (t table) writeAll(ctx context.Context, writes []types.WriteRequest) error {
	ask := map[string][]types.WriteRequest{t.name: writes}
	for attempt := 0; len(ask) > 0; attempt++ {
		if attempt == attempts {
			return fmt.Errorf("write to the table %s: %w", t.name, errThrottled)
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		out, err := t.api.BatchWriteItem(ctx, &sdk.BatchWriteItemInput{RequestItems: ask})
		if err != nil {
			return fmt.Errorf("write to the table %s: %w", t.name, err)
		}
		ask = out.UnprocessedItems
	}
	return nil
}
