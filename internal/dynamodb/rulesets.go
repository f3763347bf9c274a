package dynamodb

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"codex-proxy/internal/redaction"
)

// rulesetsItem lists which rules for secrets were in force, from old to new. It
// is one item, so that replicas which start at once add one set; the sets have
// items of their own, as each may be large.
type rulesetsItem struct {
	Key string `dynamodbav:"id"`
	stamp
	Sets []rulesetRef `dynamodbav:"sets"`
}

// rulesetRef leads to a set.
type rulesetRef struct {
	Since int64  `dynamodbav:"since"`
	Key   string `dynamodbav:"key"`
}

// rulesetItem is a set. It is never changed.
type rulesetItem struct {
	Key      string `dynamodbav:"id"`
	Since    int64  `dynamodbav:"since"`
	Document []byte `dynamodbav:"document"`
}

const rulesetsKey = "rulesets"

// RuleSets implements redaction.History.
func (s *Developers) RuleSets(ctx context.Context) ([]redaction.RuleSet, error) {
	all, _, err := s.ruleSets(ctx)
	return all, err
}

func (s *Developers) ruleSets(ctx context.Context) (all []redaction.RuleSet, list rulesetsItem, err error) {
	if _, err := s.table.get(ctx, item{"id": text(rulesetsKey)}, &list); err != nil {
		return nil, list, err
	}
	found := map[string]rulesetItem{}
	for refs := range slices.Chunk(list.Sets, most) {
		var keys []item
		for _, ref := range refs {
			keys = append(keys, item{"id": text(ref.Key)})
		}
		if err := s.table.getAll(ctx, keys, func(is item) error {
			var set rulesetItem
			err := s.table.decode(is, &set)
			found[set.Key] = set
			return err
		}); err != nil {
			return nil, list, err
		}
	}
	for _, ref := range list.Sets {
		if _, there := found[ref.Key]; !there {
			return nil, list, fmt.Errorf("read the table %s: the rules for secrets since %s are missing (%s): restore the table, as conversations began under them", s.table.name, timeKept(ref.Since).Format(time.RFC3339), ref.Key)
		}
		all = append(all, redaction.RuleSet{Since: timeKept(ref.Since), Document: found[ref.Key].Document})
	}
	return all, list, nil
}

// AddRuleSet implements redaction.History.
func (s *Developers) AddRuleSet(ctx context.Context, set redaction.RuleSet) error {
	fresh := rulesetItem{Key: "ruleset#" + rand.Text(), Document: set.Document}
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		all, list, err := s.ruleSets(ctx)
		if err != nil {
			return err
		}
		since := set.Since
		if len(all) > 0 {
			newest := all[len(all)-1]
			if bytes.Equal(newest.Document, set.Document) { // which it also is when the answer to an earlier attempt was lost
				return nil
			}
			if !since.After(newest.Since) { // by a clock that is behind
				since = newest.Since.Add(time.Millisecond)
			}
		}
		if fresh.Since == 0 {
			fresh.Since = keptTime(since)
			if _, err := s.table.put(ctx, fresh, "attribute_not_exists(id) OR since = :since", item{":since": number(fresh.Since)}); err != nil {
				return err
			}
		}
		before := list.stamp
		list.Key, list.stamp, list.Sets = rulesetsKey, before.next(), append(list.Sets, rulesetRef{keptTime(since), fresh.Key})
		written, err := s.table.put(ctx, list, "attribute_not_exists(id) OR version = :version", item{":version": number(before.Version)})
		if err != nil || written {
			return err
		}
	}
	return fmt.Errorf("the rules for secrets are being changed by others all the time: try again")
}

// keptItem is something that is made once.
type keptItem struct {
	Key   string `dynamodbav:"id"`
	Value []byte `dynamodbav:"value"`
}

// Keep returns what is kept under a name for all replicas. Where nothing is yet,
// fresh is from now on, unless it is nil.
func (s *Developers) Keep(ctx context.Context, name string, fresh []byte) ([]byte, error) {
	k := keptItem{Key: "kept#" + name, Value: fresh}
	var kept keptItem
	found, err := s.table.get(ctx, item{"id": text(k.Key)}, &kept)
	if err != nil || found || fresh == nil {
		return kept.Value, err
	}
	written, err := s.table.put(ctx, k, "attribute_not_exists(id)", nil)
	if err != nil || written {
		return fresh, err
	}
	_, err = s.table.get(ctx, item{"id": text(k.Key)}, &kept) // another's, or this one's whose answer was lost
	return kept.Value, err
}
