package dynamodb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/console"
)

var _ console.Store = (*Developers)(nil)

// documentItem is a document of the console.
type documentItem struct {
	Key     string `dynamodbav:"id"`
	Version int64  `dynamodbav:"version"`
	Content []byte `dynamodbav:"content"`
	// Write is a random text that the call which wrote it knows it by.
	Write string `dynamodbav:"stamp"`
}

const documentPrefix = "console#"

// ConsoleDocument implements console.Store.
func (s *Developers) ConsoleDocument(ctx context.Context, name string) (content []byte, version int64, err error) {
	var d documentItem
	_, err = s.table.get(ctx, item{"id": text(documentPrefix + name)}, &d)
	return d.Content, d.Version, err
}

// SetConsoleDocument implements console.Store.
func (s *Developers) SetConsoleDocument(ctx context.Context, name string, content []byte, version int64) (bool, error) {
	d := documentItem{Key: documentPrefix + name, Version: version + 1, Content: content, Write: stamp{}.next().Write}
	condition, values := "version = :version", item{":version": number(version)}
	if version == 0 {
		condition, values = "attribute_not_exists(id)", nil
	}
	written, err := s.table.put(ctx, d, condition, values)
	if err == nil && !written {
		var now documentItem
		_, err = s.table.get(ctx, item{"id": text(d.Key)}, &now)
		written = now.Write == d.Write // its answer was lost
	}
	return written, err
}

// readingsItem are the readings of what one developer wrote, in one item: whether
// somebody may read is looked up with every page.
type readingsItem struct {
	Key string `dynamodbav:"id"`
	stamp
	Readings []readingItem `dynamodbav:"readings"`
}

// readingItem is one of them.
type readingItem struct {
	ID        string `dynamodbav:"id"`
	At        int64  `dynamodbav:"at"`
	Reader    string `dynamodbav:"reader"`
	Role      string `dynamodbav:"role"`
	Developer string `dynamodbav:"developer"`
	Reason    string `dynamodbav:"reason"`
	State     string `dynamodbav:"state"`
	Until     int64  `dynamodbav:"until"`
	DecidedBy string `dynamodbav:"decided_by"`
}

const (
	readingsPrefix = "readings#"
	// mostReadings is how many of a developer's are kept, as an item has its bounds.
	mostReadings = 250
)

// PutReading implements console.Store.
func (s *Developers) PutReading(ctx context.Context, r console.Reading) error {
	fresh := readingItem{r.ID, keptTime(r.At), r.Reader, r.Role, r.Developer, r.Reason, string(r.State), keptTime(r.Until), r.DecidedBy}
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		var all readingsItem
		if _, err := s.table.get(ctx, item{"id": text(readingsPrefix + r.Developer)}, &all); err != nil {
			return err
		}
		before := all.stamp
		all.Readings = slices.DeleteFunc(all.Readings, func(is readingItem) bool { return is.ID == r.ID })
		all.Readings = append(all.Readings, fresh)
		slices.SortFunc(all.Readings, func(a, b readingItem) int { return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(b.ID, a.ID)) })
		all.Readings = all.Readings[:min(len(all.Readings), mostReadings)]
		all.Key, all.stamp = readingsPrefix+r.Developer, before.next()
		// Written again after an answer that was lost, it says the same.
		written, err := s.table.put(ctx, all, "attribute_not_exists(id) OR version = :version", item{":version": number(before.Version)})
		if err != nil || written {
			return err
		}
	}
	return fmt.Errorf("who reads what %s wrote is being changed by others all the time: try again", r.Developer)
}

// Readings implements console.Store. Those of all developers are looked for in the
// whole table.
func (s *Developers) Readings(ctx context.Context, developer string, since time.Time) (all []console.Reading, err error) {
	take := func(found item) error {
		var of readingsItem
		if err := s.table.decode(found, &of); err != nil {
			return err
		}
		for _, r := range of.Readings {
			if r.At >= keptTime(since) {
				all = append(all, console.Reading{
					ID: r.ID, At: timeKept(r.At), Reader: r.Reader, Role: r.Role, Developer: r.Developer,
					Reason: r.Reason, State: console.ReadingState(r.State), Until: timeKept(r.Until), DecidedBy: r.DecidedBy,
				})
			}
		}
		return nil
	}
	if developer != "" {
		err = s.table.getAll(ctx, []item{{"id": text(readingsPrefix + developer)}}, take)
	} else {
		err = s.table.scan(ctx, startingWith(readingsPrefix), take)
	}
	slices.SortFunc(all, func(a, b console.Reading) int { return cmp.Or(b.At.Compare(a.At), strings.Compare(b.ID, a.ID)) })
	return all, err
}
