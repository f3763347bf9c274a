package dynamodb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"codex-proxy/internal/developer"
)

// tokenItem is a token within its developer's item.
type tokenItem struct {
	Hash       []byte `dynamodbav:"hash"`
	Label      string `dynamodbav:"label"`
	Created    int64  `dynamodbav:"created"`
	Expires    int64  `dynamodbav:"expires"`
	Revoked    int64  `dynamodbav:"revoked"`
	LastUsed   int64  `dynamodbav:"last_used"`
	Imported   bool   `dynamodbav:"imported"`
	ReplacedBy string `dynamodbav:"replaced_by"`
}

func newTokenItem(c developer.Credential) tokenItem {
	return tokenItem{
		Hash: c.Hash[:], Label: c.Label, Created: keptTime(c.Created), Expires: keptTime(c.Expires),
		Revoked: keptTime(c.Revoked), LastUsed: keptTime(c.LastUsed), Imported: c.Imported, ReplacedBy: c.ReplacedBy,
	}
}

// holds tells whether one of the developer's tokens has this hash.
func (d *developerItem) holds(hash [sha256.Size]byte) bool {
	_, found := d.find(hash)
	return found
}

// find returns the public id of the developer's token with this hash.
func (d *developerItem) find(hash [sha256.Size]byte) (id string, found bool) {
	for id, token := range d.Tokens {
		if bytes.Equal(token.Hash, hash[:]) {
			return id, true
		}
	}
	return "", false
}

// token returns what is known of one of the developer's tokens.
func (d *developerItem) token(id string) (developer.TokenInfo, error) {
	token, found := d.Tokens[id]
	if !found {
		return developer.TokenInfo{}, fmt.Errorf("token %s %w", id, developer.ErrNotFound)
	}
	return developer.TokenInfo{
		ID: id, Developer: d.id(), Label: token.Label, Created: timeKept(token.Created), Expires: timeKept(token.Expires),
		Revoked: timeKept(token.Revoked), LastUsed: timeKept(token.LastUsed), Imported: token.Imported, ReplacedBy: token.ReplacedBy,
	}, nil
}

// tokens returns the developer's tokens, from old to new.
func (d *developerItem) tokens() (all []developer.TokenInfo) {
	for id := range d.Tokens {
		info, _ := d.token(id) // it is there
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b developer.TokenInfo) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// place is where a hash leads: whose token it is, which is so for good, and the
// team that the developer was in when last looked.
type place struct{ developer, team string }

// remembered is how many hashes a process remembers the places of.
const remembered = 10_000

func (s *Developers) remember(hash [sha256.Size]byte, at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.places) >= remembered {
		clear(s.places)
	}
	s.places[hash] = at
}

func (s *Developers) recall(hash [sha256.Size]byte) (at place, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, known = s.places[hash]
	return at, known
}

// Grant implements developer.Store: one BatchGetItem where this process has seen
// the token before, and one GetItem more where it has not.
func (s *Developers) Grant(ctx context.Context, hash [sha256.Size]byte) (developer.Grant, error) {
	if at, known := s.recall(hash); known {
		if g, found, err := s.grantAt(ctx, hash, at); found || err != nil {
			return g, err
		}
	}
	var c claimItem
	found, err := s.table.get(ctx, hashKey(hash), &c)
	if err != nil {
		return developer.Grant{}, err
	}
	if found {
		var g developer.Grant
		if g, found, err = s.grantAt(ctx, hash, place{c.Developer, c.Team}); found || err != nil {
			return g, err
		}
	}
	return developer.Grant{}, fmt.Errorf("token %w", developer.ErrNotFound)
}

// grantAt reads what the token grants if its place is this one.
func (s *Developers) grantAt(ctx context.Context, hash [sha256.Size]byte, at place) (g developer.Grant, found bool, err error) {
	var d developerItem
	var t teamItem
	err = s.table.getAll(ctx, []item{developerKey(at.developer), teamKey(at.team)}, func(is item) error {
		if _, person := is["tokens"]; person {
			return s.table.decode(is, &d)
		}
		return s.table.decode(is, &t)
	})
	if err != nil {
		return g, false, err
	}
	id, found := d.find(hash)
	if !found {
		return g, false, nil
	}
	if d.Team != at.team {
		if t, err = s.loadTeam(ctx, d.Team); err != nil {
			return g, false, err
		}
	}
	s.remember(hash, place{d.id(), d.Team})
	g.Hash, g.Holder, g.Policy = hash, d.developer(), developer.Policy(t.Policy)
	g.TokenInfo, err = d.token(id)
	return g, true, err
}

// AddToken implements developer.Store.
func (s *Developers) AddToken(ctx context.Context, token developer.Credential) error {
	d, err := s.load(ctx, token.Developer)
	if err != nil {
		return err
	}
	return s.claiming(ctx, place{d.id(), d.Team}, rand.Text(), tokenClaims(token), func() error {
		_, err := s.change(ctx, d.id(), func(d *developerItem) error { return d.add(token) })
		return err
	})
}

