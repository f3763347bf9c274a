package dynamodb

import (
	"context"
	"fmt"
	"slices"

	"codex-proxy/internal/developer"
)

// ApplyBatch implements developer.Batcher. All that could forbid a part of it is
// looked for first, and nothing is written where something does. From then on
// each developer is one write, with all that concerns them: what fails later, for
// the table is out of reach or somebody else has come between, leaves the others
// done, and the error is a developer.ErrHalfDone.
func (s *Developers) ApplyBatch(ctx context.Context, batch developer.Batch) error {
	edits, err := s.planBatch(ctx, batch)
	if err != nil {
		return err
	}
	err = together(ctx, edits, s.applyEdit)
	if err != nil {
		err = fmt.Errorf("%w: %w", developer.ErrHalfDone, err)
	}
	return err
}

// edit is all that a batch does about one developer.
type edit struct {
	before developerItem // zero for one who is added
	after  developerItem
	change *developer.Change
	tokens []developer.Credential
}

// planBatch works out the edits of a batch, in no order, or says what forbids it.
func (s *Developers) planBatch(ctx context.Context, batch developer.Batch) ([]*edit, error) {
	existing, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	known, edits := map[string]developerItem{}, map[string]*edit{}
	ids, hashes := map[string]bool{}, map[string]bool{}
	for _, d := range existing {
		known[d.id()] = d
		for id, token := range d.Tokens {
			ids[id], hashes[string(token.Hash)] = true, true
		}
	}
	for _, is := range batch.Add {
		if err := is.Validate(); err != nil {
			return nil, err
		}
		if _, exists := known[is.ID]; exists || edits[is.ID] != nil {
			return nil, fmt.Errorf("developer %s %w", is.ID, developer.ErrExists)
		}
		e := &edit{after: developerItem{stamp: stamp{}.next(), Tokens: map[string]tokenItem{}}}
		e.after.set(is)
		edits[is.ID] = e
	}
	of := func(id string) (*edit, error) {
		if edits[id] == nil {
			before, exists := known[id]
			if !exists {
				return nil, fmt.Errorf("developer %s %w", id, developer.ErrNotFound)
			}
			edits[id] = &edit{before: before, after: before}
		}
		return edits[id], nil
	}
	for _, change := range batch.Change {
		if err := change.After.Validate(); err != nil {
			return nil, err
		}
		e, err := of(change.Before.ID)
		if err != nil {
			return nil, err
		}
		if err := e.before.fits(change); err != nil {
			return nil, err
		}
		e.change = &change
	}
	for _, token := range batch.Tokens {
		e, err := of(token.Developer)
		if err != nil {
			return nil, err
		}
		if ids[token.ID] || hashes[string(token.Hash[:])] {
			return nil, fmt.Errorf("token %s %w", token.ID, developer.ErrExists)
		}
		ids[token.ID], hashes[string(token.Hash[:])] = true, true
		e.tokens = append(e.tokens, token)
	}
	var all []*edit
	for _, id := range sorted(edits) {
		all = append(all, edits[id])
	}
	return all, nil
}

// fits tells whether the developer is as a change supposes, the times aside.
func (d *developerItem) fits(change developer.Change) error {
	now := d.developer()
	if now.Created, now.Updated = change.Before.Created, change.Before.Updated; now != change.Before {
		return fmt.Errorf("developer %s %w", now.ID, developer.ErrChanged)
	}
	return nil
}

// applyEdit does all that a batch does about one developer.
func (s *Developers) applyEdit(ctx context.Context, e *edit) error {
	if e.before.Key == "" {
		for _, token := range e.tokens {
			e.after.Tokens[token.ID] = newTokenItem(token)
		}
		return s.addItem(ctx, e.after, e.tokens)
	}
	return s.claiming(ctx, e.before.id(), e.before.Team, slices.Clone(e.tokens), func() error {
		if e.change != nil {
			if err := s.ensureTeam(ctx, e.change.After.Team); err != nil {
				return err
			}
		}
		_, err := s.change(ctx, e.before.id(), func(d *developerItem) error {
			if e.change != nil {
				if err := d.fits(*e.change); err != nil {
					return err
				}
				after := e.change.After
				after.ID, after.Created = d.id(), timeKept(d.Created)
				d.set(after)
			}
			for _, token := range e.tokens {
				if err := d.add(token); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
}
