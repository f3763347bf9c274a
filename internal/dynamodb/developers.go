package dynamodb

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/redaction"
)

// Developers is a developer.Store in the table of tokens. Its items:
//
//	developer#<id>         a developer with all their tokens and invitations
//	team#<name>            a team's policy
//	hash#<SHA-256>         a claim: whose a token is, by its hash
//	token#<id>             a claim: whose a token is, by its public id
//	invitation#<SHA-256>   a claim: whose an invitation is, by its code's hash
//	rulesets, ruleset#…    which rules for secrets were in force
//	kept#<name>            what was made once for all replicas
//	console#…              who may sign in to the console
//	readings#<developer>   who has read what a developer wrote
type Developers struct {
	table table

	mu     sync.Mutex
	places map[[sha256.Size]byte]place
}

var (
	_ developer.Store   = (*Developers)(nil)
	_ developer.Batcher = (*Developers)(nil)
	_ developer.Tidier  = (*Developers)(nil)
	_ invite.Store      = (*Developers)(nil)
	_ redaction.History = (*Developers)(nil)
)

// NewDevelopers returns the developers in the table of this name, which must be
// as TokensTable defines it.
func NewDevelopers(api *sdk.Client, name string) *Developers {
	return &Developers{table: table{api, name}, places: map[[sha256.Size]byte]place{}}
}

// Ping returns why the store cannot be read; nil when it can.
func (s *Developers) Ping(ctx context.Context) error {
	return s.table.ping(ctx, teamKey(developer.DefaultTeam))
}

// Probe returns why the store cannot be written to; nil when it can.
func (s *Developers) Probe(ctx context.Context) error {
	return s.table.probe(ctx, item{"id": text("probe")})
}

// Close closes nothing: a table is not held open.
func (s *Developers) Close() error { return nil }

const (
	developerPrefix = "developer#"
	teamPrefix      = "team#"
)

func developerKey(id string) item { return item{"id": text(developerPrefix + id)} }

// stamp marks a version of an item: its number, and by a random text the write
// that made it, so that a write whose answer was lost is recognised.
type stamp struct {
	Version int64  `dynamodbav:"version"`
	Write   string `dynamodbav:"stamp"`
}

// next returns the stamp of a version after this one.
func (s stamp) next() stamp { return stamp{s.Version + 1, rand.Text()} }

// developerItem is a developer as the table holds one. Times are milliseconds
// since 1970 UTC, 0 meaning none.
type developerItem struct {
	Key string `dynamodbav:"id"`
	stamp
	Name    string `dynamodbav:"name"`
	Team    string `dynamodbav:"team"`
	Enabled bool   `dynamodbav:"enabled"`
	// DisabledBy says who disabled them, where it was no person.
	DisabledBy string `dynamodbav:"disabled_by,omitempty"`
	Created    int64  `dynamodbav:"created"`
	Updated    int64  `dynamodbav:"updated"`
	// Tokens are the developer's tokens by their public ids.
	Tokens map[string]tokenItem `dynamodbav:"tokens"`
	// Invitations are those of the developer by their ids.
	Invitations map[string]invitationItem `dynamodbav:"invitations,omitempty"`
}

func (d *developerItem) id() string { return strings.TrimPrefix(d.Key, developerPrefix) }

func (d *developerItem) developer() developer.Developer {
	return developer.Developer{
		ID: d.id(), Name: d.Name, Team: d.Team, Enabled: d.Enabled, DisabledBy: d.DisabledBy,
		Created: timeKept(d.Created), Updated: timeKept(d.Updated),
	}
}

// set takes over what a developer is. The invitations of one who is disabled are
// void.
func (d *developerItem) set(is developer.Developer) {
	d.Key, d.Name, d.Team, d.Enabled, d.DisabledBy = developerPrefix+is.ID, is.Name, is.Team, is.Enabled, is.DisabledBy
	d.Created, d.Updated = keptTime(is.Created), keptTime(is.Updated)
	if !is.Enabled {
		d.cancelInvitations(is.Updated)
	}
}

