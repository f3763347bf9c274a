package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"codex-proxy/internal/developer"
)

// ApplyBatch implements developer.Batcher. All that could forbid a part of it is
// looked for first, and nothing is written where something does. From then on
// each developer is one write, with all that concerns them: what fails later, for
// the table is out of reach or somebody else has come between, leaves the others
// done, and the error is a developer.ErrHalfDone.
//
// What a batch writes carries the batch's own stamp, so that it finds what it has
// done already when it is applied again.
func (s *Developers) ApplyBatch(ctx context.Context, batch developer.Batch) error {
	by, err := stampOf(batch)
	if err != nil {
		return err
	}
	edits, err := s.planBatch(ctx, batch, by)
	if err != nil {
		return err
	}
	teams := map[string]bool{}
	for _, e := range edits {
		teams[e.team] = true
	}
	err = together(ctx, sorted(teams), s.ensureTeam)
	if err == nil {
		err = together(ctx, edits, func(ctx context.Context, e *edit) error { return s.applyEdit(ctx, e, by) })
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", developer.ErrHalfDone, err)
	}
	return err
}

// stampOf is the stamp of what a batch writes: the same for the same batch, and
// for no other.
func stampOf(batch developer.Batch) (string, error) {
	content, err := json.Marshal(batch)
	if err != nil {
		return "", fmt.Errorf("read the batch: %w", err)
	}
	return fmt.Sprintf("batch %x", sha256.Sum256(content)), nil
}

// edit is all that a batch does about one developer.
type edit struct {
	id      string
	add     *developer.Developer
	changes []developer.Change
	tokens  []developer.Credential
	// team is where they are in the end.
	team string
}

// planBatch works out the edits of a batch that are not done yet, or says what
// forbids it.
func (s *Developers) planBatch(ctx context.Context, batch developer.Batch, by string) (todo []*edit, err error) {
	edits, err := editsOf(batch)
	if err != nil {
		return nil, err
	}
	existing, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	known, ids, hashes := map[string]developerItem{}, map[string]bool{}, map[string]bool{}
	for _, d := range existing {
		known[d.id()] = d
		for id, token := range d.Tokens {
			ids[id], hashes[string(token.Hash)] = true, true
		}
	}
	for _, id := range sorted(edits) {
		e := edits[id]
		d := known[id]
		if d.Write == by {
			continue
		}
		d.Tokens, d.Invitations = nil, nil // those of all developers are looked at below
		if err := e.apply(&d); err != nil {
			return nil, err
		}
		for _, token := range e.tokens {
			if ids[token.ID] || hashes[string(token.Hash[:])] {
				return nil, fmt.Errorf("token %s %w", token.ID, developer.ErrExists)
			}
			ids[token.ID], hashes[string(token.Hash[:])] = true, true
		}
		e.team = d.Team
		todo = append(todo, e)
	}
	return todo, nil
}

// editsOf sorts a batch by developer.
func editsOf(batch developer.Batch) (map[string]*edit, error) {
	edits := map[string]*edit{}
	of := func(id string) *edit {
		if edits[id] == nil {
			edits[id] = &edit{id: id}
		}
		return edits[id]
	}
	for _, is := range batch.Add {
		if err := is.Validate(); err != nil {
			return nil, err
		}
		e := of(is.ID)
		if e.add != nil {
			return nil, fmt.Errorf("developer %s %w", is.ID, developer.ErrExists)
		}
		e.add = &is
	}
	for _, change := range batch.Change {
		if err := change.After.Validate(); err != nil {
			return nil, err
		}
		e := of(change.Before.ID)
		e.changes = append(e.changes, change)
	}
	for _, token := range batch.Tokens {
		e := of(token.Developer)
		e.tokens = append(e.tokens, token)
	}
	return edits, nil
}

// apply does to a developer's item, which is empty where there is none, all that a
// batch does about them.
func (e *edit) apply(d *developerItem) error {
	switch {
	case e.add != nil && d.Version > 0:
		return fmt.Errorf("developer %s %w", e.id, developer.ErrExists)
	case e.add != nil:
		d.set(*e.add)
	case d.Version == 0:
		return fmt.Errorf("developer %s %w", e.id, developer.ErrNotFound)
	}
	for _, change := range e.changes {
		now := d.developer()
		if now.Created, now.Updated = change.Before.Created, change.Before.Updated; now != change.Before {
			return fmt.Errorf("developer %s %w", e.id, developer.ErrChanged)
		}
		after := change.After
		after.ID, after.Created = e.id, timeKept(d.Created)
		d.set(after)
	}
	if d.Tokens == nil {
		d.Tokens = map[string]tokenItem{}
	}
	for _, token := range e.tokens {
		if err := d.add(token); err != nil {
			return err
		}
	}
	return nil
}

// applyEdit does all that a batch does about one developer, under its stamp.
func (s *Developers) applyEdit(ctx context.Context, e *edit, by string) error {
	return s.claiming(ctx, place{e.id, e.team}, by, tokenClaims(e.tokens...), func() error {
		for try := range tries {
			if err := pause(ctx, try); err != nil {
				return err
			}
			var d developerItem
			if _, err := s.table.get(ctx, developerKey(e.id), &d); err != nil || d.Write == by { // an attempt whose answer was lost
				return err
			}
			before := d.stamp
			if err := e.apply(&d); err != nil {
				return err
			}
			d.stamp = stamp{before.Version + 1, by}
			condition, values := "attribute_not_exists(version)", item(nil)
			if before.Version > 0 {
				condition, values = "version = :version", item{":version": number(before.Version)}
			}
			if written, err := s.table.put(ctx, d, condition, values); err != nil || written {
				return err
			}
		}
		return errBusy(e.id)
	})
}
