package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/onboard/script"
	"codex-proxy/internal/terminal"
)

type developerInviteCommand struct {
	ID      string  `arg:"" help:"The developer's id."`
	Expires expiry  `help:"When the link stops working: after hours (24h) or days (7d), 30 at most, or at the start of a date (UTC)." default:"24h" env:"-" placeholder:"24h|DATE"`
	Team    *string `help:"Add the developer, if missing, to this team. A team that does not exist yet is made, without limits." env:"-"`
	Name    *string `help:"Add the developer, if missing, by this name." env:"-"`
	Keep    bool    `help:"Let earlier invitations of the developer stay open; otherwise they are cancelled." env:"-"`
	codexAddress
	jsonFlag
}

// Help is the long form of the command's help.
func (*developerInviteCommand) Help() string {
	return `Prints a link that shows the developer a token of their own, once, and how to set Codex up with it. Send the link; the token itself then goes through no mail or chat. Looking at the link uses nothing up, the button on its page does.`
}

func (cmd *developerInviteCommand) Run(c *console) error {
	address, err := script.ParseURL(cmd.PublicURL)
	if err != nil {
		return misuse("%v", err)
	}
	at := now()
	id, err := developer.ParseID(cmd.ID)
	if err != nil {
		return misuse("%v", err)
	}
	code, sealed, err := invite.New(rand.Reader, id, at, cmd.Expires.after(at))
	if err != nil {
		return misuse("%v", err)
	}
	return withRegister(c, change, func(store register) error {
		added, err := cmd.ensureDeveloper(c, store, id, at)
		if err != nil {
			return err
		}
		cancelled, err := store.AddInvitation(c.ctx, sealed, cmd.Keep)
		if errors.Is(err, invite.ErrNotOpen) {
			return fmt.Errorf("%[1]s is disabled, and could not use an invitation: 'codex-proxy developer enable %[1]s' lets them back in", id)
		}
		if err != nil {
			return explainMissing(err, id)
		}
		link := invite.Link(address, code)
		noteLoopback(c, address)
		if cmd.JSON {
			return printSafeJSON(c.stdout, struct {
				ID        string    `json:"id"`
				Developer string    `json:"developer"`
				URL       string    `json:"url"`
				Expires   time.Time `json:"expires"`
				Added     bool      `json:"added"`
				Cancelled int64     `json:"cancelled"`
			}{sealed.ID, id, link, sealed.Expires, added, cancelled})
		}
		var notes strings.Builder
		if added {
			fmt.Fprintf(&notes, "Added %s.\n", id)
		}
		if cancelled > 0 {
			fmt.Fprintf(&notes, "Earlier invitations of %s that were still open are cancelled: %d.\n", id, cancelled)
		}
		_, err = fmt.Fprintf(c.stdout, `%sSend this link to %s. It works once, until %s, and is shown this once:

  %s

To cancel it: codex-proxy developer uninvite %s
`, notes.String(), id, moment(sealed.Expires), link, sealed.ID)
		return err
	})
}

// ensureDeveloper adds the developer where one is missing and the flags say who it
// is. A flag that disagrees with a developer who exists is misuse, as inviting
// changes nobody.
func (cmd *developerInviteCommand) ensureDeveloper(c *console, store register, id string, at time.Time) (added bool, err error) {
	d, err := store.Developer(c.ctx, id)
	switch {
	case err == nil && (cmd.Team != nil && *cmd.Team != d.Team || cmd.Name != nil && *cmd.Name != d.Name):
		return false, misuse("%[1]s exists already, with the name %[2]q and the team %[3]q: 'codex-proxy developer set %[1]s' changes them", id, d.Name, d.Team)
	case err == nil:
		return false, nil
	case !errors.Is(err, developer.ErrNotFound):
		return false, err
	case cmd.Team == nil && cmd.Name == nil:
		return false, fmt.Errorf("there is no developer %[1]s: 'codex-proxy developer invite %[1]s --team TEAM' adds and invites them, 'codex-proxy developer list' shows all", id)
	}
	var name, team string
	if cmd.Name != nil {
		name = *cmd.Name
	}
	if cmd.Team != nil {
		team = *cmd.Team
	}
	if d, err = developer.New(id, name, team, at); err != nil {
		return false, misuse("%v", err)
	}
	known, err := store.Teams(c.ctx)
	if err != nil {
		return false, err
	}
	if err := store.AddDeveloper(c.ctx, d); err != nil {
		return false, err
	}
	noteNewTeam(c, known, d.Team)
	return true, nil
}