// add adds a token to the developer's.
func (d *developerItem) add(token developer.Credential) error {
	if _, taken := d.Tokens[token.ID]; taken || d.holds(token.Hash) {
		return fmt.Errorf("token %s %w", token.ID, developer.ErrExists)
	}
	d.Tokens[token.ID] = newTokenItem(token)
	return nil
}

// Token implements developer.Store.
func (s *Developers) Token(ctx context.Context, id string) (developer.TokenInfo, error) {
	d, err := s.owner(ctx, id)
	if err != nil {
		return developer.TokenInfo{}, err
	}
	return d.token(id)
}

// Tokens implements developer.Store.
func (s *Developers) Tokens(ctx context.Context, owner string) (infos []developer.TokenInfo, err error) {
	var of []developerItem
	if owner == "" {
		of, err = s.all(ctx)
	} else if d, loadErr := s.load(ctx, owner); !isNotFound(loadErr) {
		of, err = []developerItem{d}, loadErr
	}
	if err != nil {
		return nil, err
	}
	for _, d := range of {
		infos = append(infos, d.tokens()...)
	}
	return infos, nil
}

// RevokeToken implements developer.Store.
func (s *Developers) RevokeToken(ctx context.Context, id string, at time.Time) (developer.TokenInfo, error) {
	d, err := s.owner(ctx, id)
	if err != nil {
		return developer.TokenInfo{}, err
	}
	d, err = s.change(ctx, d.id(), func(d *developerItem) error {
		token, found := d.Tokens[id]
		if !found || token.Revoked != 0 {
			return errUnchanged
		}
		token.Revoked = keptTime(at)
		d.Tokens[id] = token
		return nil
	})
	if err != nil {
		return developer.TokenInfo{}, err
	}
	return d.token(id)
}

// RotateToken implements developer.Store.
func (s *Developers) RotateToken(ctx context.Context, old string, fresh developer.Credential, until time.Time) error {
	d, err := s.owner(ctx, old)
	if err != nil {
		return err
	}
	if d.id() != fresh.Developer {
		return fmt.Errorf("token %s belongs to %s: it cannot be replaced by one of %s", old, d.id(), fresh.Developer)
	}
	if err := d.rotate(old, fresh, until); err != nil { // before anything is claimed
		return err
	}
	return s.claiming(ctx, place{d.id(), d.Team}, rand.Text(), tokenClaims(fresh), func() error {
		_, err := s.change(ctx, d.id(), func(d *developerItem) error { return d.rotate(old, fresh, until) })
		return err
	})
}

// rotate puts one of the developer's tokens in the place of another.
func (d *developerItem) rotate(old string, fresh developer.Credential, until time.Time) error {
	info, err := d.token(old)
	if err != nil {
		return err
	}
	if info.State(fresh.Created) != "active" {
		return fmt.Errorf("token %s %w", old, developer.ErrNotActive)
	}
	if !info.Expires.IsZero() && info.Expires.Before(until) {
		until = info.Expires
	}
	if err := d.add(fresh); err != nil {
		return err
	}
	token := d.Tokens[old]
	token.Expires, token.ReplacedBy = keptTime(until), fresh.ID
	d.Tokens[old] = token
	return nil
}

// AddTokenAndTidy implements developer.Tidier. The claims of the tokens that are
// deleted go after them, as RemoveDeveloper says.
func (s *Developers) AddTokenAndTidy(ctx context.Context, token developer.Credential, tidy developer.Tidy) error {
	d, err := s.load(ctx, token.Developer)
	if err != nil {
		return err
	}
	var gone []string
	err = s.claiming(ctx, place{d.id(), d.Team}, rand.Text(), tokenClaims(token), func() error {
		_, err := s.change(ctx, d.id(), func(d *developerItem) error {
			gone = d.tidy(tidy, token.Created)
			return d.add(token)
		})
		return err
	})
	if err == nil {
		s.abandon(ctx, d.id(), gone)
	}
	return err
}

// tidy ends and deletes tokens, and returns the keys of the claims of the deleted.
func (d *developerItem) tidy(tidy developer.Tidy, at time.Time) (gone []string) {
	ended, deleted := tidy(d.tokens())
	for _, id := range ended {
		if token, found := d.Tokens[id]; found && (token.Expires == 0 || token.Expires > keptTime(at)) {
			token.Expires = keptTime(at)
			d.Tokens[id] = token
		}
	}
	for _, id := range deleted {
		if token, found := d.Tokens[id]; found {
			gone = append(gone, tokenKeys(id, token.Hash)...)
			delete(d.Tokens, id)
		}
	}
	return gone
}
