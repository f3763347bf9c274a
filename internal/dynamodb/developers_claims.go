package dynamodb

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"codex-proxy/internal/developer"
)

const (
	hashPrefix  = "hash#"
	tokenPrefix = "token#"
)

func hashKey(hash [sha256.Size]byte) item {
	return item{"id": text(hashPrefix + hex.EncodeToString(hash[:]))}
}

func tokenKey(id string) item { return item{"id": text(tokenPrefix + id)} }

// claimItem says whose a token is, by its hash or by its public id. It makes both
// unique and leads to the developer, whose item alone decides whether there is
// such a token.
type claimItem struct {
	Key       string `dynamodbav:"id"`
	Developer string `dynamodbav:"developer"`
	// Team is where the developer was then.
	Team string `dynamodbav:"team"`
	// Write is a random text that the call which made the claim knows it by.
	Write string `dynamodbav:"stamp"`
	// Claimed is when, in milliseconds since 1970 UTC.
	Claimed int64 `dynamodbav:"claimed"`
}

// claimGrace is how long a claim stands that no developer's item bears out: much
// longer than whoever made it can take to write the item.
const claimGrace = time.Minute

// claiming claims the hashes and ids of tokens for a developer and then calls
// write, which adds them to the developer's item. If write has certainly not
// done so, the claims are given back. If that is not known (the answer was lost)
// they stay, and can be taken over after claimGrace should the developer's item
// not bear them out.
func (s *Developers) claiming(ctx context.Context, id, team string, tokens []developer.Credential, write func() error) error {
	var made []claimItem
	for _, token := range tokens {
		for _, key := range []item{hashKey(token.Hash), tokenKey(token.ID)} {
			c := claimItem{Developer: id, Team: team, Write: rand.Text(), Claimed: time.Now().UnixMilli()}
			if err := s.table.decode(key, &c); err != nil {
				return err
			}
			err := s.claim(ctx, key, c)
			if errors.Is(err, developer.ErrExists) {
				err = fmt.Errorf("token %s %w", token.ID, developer.ErrExists)
			}
			if err != nil {
				s.giveBack(ctx, made)
				return err
			}
			made = append(made, c)
		}
	}
	err := write()
	for _, certain := range []error{developer.ErrExists, developer.ErrNotFound, developer.ErrNotActive} {
		if errors.Is(err, certain) {
			s.giveBack(ctx, made)
			break
		}
	}
	return err
}

// claim makes one claim, or returns developer.ErrExists.
func (s *Developers) claim(ctx context.Context, key item, c claimItem) error {
	written, err := s.table.put(ctx, c, "attribute_not_exists(id)", nil)
	if err != nil || written {
		return err
	}
	var held claimItem
	found, err := s.table.get(ctx, key, &held)
	if err != nil || held.Write == c.Write { // its answer was lost
		return err
	}
	if found {
		if stands, err := s.stands(ctx, held); err != nil {
			return err
		} else if stands {
			return developer.ErrExists
		}
	}
	written, err = s.table.put(ctx, c, "attribute_not_exists(id) OR stamp = :stamp", item{":stamp": text(held.Write)})
	if err == nil && !written {
		err = developer.ErrExists
	}
	return err
}

// stands tells whether a claim is borne out by the developer's item, or may be
// before long.
func (s *Developers) stands(ctx context.Context, c claimItem) (bool, error) {
	if time.Since(time.UnixMilli(c.Claimed)) < claimGrace {
		return true, nil
	}
	d, err := s.load(ctx, c.Developer)
	if isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if id, byID := strings.CutPrefix(c.Key, tokenPrefix); byID {
		_, held := d.Tokens[id]
		return held, nil
	}
	for _, token := range d.Tokens {
		if hashPrefix+hex.EncodeToString(token.Hash) == c.Key {
			return true, nil
		}
	}
	return false, nil
}

// tidyLimit bounds the removal of claims, which waits for nobody else.
const tidyLimit = 500 * time.Millisecond

// giveBack removes claims that came to nothing, also when the caller has gone.
// What cannot be removed is taken over when somebody needs it.
func (s *Developers) giveBack(ctx context.Context, claims []claimItem) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyLimit)
	defer cancel()
	for _, c := range claims {
		_, _ = s.table.remove(ctx, item{"id": text(c.Key)}, "stamp = :stamp", item{":stamp": text(c.Write)})
	}
}

// abandon removes what leads to the tokens and invitations of a developer's item
// that are gone. What somebody else has claimed since stays.
func (s *Developers) abandon(ctx context.Context, d developerItem) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyLimit)
	defer cancel()
	var keys []string
	for id, token := range d.Tokens {
		keys = append(keys, tokenPrefix+id, hashPrefix+hex.EncodeToString(token.Hash))
	}
	for _, invitation := range d.Invitations {
		keys = append(keys, invitationPrefix+hex.EncodeToString(invitation.Hash))
	}
	for _, key := range keys {
		_, _ = s.table.remove(ctx, item{"id": text(key)}, "developer = :developer", item{":developer": text(d.id())})
	}
}

// owner returns the item of the developer who has the token with this public id.
func (s *Developers) owner(ctx context.Context, id string) (d developerItem, err error) {
	var c claimItem
	found := false
	if len(id) <= longestName {
		found, err = s.table.get(ctx, tokenKey(id), &c)
	}
	if err == nil && found {
		d, err = s.load(ctx, c.Developer)
	}
	if err == nil {
		_, err = d.token(id)
	}
	if isNotFound(err) {
		err = fmt.Errorf("token %s %w", id, developer.ErrNotFound)
	}
	return d, err
}

func isNotFound(err error) bool { return errors.Is(err, developer.ErrNotFound) }