// noteLoopback tells of a link that can be opened on this machine alone.
func noteLoopback(c *console, address string) {
	u, err := url.Parse(address)
	if err != nil {
		return
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
		fmt.Fprintf(c.stderr, "codex-proxy: the link begins with %s, which works on this machine alone: --url (or CODEX_PROXY_PUBLIC_URL) names the address that developers use\n", address)
	}
}

type developerInvitationsCommand struct {
	All bool `help:"Also those that were used or cancelled, or have expired." env:"-"`
	jsonFlag
}

func (cmd *developerInvitationsCommand) Run(c *console) error {
	return withRegister(c, look, func(store register) error {
		all, err := store.Invitations(c.ctx)
		if err != nil {
			return err
		}
		at := now()
		if !cmd.All {
			all = slices.DeleteFunc(all, func(i invite.Invitation) bool { return i.State(at) != "open" })
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, rows(all, invitationRows(at)))
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(c.stdout, "There are no open invitations: 'codex-proxy developer invite' makes one, --all shows those that ended.")
			return err
		}
		return printTable(c.stdout, []string{"ID", "DEVELOPER", "STATE", "CREATED", "EXPIRES", "USED", "TOKEN"},
			rows(all, func(i invite.Invitation) []string {
				return []string{i.ID, i.Developer, i.State(at), moment(i.Created), moment(i.Expires), moment(i.Used), i.Token}
			}))
	})
}

type developerUninviteCommand struct {
	ID string `arg:"" help:"The invitation's id, as 'codex-proxy developer invitations' shows it."`
}

func (cmd *developerUninviteCommand) Run(c *console) error {
	return withRegister(c, change, func(store register) error {
		at := now()
		i, err := store.CancelInvitation(c.ctx, cmd.ID, at)
		if errors.Is(err, developer.ErrNotFound) {
			return fmt.Errorf("there is no invitation %s: 'codex-proxy developer invitations' shows their ids", terminal.Safe(cmd.ID))
		}
		if err != nil {
			return err
		}
		switch i.State(at) {
		case "used":
			return fmt.Errorf("the invitation of %s was used on %s, for the token %[3]s: 'codex-proxy token revoke %[3]s' ends that", i.Developer, moment(i.Used), i.Token)
		case "expired":
			_, err = fmt.Fprintf(c.stdout, "The invitation of %s expired on %s: nothing to cancel.\n", i.Developer, moment(i.Expires))
		default:
			_, err = fmt.Fprintf(c.stdout, "The invitation of %s is cancelled since %s.\n", i.Developer, moment(i.Cancelled))
		}
		return err
	})
}

// invitationRow is an invitation in JSON.
type invitationRow struct {
	ID        string    `json:"id"`
	Developer string    `json:"developer"`
	State     string    `json:"state"`
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires"`
	Cancelled time.Time `json:"cancelled,omitzero"`
	Used      time.Time `json:"used,omitzero"`
	TokenID   string    `json:"token_id,omitempty"`
}

func invitationRows(at time.Time) func(invite.Invitation) invitationRow {
	return func(i invite.Invitation) invitationRow {
		return invitationRow{i.ID, i.Developer, i.State(at), i.Created, i.Expires, i.Cancelled, i.Used, i.Token}
	}
}
