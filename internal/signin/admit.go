package signin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/refusal"
)

// Store is what signing in needs of where developers are kept; the methods that
// developer.Store has too mean the same here.
type Store interface {
	Developer(ctx context.Context, id string) (developer.Developer, error)
	AddDeveloper(ctx context.Context, d developer.Developer, tokens ...developer.Credential) error
	UpdateDeveloper(ctx context.Context, id string, change func(*developer.Developer) error) (developer.Developer, error)
	developer.Tidier
}

// granted is what a sign-in gives.
type granted struct {
	token     developer.Token
	info      developer.TokenInfo
	developer developer.Developer
	isNew     bool
}

// desk lets people in.
type desk struct {
	config Config
	store  Store
	now    func() time.Time
}

// admit gives a person a token. The error is a *refusal.Refusal when they may not
// have one, and anything else when the store cannot answer.
func (d *desk) admit(ctx context.Context, p person) (granted, error) {
	id, err := d.identify(p)
	if err != nil {
		return granted{}, err
	}
	team := d.config.team(p.Groups)
	switch {
	case team == "" && len(d.config.Teams) > 0 && p.AreGroupsElsewhere:
		return granted{}, forbidden("sign_in_group", fmt.Sprintf("%s is in so many groups that the issuer leaves them out of the ID token. Whoever runs the proxy can let the issuer send only the groups that are assigned to this application.", id))
	case team == "" && d.config.RequireGroup:
		return granted{}, forbidden("sign_in_group", fmt.Sprintf("%s is in none of the groups that may use Codex. Ask whoever runs the proxy which group to join, then sign in again.", id))
	case team == "" && len(d.config.Teams) > 0:
		team = d.config.DefaultTeam
	}
	now := d.now()
	made := p.Issued
	if made.After(now) { // by another clock
		made = now
	}
	expires := made.Add(d.config.TokenLife)
	if !expires.After(now) {
		return granted{}, refusal.Token("sign_in_token", fmt.Sprintf("the ID token was made at %s, and what it gives would have ended %s later. Run 'codex-proxy login'.", made.UTC().Format(time.RFC3339), d.config.TokenLife))
	}
	token, credential, err := developer.IssueOnce(rand.Reader, p.Proof, id, Label, now, expires)
	if err != nil {
		return granted{}, err
	}
	out := granted{token: token, info: credential.TokenInfo}
	out.developer, err = d.keep(ctx, id, team, now)
	if errors.Is(err, developer.ErrNotFound) {
		out.developer, out.isNew = d.newcomer(id, p.Name, team, now), true
		err = d.store.AddDeveloper(ctx, out.developer, credential)
		if !errors.Is(err, developer.ErrExists) {
			return out, err
		}
		// Someone was quicker: another sign-in, or an administrator.
		out.isNew = false
		if out.developer, err = d.keep(ctx, id, team, now); errors.Is(err, developer.ErrNotFound) {
			return granted{}, errUsed // the other is under way, with this very ID token
		}
	}
	if err != nil {
		return granted{}, err
	}
	if err = d.store.AddTokenAndTidy(ctx, credential, tidy(now)); errors.Is(err, developer.ErrExists) {
		return granted{}, errUsed
	}
	return out, err
}

// errUsed refuses a second token for one ID token.
var errUsed = refusal.Token("sign_in_used", "this ID token was used already, and one ID token gives one token. Get another from the issuer: run 'codex-proxy login'.")

const (
	// expiredKept is how long a token that ended is kept, so that whoever still uses
	// it reads that it has expired and not that it is unknown.
	expiredKept = 24 * time.Hour
	// maxLive is how many tokens of sign-ins a developer has at once, on all of their
	// machines; a further one ends the oldest.
	maxLive = 20
	// maxKept is how many are kept with those that ended, as all of a developer's
	// tokens are read with each request.
	maxKept = 200
)

// tidy makes room for one more token of a sign-in: those that ended long ago go, and
// the oldest of too many. Tokens that came otherwise stay as they are.
func tidy(now time.Time) developer.Tidy {
	return func(tokens []developer.TokenInfo) (ended, deleted []string) {
		live, over := []string{}, []string{} // from old to new
		for _, t := range tokens {
			switch state := t.State(now); {
			case t.Label != Label:
			case state == "active" || state == "rotated":
				live = append(live, t.ID)
			case !t.Expires.IsZero() && t.Expires.Before(now.Add(-expiredKept)):
				deleted = append(deleted, t.ID)
			default:
				over = append(over, t.ID)
			}
		}
		if more := len(live) - (maxLive - 1); more > 0 {
			ended, live = live[:more], live[more:]
		}
		if more := len(over) + len(ended) + len(live) - (maxKept - 1); more > 0 {
			deleted = append(deleted, over[:min(more, len(over))]...)
			if rest := more - len(over); rest > 0 {
				deleted, ended = append(deleted, ended[:rest]...), ended[rest:]
			}
		}
		return ended, deleted
	}
}

// identify returns the id of the developer whom the person is.
func (d *desk) identify(p person) (string, error) {
	name, domain, ok := strings.Cut(p.Email, "@")
	id, err := developer.ParseID(p.Email)
	switch {
	case p.Email == "":
		return "", forbidden("sign_in_email", "the ID token has no e-mail address. Whoever runs the proxy can let the issuer put the claim email into it.")
	case !ok || name == "" || strings.Contains(domain, "@") || err != nil:
		return "", forbidden("sign_in_email", fmt.Sprintf("%q is no e-mail address that can name a developer. Ask whoever runs the proxy for a token.", printable(p.Email)))
	case p.IsUnverified:
		return "", forbidden("sign_in_email", fmt.Sprintf("the issuer has not verified the e-mail address %s. Verify it there, then sign in again.", id))
	case !d.config.allows(domain):
		return "", forbidden("sign_in_domain", fmt.Sprintf("addresses at %s may not sign in here. Sign in with your organisation's account, or ask whoever runs the proxy.", strings.ToLower(domain)))
	}
	return id, nil
}

// keep returns a developer who is here already, moved to the team that their
// groups lead to; no team leaves them where they are.
func (d *desk) keep(ctx context.Context, id, team string, now time.Time) (developer.Developer, error) {
	found, err := d.store.Developer(ctx, id)
	if err == nil && team != "" && found.Team != team && found.Enabled {
		found, err = d.store.UpdateDeveloper(ctx, id, func(change *developer.Developer) error {
			change.Team, change.Updated = team, now
			return nil
		})
	}
	if err == nil && !found.Enabled {
		return found, forbidden("sign_in_disabled", fmt.Sprintf("access for %s is disabled here, and signing in does not change that. Ask whoever runs the proxy to enable it.", id))
	}
	return found, err
}

// newcomer is a developer at their first sign-in. A name that cannot be kept is
// left out; the id and the team are checked already.
func (d *desk) newcomer(id, name, team string, now time.Time) developer.Developer {
	if team == "" {
		team = d.config.DefaultTeam
	}
	added, err := developer.New(id, name, team, now)
	if err != nil {
		added, _ = developer.New(id, "", team, now)
	}
	return added
}

func forbidden(reason, message string) *refusal.Refusal {
	return &refusal.Refusal{Reason: reason, Status: http.StatusForbidden, Message: message}
}

// printable is text from elsewhere in one short line.
func printable(text string) string {
	const limit = 100
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "?")
}