// load returns a developer's item.
func (s *Developers) load(ctx context.Context, id string) (d developerItem, err error) {
	found := false
	if len(id) <= longestName {
		found, err = s.table.get(ctx, developerKey(id), &d)
	}
	if err == nil && !found {
		err = fmt.Errorf("developer %s %w", id, developer.ErrNotFound)
	}
	return d, err
}

// longestName is how long a name can be that is looked for, in bytes. No key is
// longer, and DynamoDB would refuse to look for one that is.
const longestName = 1024

// errUnchanged is what an edit returns that has nothing to change.
var errUnchanged = errors.New("unchanged")

// tries is how often a change is tried when somebody else's comes between. Each
// time one of those at it succeeds.
const tries = 50

// change lets edit edit a developer's item and writes it, unless somebody has
// written it in between: then edit is called again with what it is now.
func (s *Developers) change(ctx context.Context, id string, edit func(*developerItem) error) (developerItem, error) {
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return developerItem{}, err
		}
		d, err := s.load(ctx, id)
		if err != nil {
			return d, err
		}
		before := d.stamp
		if err := edit(&d); errors.Is(err, errUnchanged) {
			return d, nil
		} else if err != nil {
			return d, err
		}
		d.stamp = before.next()
		written, err := s.table.put(ctx, d, "version = :version", item{":version": number(before.Version)})
		if err == nil && !written {
			written, err = s.isWritten(ctx, d)
		}
		if err != nil || written {
			return d, err
		}
	}
	return developerItem{}, errBusy(id)
}

func errBusy(id string) error {
	return fmt.Errorf("developer %s is being changed by others all the time: try again", id)
}

// isWritten tells whether the developer's item is this very version of it, which
// was refused: then an earlier attempt had written it, and its answer was lost.
func (s *Developers) isWritten(ctx context.Context, d developerItem) (bool, error) {
	now, err := s.load(ctx, d.id())
	if errors.Is(err, developer.ErrNotFound) {
		return false, nil
	}
	return now.Write == d.Write, err
}

// AddDeveloper implements developer.Store.
func (s *Developers) AddDeveloper(ctx context.Context, is developer.Developer, tokens ...developer.Credential) error {
	if err := is.Validate(); err != nil {
		return err
	}
	if _, err := s.load(ctx, is.ID); err == nil {
		return fmt.Errorf("developer %s %w", is.ID, developer.ErrExists)
	} else if !errors.Is(err, developer.ErrNotFound) {
		return err
	}
	d := developerItem{stamp: stamp{}.next(), Tokens: map[string]tokenItem{}}
	d.set(is)
	for _, token := range tokens {
		if _, twice := d.Tokens[token.ID]; twice || d.holds(token.Hash) {
			return fmt.Errorf("token %s %w", token.ID, developer.ErrExists)
		}
		d.Tokens[token.ID] = newTokenItem(token)
	}
	return s.addItem(ctx, d, tokens)
}

// addItem puts a new developer's item, for which the tokens in it are claimed.
func (s *Developers) addItem(ctx context.Context, d developerItem, tokens []developer.Credential) error {
	return s.claiming(ctx, place{d.id(), d.Team}, rand.Text(), tokenClaims(tokens...), func() error {
		if err := s.ensureTeam(ctx, d.Team); err != nil {
			return err
		}
		written, err := s.table.put(ctx, d, "attribute_not_exists(version)", nil)
		if err == nil && !written {
			if written, err = s.isWritten(ctx, d); err == nil && !written {
				err = fmt.Errorf("developer %s %w", d.id(), developer.ErrExists)
			}
		}
		return err
	})
}

// Developer implements developer.Store.
func (s *Developers) Developer(ctx context.Context, id string) (developer.Developer, error) {
	d, err := s.load(ctx, id)
	if err != nil {
		return developer.Developer{}, err
	}
	return d.developer(), nil
}

