package dynamodb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
)

// invitationItem is an invitation within its developer's item, so that using it up
// and keeping the token that is issued for it are one write.
type invitationItem struct {
	Hash      []byte `dynamodbav:"hash"`
	Created   int64  `dynamodbav:"created"`
	Expires   int64  `dynamodbav:"expires"`
	Cancelled int64  `dynamodbav:"cancelled"`
	Used      int64  `dynamodbav:"used"`
	Token     string `dynamodbav:"token"`
}

const invitationPrefix = "invitation#"

func invitationKey(hash []byte) string { return invitationPrefix + hex.EncodeToString(hash) }

// claimKept is how long the claim of an invitation stays after it expired.
const claimKept = 30 * 24 * time.Hour

// keptInvitations is how many of a developer's invitations stay on the list: of
// those that have ended the oldest go, as an item has its bounds.
const keptInvitations = 50

// isOpen tells whether the invitation can be redeemed at a time.
func (i invitationItem) isOpen(at int64) bool {
	return i.Used == 0 && i.Cancelled == 0 && at < i.Expires
}

// invitation returns one of the developer's invitations.
func (d *developerItem) invitation(id string) invite.Invitation {
	i := d.Invitations[id]
	return invite.Invitation{
		ID: id, Developer: d.id(), Created: timeKept(i.Created), Expires: timeKept(i.Expires),
		Cancelled: timeKept(i.Cancelled), Used: timeKept(i.Used), Token: i.Token,
	}
}

// findInvitation returns the id of the developer's invitation with this hash.
func (d *developerItem) findInvitation(hash [sha256.Size]byte) (id string, found bool) {
	for id, i := range d.Invitations {
		if bytes.Equal(i.Hash, hash[:]) {
			return id, true
		}
	}
	return "", false
}

// cancelInvitations makes the developer's open invitations void.
func (d *developerItem) cancelInvitations(at time.Time) (cancelled int64) {
	for id, i := range d.Invitations {
		if i.isOpen(keptTime(at)) {
			i.Cancelled = keptTime(at)
			d.Invitations[id] = i
			cancelled++
		}
	}
	return cancelled
}

// AddInvitation keeps a new invitation. The developer's open ones are cancelled,
// unless keep says to leave them; their number is returned.
// developer.ErrNotFound: there is no such developer. invite.ErrNotOpen: the
// developer is disabled.
func (s *Developers) AddInvitation(ctx context.Context, i invite.Sealed, keep bool) (cancelled int64, err error) {
	d, err := s.load(ctx, i.Developer)
	if err != nil {
		return 0, err
	}
	if !d.Enabled {
		return 0, disabledError(d)
	}
	claim := wanted{key: invitationKey(i.Hash[:]), of: "invitation " + i.ID, expires: i.Expires.Add(claimKept)}
	var gone []string
	err = s.claiming(ctx, place{d.id(), d.Team}, rand.Text(), []wanted{claim}, func() error {
		_, err := s.change(ctx, d.id(), func(d *developerItem) (err error) {
			cancelled, gone, err = d.invite(i, keep)
			return err
		})
		return err
	})
	if err != nil {
		return 0, err
	}
	s.abandon(ctx, d.id(), gone)
	return cancelled, nil
}

// invite adds an invitation to the developer's, and returns how many others it
// cancels, and the claims of those that are kept no more.
func (d *developerItem) invite(i invite.Sealed, keep bool) (cancelled int64, gone []string, err error) {
	if !d.Enabled {
		return 0, nil, disabledError(*d)
	}
	if _, exists := d.Invitations[i.ID]; exists {
		return 0, nil, fmt.Errorf("invitation %s %w", i.ID, developer.ErrExists)
	}
	if !keep {
		cancelled = d.cancelInvitations(i.Created)
	}
	gone = d.forgetInvitations(keptTime(i.Created))
	if d.Invitations == nil {
		d.Invitations = map[string]invitationItem{}
	}
	d.Invitations[i.ID] = invitationItem{Hash: i.Hash[:], Created: keptTime(i.Created), Expires: keptTime(i.Expires)}
	return cancelled, gone, nil
}

