package record

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync"
	"unicode/utf8"

	"codex-proxy/internal/exchange"
)

// Query is a text to look for in the bodies of records.
type Query struct {
	// Text is found as it stands, and where it stands escaped inside JSON
	// strings, to a depth of three.
	Text string
	// IgnoreCase takes upper and lower case for the same.
	IgnoreCase bool
}

// Searched is one record that a search looked through.
type Searched struct {
	Exchange exchange.Exchange
	// Hits has one entry for each side in which the text was found.
	Hits []Hit
}

// Hit is where a text was found in one body.
type Hit struct {
	Side Side
	// Before, Match and After are the bytes around and at the first occurrence,
	// with the escapes undone that hid it. They may begin and end within a
	// character.
	Before, Match, After string
	// Count is how often the text occurs.
	Count int
}

// Whole returns the hit without the parts of characters that Before and After begin and
// end with.
func (h Hit) Whole() Hit {
	for i := 0; i < utf8.UTFMax-1 && h.Before != "" && !utf8.RuneStart(h.Before[0]); i++ {
		h.Before = h.Before[1:]
	}
	for i := 1; i < utf8.UTFMax && i <= len(h.After); i++ {
		if end := h.After[len(h.After)-i:]; utf8.RuneStart(end[0]) {
			if !utf8.FullRuneInString(end) {
				h.After = h.After[:len(h.After)-i]
			}
			break
		}
	}
	return h
}

// Search looks for a text in the bodies of the records that the filter chooses
// and yields each record it looked through, found or not, the newest first. It
// uses all cores and holds a few chunks of each body, never a whole one. A
// record that cannot be read is yielded as an error, and the rest follows.
func Search(ctx context.Context, archive Source, filter Filter, query Query) iter.Seq2[Searched, error] {
	return func(yield func(Searched, error) bool) {
		if query.Text == "" {
			yield(Searched{}, errors.New("there is no text to search for"))
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()

		type result struct {
			searched Searched
			err      error
		}
		// The queue keeps the order and bounds how many records are open.
		queue := make(chan chan result, runtime.GOMAXPROCS(0))
		running.Go(func() {
			defer close(queue)
			for place, err := range newestFirst(ctx, archive, filter) {
				answer := make(chan result, 1)
				select {
				case queue <- answer:
				case <-ctx.Done():
					return
				}
				if err != nil {
					answer <- result{err: err}
					return
				}
				running.Go(func() {
					searched, err := searchRecord(ctx, archive, place, query)
					answer <- result{searched, err}
				})
			}
		})
		for answer := range queue {
			r := <-answer
			if err := ctx.Err(); err != nil {
				yield(Searched{}, err)
				return
			}
			if r.err == nil && !filter.matches(r.searched.Exchange) {
				continue
			}
			if !yield(r.searched, r.err) {
				return
			}
		}
	}
}

func searchRecord(ctx context.Context, archive Source, place Place, query Query) (Searched, error) {
	found := Searched{Exchange: exchange.Exchange{ID: place.ID, Developer: place.Developer}}
	sides := map[Side]*matcher{
		SideRequest:  newMatcher(query),
		SideResponse: newMatcher(query),
	}
	err := walk(ctx, archive, place, visitor{
		facts: func(e exchange.Exchange) error {
			found.Exchange = e
			return nil
		},
		body: func(side Side, piece []byte) error {
			sides[side].write(piece)
			return nil
		},
	})
	if err != nil {
		return Searched{}, err
	}
	for _, side := range []Side{SideRequest, SideResponse} {
		if hit := sides[side].close(); hit.Count > 0 {
			hit.Side = side
			found.Hits = append(found.Hits, hit)
		}
	}
	return found, nil
}
