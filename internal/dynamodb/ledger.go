package dynamodb

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/sync/errgroup"

	"codex-proxy/internal/ledger"
)

// Ledger is a ledger.Store in the table of usage. Nothing in it is ever added to:
//
//	rows                 one item an exchange, put if it is not there
//	 └► sums             what a developer's exchanges of a quarter of an hour add up to
//	     └► spent        what a developer's day cost, as part of the developer's
//	                     month and of the team's
//
// After a row is put, the sums above it are computed anew from all that lies
// below them, and each is written on the condition that nobody has written it
// since before the reading began; otherwise it is computed again. So an exchange
// that is delivered ten times counts once, and after a crash between two writes
// the next delivery puts right what is above the row. As sums belong to one
// developer each, exchanges of different developers never meet in one item.
//
// Items are found by their part and sort below the generation that is current:
//
//	<generation>#rows#<day>                       <exchange id>
//	<generation>#sums#<day>                       <developer>#<HH:MM>
//	<generation>#spent#developer#<id>#<month>     <day>#<team>
//	<generation>#spent#team#<name>#<month>        <day>#<developer>
//	<generation>#days                             <day>, where there are rows
//	<generation>#secret#<fingerprint>             <day>, where rows carry it
//	generation                                    current
//
// Two local indexes of the rows lead to a developer's quarter of an hour and to
// the exchanges that carried secrets. Days are UTC days. A report reads the sums
// of its days; a budget, one part; neither reads rows.
//
// A rebuild writes a new generation beside the current one and then makes it
// current with one write.
//
// To count one exchange of a developer's busy day takes 9 calls, 5 write units and
// 8 read units; to judge a developer's budget, 2 calls and 2 read units; to report
// on a month, a read unit for each 4 KB of sums, which are about 400 bytes for
// each quarter of an hour that a developer was at work.
//
// Where ledger.Store says that a method is atomic, a delivery of several rows is
// so row by row, and so is a reprice: one that was interrupted is finished by
// being repeated.
type Ledger struct {
	table table

	mu sync.Mutex
	// generation is the one that was current when last looked.
	generation string
	// marked holds the marks (of days, and of secrets' days) that are known to be
	// there.
	marked map[mark]bool
}

var _ ledger.Store = (*Ledger)(nil)

// NewLedger returns the ledger in the table of this name, which must be as
// UsageTable defines it.
func NewLedger(api *sdk.Client, name string) *Ledger {
	return &Ledger{table: table{api, name}, marked: map[mark]bool{}}
}

// Ping returns why the ledger cannot be read; nil when it can.
func (l *Ledger) Ping(ctx context.Context) error { return l.table.ping(ctx, pointerKey()) }

// Probe returns why the ledger cannot be written to; nil when it can.
func (l *Ledger) Probe(ctx context.Context) error {
	return l.table.probe(ctx, key("probe", "probe"))
}

// Close closes nothing: a table is not held open.
func (l *Ledger) Close() error { return nil }

// key is the key of an item in the table of usage.
func key(part, sort string) item { return item{"part": text(part), "sort": text(sort)} }

// within is a query for the items of a part whose sort begins with a prefix.
func within(part, prefix string) sdk.QueryInput {
	q := sdk.QueryInput{KeyConditionExpression: aws.String("part = :part"), ExpressionAttributeValues: item{":part": text(part)}}
	if prefix != "" {
		q.KeyConditionExpression = aws.String("part = :part AND begins_with(sort, :prefix)")
		q.ExpressionAttributeValues[":prefix"] = text(prefix)
	}
	return q
}

// name makes any name one piece of a key.
func name(of string) string { return url.PathEscape(of) }

// unnamed undoes name.
func unnamed(piece string) (string, error) { return url.PathUnescape(piece) }

const (
	quarterLength = 15 * time.Minute
	dayForm       = time.DateOnly
	clockForm     = "15:04"
)

func dayOf(t time.Time) string { return t.UTC().Format(dayForm) }

