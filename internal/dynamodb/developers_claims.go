package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
)

const (
	hashPrefix  = "hash#"
	tokenPrefix = "token#"
)

func hashKey(hash [sha256.Size]byte) item {
	return item{"id": text(hashPrefix + hex.EncodeToString(hash[:]))}
}

func tokenKey(id string) item { return item{"id": text(tokenPrefix + id)} }

// claimItem says whose a token is, by its hash or by its public id, or whose an
// invitation is, by its hash. It makes them unique and leads to the developer,
// whose item alone decides whether there is such a thing.
type claimItem struct {
	Key       string `dynamodbav:"id"`
	Developer string `dynamodbav:"developer"`
	// Team is where the developer was then.
	Team string `dynamodbav:"team"`
	// Write is a text that the call which made the claim knows it by.
	Write string `dynamodbav:"stamp"`
	// Claimed is when, in milliseconds since 1970 UTC.
	Claimed int64 `dynamodbav:"claimed"`
	// Expires is when the table's time to live may remove the claim, in seconds
	// since 1970 UTC; 0, which is not kept, is never. Nothing depends on it.
	Expires int64 `dynamodbav:"expires_at,omitempty"`
}

// wanted is something to claim.
type wanted struct {
	key string
	// of is what the claim is about, as errors name it.
	of string
	// expires is when the claim is of no more use; zero is never.
	expires time.Time
}

// tokenClaims are those of tokens.
func tokenClaims(tokens ...developer.Credential) (all []wanted) {
	for _, token := range tokens {
		for _, key := range tokenKeys(token.ID, token.Hash[:]) {
			all = append(all, wanted{key: key, of: "token " + token.ID})
		}
	}
	return all
}

// tokenKeys are the keys of a token's claims.
func tokenKeys(id string, hash []byte) []string {
	return []string{hashPrefix + hex.EncodeToString(hash), tokenPrefix + id}
}

// claims are the keys of all claims that a developer's item bears out.
func (d *developerItem) claims() (keys []string) {
	for id, token := range d.Tokens {
		keys = append(keys, tokenKeys(id, token.Hash)...)
	}
	for _, i := range d.Invitations {
		keys = append(keys, invitationKey(i.Hash))
	}
	return keys
}

// claimGrace is how long a claim stands that no developer's item bears out: much
// longer than whoever made it can take to write the item.
const claimGrace = time.Minute

// claiming claims all that is wanted for a developer, under one stamp, and then
// calls write, which adds what it is about to the developer's item. If write has
// certainly not done so, the claims are given back. If that is not known (the
// answer was lost) they stay, and can be taken over after claimGrace should the
// developer's item not bear them out.
func (s *Developers) claiming(ctx context.Context, by place, stamp string, all []wanted, write func() error) error {
	var made []claimItem
	for _, w := range all {
		c := claimItem{Key: w.key, Developer: by.developer, Team: by.team, Write: stamp, Claimed: time.Now().UnixMilli()}
		if !w.expires.IsZero() {
			c.Expires = w.expires.Unix()
		}
		fresh, err := s.claim(ctx, c)
		if errors.Is(err, developer.ErrExists) {
			err = fmt.Errorf("%s %w", w.of, developer.ErrExists)
		}
		if err != nil {
			s.giveBack(ctx, made)
			return err
		}
		if fresh {
			made = append(made, c)
		}
	}
	err := write()
	for _, certain := range []error{developer.ErrExists, developer.ErrNotFound, developer.ErrNotActive, developer.ErrChanged, invite.ErrNotOpen} {
		if errors.Is(err, certain) {
			s.giveBack(ctx, made)
			break
		}
	}
	return err
}

// claim makes one claim, or returns developer.ErrExists. One that has this stamp
// already is not fresh: an earlier attempt has made it, which may have written what
// it is about.
func (s *Developers) claim(ctx context.Context, c claimItem) (fresh bool, err error) {
	fresh, err = s.table.put(ctx, c, "attribute_not_exists(id)", nil)
	if err != nil || fresh {
		return fresh, err
	}
	var held claimItem
	found, err := s.table.get(ctx, item{"id": text(c.Key)}, &held)
	if err != nil || held.Write == c.Write {
		return false, err
	}
	if found {
		if stands, err := s.stands(ctx, held); err != nil {
			return false, err
		} else if stands {
			return false, developer.ErrExists
		}
	}
	fresh, err = s.table.put(ctx, c, "attribute_not_exists(id) OR stamp = :stamp OR stamp = :own", // the latter where an answer was lost
		item{":stamp": text(held.Write), ":own": text(c.Write)})
	if err == nil && !fresh {
		err = developer.ErrExists
	}
	return fresh, err
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
	return slices.Contains(d.claims(), c.Key), err
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

// abandon removes the claims of what a developer has no more. What somebody else
// has claimed since stays.
func (s *Developers) abandon(ctx context.Context, owner string, keys []string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyLimit)
	defer cancel()
	_ = together(ctx, keys, func(ctx context.Context, key string) error {
		_, err := s.table.remove(ctx, item{"id": text(key)}, "developer = :developer", item{":developer": text(owner)})
		return err
	})
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
