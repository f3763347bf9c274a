package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
)

// Source is the part of an Archive that looking things up needs.
type Source interface {
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	Keys(ctx context.Context, first, last time.Time) iter.Seq2[string, error]
}

// Filter chooses records. Its zero fields choose all.
type Filter struct {
	// First and Last are the UTC days, inclusive, on which the exchanges began.
	// They are required: an archive has no end of its own.
	First, Last time.Time
	// All are matched whole, but of Session its first or last 8 characters are
	// enough. Team is the one that the developer was in.
	Developer string
	Team      string
	Session   string
	Model     string
	Outcome   exchange.Outcome
	Origin    exchange.Origin
	Refusal   string
	Status    int
	Transport exchange.Transport
	// Token is a token's public id, Client a part of the User-Agent, Tier the service
	// tier; CostNanos and Duration are at least what an exchange cost and took.
	Token, Client, Tier string
	CostNanos           int64
	Duration            time.Duration
	// Secrets chooses those that carried any.
	Secrets bool
}

// matches reports whether the filter's fields, but for the days, choose e.
func (f Filter) matches(e exchange.Exchange) bool {
	return (f.Developer == "" || e.Developer == f.Developer) &&
		(f.Session == "" || IsPart(f.Session, e.Session)) &&
		(f.Model == "" || e.Model == f.Model) &&
		(f.Team == "" || e.Team == f.Team) &&
		(f.Outcome == "" || e.Outcome == f.Outcome) &&
		(f.Origin == "" || e.ErrorOrigin == f.Origin) &&
		(f.Refusal == "" || e.Refusal == f.Refusal) &&
		(f.Status == 0 || e.Status == f.Status) &&
		(f.Transport == "" || e.Transport == f.Transport) &&
		(f.Token == "" || e.TokenID == f.Token) &&
		strings.Contains(e.Client, f.Client) &&
		(f.Tier == "" || e.Tier == f.Tier) &&
		(f.CostNanos == 0 || e.Cost.State == exchange.CostPriced && e.Cost.Nanos >= f.CostNanos) &&
		e.DurationMicros >= f.Duration.Microseconds() &&
		(!f.Secrets || len(e.Findings) > 0)
}

// Place is what a record's key says about it.
type Place struct {
	Key       string
	ID        string
	Developer string
}

// placeOf reads a key that Key made.
func placeOf(key string) Place {
	directory, file := path.Split(key)
	segment := path.Base(directory)
	developer, err := url.PathUnescape(segment)
	if err != nil { // a name of dots alone, which pathSegment marked so
		developer = strings.TrimPrefix(segment, "%")
	}
	return Place{Key: key, ID: strings.TrimSuffix(file, ".json.zst"), Developer: developer}
}

// Exchanges yields the facts of the records that the filter chooses, the newest
// first. It reads no body where the facts stand before the bodies. A record that
// cannot be read is yielded as an error, and the rest follows.
func Exchanges(ctx context.Context, archive Source, filter Filter) iter.Seq2[exchange.Exchange, error] {
	return func(yield func(exchange.Exchange, error) bool) {
		for place, err := range newestFirst(ctx, archive, filter) {
			if err != nil {
				yield(exchange.Exchange{}, err)
				return
			}
			facts, err := readFacts(ctx, archive, place)
			if err == nil && !filter.matches(facts) {
				continue
			}
			if !yield(facts, err) {
				return
			}
		}
	}
}

func readFacts(ctx context.Context, archive Source, place Place) (exchange.Exchange, error) {
	var facts exchange.Exchange
	enough := errors.New("enough")
	err := walk(ctx, archive, place, visitor{facts: func(e exchange.Exchange) error {
		facts = e
		return enough
	}})
	if err != nil && !errors.Is(err, enough) {
		return exchange.Exchange{}, err
	}
	return facts, nil
}