// pointer says which generation is current, and which is being built.
type pointer struct {
	Part string `dynamodbav:"part"`
	Sort string `dynamodbav:"sort"`
	stamp
	Current string `dynamodbav:"current"`
	// Next is empty unless a rebuild is under way.
	Next string `dynamodbav:"next"`
}

// firstGeneration is current in a table that was never rebuilt.
const firstGeneration = "first"

func pointerKey() item { return key("generation", "current") }

func (l *Ledger) pointer(ctx context.Context) (p pointer, err error) {
	found, err := l.table.get(ctx, pointerKey(), &p)
	if !found {
		p = pointer{Part: "generation", Sort: "current", Current: firstGeneration}
	}
	return p, err
}

// point writes the pointer, unless it has changed since it was read.
func (l *Ledger) point(ctx context.Context, p pointer) (pointer, error) {
	before := p.stamp
	p.stamp = before.next()
	written, err := l.table.put(ctx, p, "attribute_not_exists(version) OR stamp = :stamp", item{":stamp": text(before.Write)})
	if err == nil && !written {
		now, lookErr := l.pointer(ctx)
		if err = lookErr; err == nil && now.Write != p.Write {
			err = fmt.Errorf("another rebuild of the ledger has begun since: let it end, or start it again")
		}
	}
	return p, err
}

// read calls look with the current generation. It supposes that this is still the
// one of the last time, finds out meanwhile, and looks again where it is not.
// What it read stays whole: a generation is kept until the rebuild after the one
// that replaced it.
func (l *Ledger) read(ctx context.Context, look func(ctx context.Context, generation string) error) error {
	l.mu.Lock()
	supposed := l.generation
	l.mu.Unlock()

	var p pointer
	group, until := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		p, err = l.pointer(until)
		return err
	})
	if supposed != "" {
		group.Go(func() error { return look(until, supposed) })
	}
	if err := group.Wait(); err != nil || p.Current == supposed {
		return err
	}
	l.mu.Lock()
	l.generation = p.Current
	l.mu.Unlock()
	return look(ctx, p.Current)
}

// mark is an item that says by its key alone what there is.
type mark struct {
	Part string `dynamodbav:"part"`
	Sort string `dynamodbav:"sort"`
}

func dayMark(generation, day string) mark { return mark{generation + "#days", day} }

func secretMark(generation, fingerprint, day string) mark {
	return mark{generation + "#secret#" + name(fingerprint), day}
}

// mostMarked is how many marks a process remembers having made.
const mostMarked = 20_000

// make puts the marks that are not known to be there.
func (l *Ledger) make(ctx context.Context, marks map[mark]bool) error {
	var missing []mark
	l.mu.Lock()
	for m := range marks {
		if !l.marked[m] {
			missing = append(missing, m)
		}
	}
	l.mu.Unlock()
	return together(ctx, missing, func(ctx context.Context, m mark) error {
		if _, err := l.table.put(ctx, m, "attribute_not_exists(part)", nil); err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.marked) >= mostMarked {
			clear(l.marked)
		}
		l.marked[m] = true
		return nil
	})
}

// marks returns the days of a part of marks, in their order.
func (l *Ledger) marks(ctx context.Context, part string) (days []string, err error) {
	err = l.table.query(ctx, within(part, ""), func(found item) error {
		var m mark
		err := l.table.decode(found, &m)
		days = append(days, m.Sort)
		return err
	})
	return days, err
}

// days returns the days that have rows of exchanges that began in [from, to); a
// zero to has no end.
func (l *Ledger) days(ctx context.Context, generation string, from, to time.Time) (days []string, err error) {
	all, err := l.marks(ctx, dayMark(generation, "").Part)
	for _, day := range all {
		if day >= dayOf(from) && (to.IsZero() || day <= dayOf(to.Add(-1))) {
			days = append(days, day)
		}
	}
	return days, err
}

// newGeneration returns the name of a generation that there was never before.
func newGeneration() string { return strings.ToLower(rand.Text()[:12]) }