// Developers implements developer.Store.
func (s *Developers) Developers(ctx context.Context) ([]developer.Developer, error) {
	items, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	var all []developer.Developer
	for _, d := range items {
		all = append(all, d.developer())
	}
	return all, nil
}

// all returns the items of all developers, sorted by id.
func (s *Developers) all(ctx context.Context) (all []developerItem, err error) {
	err = s.table.scan(ctx, startingWith(developerPrefix), func(found item) error {
		var d developerItem
		err := s.table.decode(found, &d)
		all = append(all, d)
		return err
	})
	slices.SortFunc(all, func(a, b developerItem) int { return strings.Compare(a.Key, b.Key) })
	return all, err
}

// startingWith chooses the items whose key starts with a text.
func startingWith(prefix string) sdk.ScanInput {
	return sdk.ScanInput{
		FilterExpression:          aws.String("begins_with(id, :prefix)"),
		ExpressionAttributeValues: item{":prefix": text(prefix)},
	}
}

// UpdateDeveloper implements developer.Store.
func (s *Developers) UpdateDeveloper(ctx context.Context, id string, change func(*developer.Developer) error) (developer.Developer, error) {
	d, err := s.change(ctx, id, func(d *developerItem) error {
		before := d.developer()
		is := before
		if err := change(&is); err != nil {
			return err
		}
		is.ID, is.Created = before.ID, before.Created
		if err := is.Validate(); err != nil {
			return err
		}
		d.set(is)
		if is.Team == before.Team {
			return nil
		}
		return s.ensureTeam(ctx, is.Team)
	})
	if err != nil {
		return developer.Developer{}, err
	}
	return d.developer(), nil
}

// RemoveDeveloper implements developer.Store. The claims of the tokens go after
// the developer; one that stays behind leads to nobody and is taken over when
// somebody else needs it.
func (s *Developers) RemoveDeveloper(ctx context.Context, id string) error {
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		d, err := s.load(ctx, id)
		if err != nil {
			if try > 0 && errors.Is(err, developer.ErrNotFound) {
				return nil // this call's own attempt, or somebody else's: it is gone
			}
			return err
		}
		removed, err := s.table.remove(ctx, developerKey(id), "version = :version", item{":version": number(d.Version)})
		if err != nil {
			return err
		}
		if removed {
			s.abandon(ctx, d.id(), d.claims())
			return nil
		}
	}
	return errBusy(id)
}

// SetLastUsed implements developer.Store.
func (s *Developers) SetLastUsed(ctx context.Context, times map[string]time.Time) error {
	var used []claimItem
	for ids := range slices.Chunk(sorted(times), most) {
		var keys []item
		for _, id := range ids {
			keys = append(keys, tokenKey(id))
		}
		if err := s.table.getAll(ctx, keys, func(found item) error {
			var c claimItem
			err := s.table.decode(found, &c)
			used = append(used, c)
			return err
		}); err != nil {
			return err
		}
	}
	return together(ctx, used, func(ctx context.Context, c claimItem) error {
		id := strings.TrimPrefix(c.Key, tokenPrefix)
		return s.setLastUsed(ctx, c.Developer, id, times[id])
	})
}

// setLastUsed notes in a developer's item when a token was used, unless the token
// is gone or was used later.
func (s *Developers) setLastUsed(ctx context.Context, id, token string, at time.Time) error {
	_, err := s.table.api.UpdateItem(ctx, &sdk.UpdateItemInput{
		TableName: &s.table.name, Key: developerKey(id),
		// The version tells whoever has read the item that it has changed.
		UpdateExpression:         aws.String("SET tokens.#id.last_used = :at, version = version + :one"),
		ConditionExpression:      aws.String("attribute_exists(tokens.#id) AND tokens.#id.last_used < :at"),
		ExpressionAttributeNames: map[string]string{"#id": token},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":at": number(keptTime(at)), ":one": number(1),
		},
	})
	_, err = s.table.held("write to", err)
	return err
}