func disabledError(d developerItem) error {
	return fmt.Errorf("developer %s is disabled: %w", d.id(), invite.ErrNotOpen)
}

// forgetInvitations removes the oldest invitations that have ended, so that no more
// than keptInvitations stay, and returns the keys of their claims.
func (d *developerItem) forgetInvitations(at int64) (gone []string) {
	for _, id := range sorted(d.Invitations) { // ids sort by time
		if i := d.Invitations[id]; len(d.Invitations) >= keptInvitations && !i.isOpen(at) {
			gone = append(gone, invitationKey(i.Hash))
			delete(d.Invitations, id)
		}
	}
	return gone
}

// Invitations returns all invitations, those that ended too, from old to new.
func (s *Developers) Invitations(ctx context.Context) (all []invite.Invitation, err error) {
	items, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range items {
		for id := range d.Invitations {
			all = append(all, d.invitation(id))
		}
	}
	slices.SortFunc(all, func(a, b invite.Invitation) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// CancelInvitation makes an invitation void and returns it. Cancelling again
// changes nothing, nor does cancelling one that was used. The error is
// developer.ErrNotFound when there is none with this id.
func (s *Developers) CancelInvitation(ctx context.Context, id string, at time.Time) (i invite.Invitation, err error) {
	missing := fmt.Errorf("invitation %s %w", id, developer.ErrNotFound)
	items, err := s.all(ctx)
	if err != nil {
		return i, err
	}
	index := slices.IndexFunc(items, func(d developerItem) bool { _, has := d.Invitations[id]; return has })
	if index < 0 {
		return i, missing
	}
	d, err := s.change(ctx, items[index].id(), func(d *developerItem) error {
		i, found := d.Invitations[id]
		if !found {
			return missing
		}
		if !i.isOpen(keptTime(at)) {
			return errUnchanged
		}
		i.Cancelled = keptTime(at)
		d.Invitations[id] = i
		return nil
	})
	if err != nil {
		return i, err
	}
	return d.invitation(id), nil
}

// invited returns the item of the developer to whom an invitation's code leads, and
// the invitation's id; invite.ErrNotOpen where it leads nowhere.
func (s *Developers) invited(ctx context.Context, hash [sha256.Size]byte) (d developerItem, id string, err error) {
	var leads claimItem
	found, err := s.table.get(ctx, item{"id": text(invitationKey(hash[:]))}, &leads)
	if err != nil {
		return d, "", err
	}
	if found {
		d, err = s.load(ctx, leads.Developer)
		if err != nil && !isNotFound(err) {
			return d, "", err
		}
		id, found = d.findInvitation(hash)
	}
	if !found {
		return d, "", invite.ErrNotOpen
	}
	return d, id, nil
}

// Offer implements invite.Store.
func (s *Developers) Offer(ctx context.Context, hash [sha256.Size]byte) (invite.Offer, error) {
	d, id, err := s.invited(ctx, hash)
	if err != nil {
		return invite.Offer{}, err
	}
	team, err := s.loadTeam(ctx, d.Team)
	if err != nil {
		return invite.Offer{}, err
	}
	return invite.Offer{Invitation: d.invitation(id), Holder: d.developer(), Contact: team.Policy.Contact}, nil
}

// Redeem implements invite.Store.
func (s *Developers) Redeem(ctx context.Context, hash [sha256.Size]byte, token developer.Credential) error {
	d, id, err := s.invited(ctx, hash)
	if err != nil {
		return err
	}
	redeem := func(d *developerItem) error {
		i, found := d.Invitations[id]
		if !found || d.id() != token.Developer || !i.isOpen(keptTime(token.Created)) {
			return invite.ErrNotOpen
		}
		if err := d.add(token); err != nil {
			return err
		}
		i.Used, i.Token = keptTime(token.Created), token.ID
		d.Invitations[id] = i
		return nil
	}
	if err := redeem(&d); err != nil { // before anything is claimed
		return err
	}
	return s.claiming(ctx, place{d.id(), d.Team}, rand.Text(), tokenClaims(token), func() error {
		_, err := s.change(ctx, d.id(), redeem)
		return err
	})
}
