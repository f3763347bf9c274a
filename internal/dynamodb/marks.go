package dynamodb

import (
	"context"
	"fmt"
	"slices"

	"codex-proxy/internal/ledger"
)

// marksItem holds the marks of the secrets whose fingerprints begin with the same
// digit, as an item holds 400 KB: some hundred marks.
type marksItem struct {
	Key string `dynamodbav:"id"`
	stamp
	Marks []markItem `dynamodbav:"marks"`
}

type markItem struct {
	Fingerprint string `dynamodbav:"fingerprint"`
	As          string `dynamodbav:"as"`
	Note        string `dynamodbav:"note"`
	By          string `dynamodbav:"by"`
	At          int64  `dynamodbav:"at"`
}

var _ ledger.Marks = (*Developers)(nil)

func marksKey(digit string) string { return "marks#" + digit }

// Mark implements ledger.Marks.
func (s *Developers) Mark(ctx context.Context, m ledger.Mark) error {
	if err := m.Validate(); err != nil {
		return err
	}
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		list := marksItem{Key: marksKey(m.Fingerprint[:1])}
		if _, err := s.table.get(ctx, item{"id": text(list.Key)}, &list); err != nil {
			return err
		}
		before := list.stamp
		list.stamp = before.next()
		list.Marks = slices.DeleteFunc(list.Marks, func(kept markItem) bool { return kept.Fingerprint == m.Fingerprint })
		if m.As != ledger.Open {
			list.Marks = append(list.Marks, markItem{m.Fingerprint, string(m.As), m.Note, m.By, keptTime(m.At)})
		}
		written, err := s.table.put(ctx, list, "attribute_not_exists(id) OR version = :version", item{":version": number(before.Version)})
		if err != nil || written {
			return err
		}
	}
	return fmt.Errorf("the marks of secrets are being changed by others all the time: try again")
}

// Marks implements ledger.Marks.
func (s *Developers) Marks(ctx context.Context) (all []ledger.Mark, err error) {
	var keys []item
	for _, digit := range "0123456789abcdef" {
		keys = append(keys, item{"id": text(marksKey(string(digit)))})
	}
	err = s.table.getAll(ctx, keys, func(is item) error {
		var list marksItem
		err := s.table.decode(is, &list)
		for _, m := range list.Marks {
			all = append(all, ledger.Mark{Fingerprint: m.Fingerprint, As: ledger.MarkedAs(m.As), Note: m.Note, By: m.By, At: timeKept(m.At)})
		}
		return err
	})
	return all, err
}