// newestFirst yields the places that the filter's days and developer choose. It
// holds one day's places at a time, and stops at the first error.
func newestFirst(ctx context.Context, archive Source, filter Filter) iter.Seq2[Place, error] {
	return func(yield func(Place, error) bool) {
		for day := filter.Last; !day.Before(filter.First); day = day.AddDate(0, 0, -1) {
			var places []Place
			for key, err := range archive.Keys(ctx, day, day) {
				if err != nil {
					yield(Place{}, fmt.Errorf("list the records of %s: %w", day.Format(time.DateOnly), err))
					return
				}
				place := placeOf(key)
				if filter.Developer == "" || place.Developer == filter.Developer {
					places = append(places, place)
				}
			}
			slices.SortFunc(places, func(a, b Place) int { return strings.Compare(b.ID, a.ID) })
			for _, place := range places {
				if !yield(place, nil) {
					return
				}
			}
		}
	}
}

// shortestPart is the least of an id, in characters, that may stand for it.
const shortestPart = 8

// earliest is a day before any record's.
var earliest = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Find returns the place of the record whose id is the given one, or begins or
// ends with it (8 characters at least). The error says so, wrapping
// fs.ErrNotExist, when there is none, and names the candidates when there are
// several. now bounds the days it looks at.
func Find(ctx context.Context, archive Source, id string, now time.Time) (Place, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	if len(id) < shortestPart {
		return Place{}, fmt.Errorf("%q is too short for an exchange's id: give its first or last %d characters at least", id, shortestPart)
	}
	// An id holds its time: a whole one is looked for on its day alone.
	first, last := earliest, now.UTC().AddDate(0, 0, 1)
	if began, err := exchange.IDTime(id); err == nil {
		first, last = began, began
	}
	found, err := matching(ctx, archive, id, first, last)
	if err != nil {
		return Place{}, err
	}
	switch len(found) {
	case 0:
		return Place{}, fmt.Errorf("no record has the id %q: %w: 'codex-proxy record list' shows those there are; an exchange is listed once it has ended", id, fs.ErrNotExist)
	case 1:
		return found[0], nil
	}
	candidates := found[0].ID + ", " + found[1].ID
	if len(found) > 2 {
		candidates += fmt.Sprintf(" and %d more", len(found)-2)
	}
	return Place{}, fmt.Errorf("%q could be several exchanges (%s): give more of the id", id, candidates)
}

// Open returns the document of the exchange that Find finds.
func Open(ctx context.Context, archive Source, id string, now time.Time) (*Document, error) {
	place, err := Find(ctx, archive, id, now)
	if err != nil {
		return nil, err
	}
	return Load(ctx, archive, place.Key)
}

// Load returns the document under a key.
func Load(ctx context.Context, archive Source, key string) (*Document, error) {
	return LoadWithin(ctx, archive, key, math.MaxInt64)
}

// LoadWithin is Load for a document of at most so many bytes, uncompressed. The
// error of a larger one wraps ErrTooLarge.
func LoadWithin(ctx context.Context, archive Source, key string, most int64) (*Document, error) {
	file, err := archive.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("open the record %s: %w", placeOf(key).ID, err)
	}
	defer file.Close() // only read
	doc, err := readDocument(file, most)
	if err != nil {
		return nil, fmt.Errorf("read the record %s: %w", placeOf(key).ID, err)
	}
	return doc, nil
}

// CopyBody writes one side's body, byte for byte, without ever holding it whole.
// An error of w's ends it and is returned.
func CopyBody(ctx context.Context, archive Source, key string, side Side, w io.Writer) error {
	return walk(ctx, archive, placeOf(key), visitor{body: func(of Side, piece []byte) error {
		if of != side {
			return nil
		}
		_, err := w.Write(piece)
		return err
	}})
}

func matching(ctx context.Context, archive Source, part string, first, last time.Time) ([]Place, error) {
	var found []Place
	for key, err := range archive.Keys(ctx, first, last) {
		if err != nil {
			return nil, fmt.Errorf("list the records: %w", err)
		}
		place := placeOf(key)
		if IsPart(part, place.ID) {
			found = append(found, place)
		}
	}
	return found, nil
}

// IsPart reports whether part is the id, or enough of its beginning or end.
func IsPart(part, id string) bool {
	return part == id || len(part) >= shortestPart && (strings.HasPrefix(id, part) || strings.HasSuffix(id, part))
}
