package main

import (
	"errors"
	"fmt"
	"time"

	web "codex-proxy/internal/console"
	webaccess "codex-proxy/internal/console/access"
	"codex-proxy/internal/terminal"
)

// consoleCommand is who may use the console, and who has read what.
type consoleCommand struct {
	User       consoleUserCommand       `cmd:"" help:"Add, list and remove those who sign in to the console by name."`
	Token      consoleTokenCommand      `cmd:"" help:"Add, list and revoke credentials for the API."`
	ResetAdmin consoleResetAdminCommand `cmd:"" help:"Make a new credential for the administrator, and end their sessions."`
	AccessLog  consoleAccessLogCommand  `cmd:"" help:"List who has read what developers wrote, and why."`
	Ask        consoleAskCommand        `cmd:"" help:"Put on record that somebody wants to read what a developer wrote, and why."`
	Approve    consoleDecideCommand     `cmd:"" help:"Agree, as a second person, that somebody reads what a developer wrote."`
	Decline    consoleDeclineCommand    `cmd:"" help:"Say no, as a second person, to somebody who wants to read what a developer wrote."`
}

// withPeople runs a command's work on those who may sign in.
func withPeople(c *console, to storeAccess, work func(web.People) error) error {
	return withRegister(c, to, func(store register) error { return work(web.People{Store: store, Now: now}) })
}

// explainPeople says what to do about an error.
func explainPeople(err error, name string) error {
	switch {
	case errors.Is(err, web.ErrUnknown):
		return fmt.Errorf("there is no %s: 'codex-proxy console user list' and 'console token list' show all", terminal.Safe(name))
	case errors.Is(err, web.ErrVouched):
		return fmt.Errorf("%s signs in with the organisation's account, and has no credential here: 'codex-proxy console user remove' ends their sessions", terminal.Safe(name))
	case errors.Is(err, web.ErrEnded):
		return fmt.Errorf("what %s was given has ended, and a new credential would have ended with it: 'codex-proxy console user remove', then 'console user add'", terminal.Safe(name))
	case errors.Is(err, web.ErrExists):
		return fmt.Errorf("%s is there already: remove it first, or choose another name", terminal.Safe(name))
	}
	return err
}

type consoleUserCommand struct {
	Add    consoleUserAddCommand    `cmd:"" help:"Add somebody and print their credential, once."`
	List   consoleUserListCommand   `cmd:"" help:"List those who sign in by name."`
	Reset  consoleUserResetCommand  `cmd:"" help:"Give somebody a new credential, and end their sessions."`
	Remove consoleUserRemoveCommand `cmd:"" help:"Remove somebody, whose sessions end."`
}

type consoleTokenCommand struct {
	Add    consoleTokenAddCommand   `cmd:"" help:"Make a credential for the API and print it, once."`
	List   consoleTokenListCommand  `cmd:"" help:"List the credentials for the API: their names and roles, never the credentials."`
	Revoke consoleUserRemoveCommand `cmd:"" help:"Refuse a credential from now on."`
}

// consoleEntry is who is added, and as what.
type consoleEntry struct {
	Name    string `arg:"" help:"Who or what it is for, such as an e-mail address."`
	Role    string `help:"What they may do: admin, auditor (reads content, for a reason), finance (numbers only)." enum:"admin,auditor,finance" required:"" env:"-"`
	Expires expiry `help:"When it ends by itself, such as 90d or 2027-01-31." placeholder:"WHEN" env:"-"`
	jsonFlag
}

type (
	consoleUserAddCommand  struct{ consoleEntry }
	consoleTokenAddCommand struct{ consoleEntry }
)

func (cmd *consoleUserAddCommand) Run(c *console) error { return cmd.add(c, false) }

func (cmd *consoleTokenAddCommand) Run(c *console) error { return cmd.add(c, true) }

func (e *consoleEntry) add(c *console, api bool) error {
	return withPeople(c, change, func(people web.People) error {
		credential, err := people.Add(c.ctx, e.Name, webaccess.Role(e.Role), api, e.Expires.after(now()))
		if err != nil {
			return explainPeople(err, e.Name)
		}
		return printCredential(c, e.JSON, e.Name, e.Role, credential)
	})
}

func printCredential(c *console, json bool, name, role string, credential web.Credential) error {
	if json {
		return printSafeJSON(c.stdout, map[string]string{"name": name, "role": role, "credential": credential.Reveal()})
	}
	_, err := fmt.Fprintf(c.stdout, "The credential of %s (%s) is shown this once:\n\n  %s\n", terminal.Safe(name), role, credential.Reveal())
	return err
}

type (
	consoleUserListCommand  struct{ jsonFlag }
	consoleTokenListCommand struct{ jsonFlag }
)

// consoleRow is somebody in a list.
type consoleRow struct {
	Name    string     `json:"name"`
	Role    string     `json:"role"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
}

func (cmd *consoleUserListCommand) Run(c *console) error { return listPeople(c, cmd.JSON, false) }

func (cmd *consoleTokenListCommand) Run(c *console) error { return listPeople(c, cmd.JSON, true) }

func listPeople(c *console, json, api bool) error {
	return withPeople(c, look, func(people web.People) error {
		all, err := people.All(c.ctx)
		if err != nil {
			return err
		}
		list := []consoleRow{}
		for _, person := range all {
			if person.API != api {
				continue
			}
			row := consoleRow{Name: person.Name, Role: string(person.Role), Created: person.Created}
			if !person.Expires.IsZero() {
				row.Expires = &person.Expires
			}
			list = append(list, row)
		}
		if json {
			return printSafeJSON(c.stdout, list)
		}
		return printTable(c.stdout, []string{"NAME", "ROLE", "CREATED", "EXPIRES"}, rows(list, func(r consoleRow) []string {
			expires := ""
			if r.Expires != nil {
				expires = moment(*r.Expires)
			}
			return []string{r.Name, r.Role, moment(r.Created), expires}
		}))
	})
}

type consoleUserResetCommand struct {
	Name string `arg:"" help:"Who it is for."`
	jsonFlag
}

func (cmd *consoleUserResetCommand) Run(c *console) error { return resetPerson(c, cmd.JSON, cmd.Name) }

type consoleResetAdminCommand struct{ jsonFlag }

func (cmd *consoleResetAdminCommand) Run(c *console) error {
	return resetPerson(c, cmd.JSON, web.Administrator)
}

func resetPerson(c *console, json bool, name string) error {
	return withPeople(c, change, func(people web.People) error {
		credential, err := people.Reset(c.ctx, name)
		if err != nil {
			return explainPeople(err, name)
		}
		return printCredential(c, json, name, "a new one", credential)
	})
}

type consoleUserRemoveCommand struct {
	Name string `arg:"" help:"Whose it is."`
}

func (cmd *consoleUserRemoveCommand) Run(c *console) error {
	return withPeople(c, change, func(people web.People) error {
		if err := people.Remove(c.ctx, cmd.Name); err != nil {
			return explainPeople(err, cmd.Name)
		}
		_, err := fmt.Fprintf(c.stdout, "%s is removed.\n", terminal.Safe(cmd.Name))
		return err
	})
}

type consoleAccessLogCommand struct {
	Developer string `help:"Only about this developer." env:"-"`
	Days      int    `help:"How many days back." default:"90" env:"-"`
	jsonFlag
}

// readingRow is a reading in JSON.
type readingRow struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	Reader    string    `json:"reader"`
	Role      string    `json:"role"`
	Developer string    `json:"developer"`
	Reason    string    `json:"reason"`
	State     string    `json:"state"`
	Until     time.Time `json:"until,omitzero"`
	DecidedBy string    `json:"decided_by,omitempty"`
}

func newReadingRow(r web.Reading) readingRow {
	return readingRow{r.ID, r.At, r.Reader, r.Role, r.Developer, r.Reason, string(r.State), r.Until, r.DecidedBy}
}

func (cmd *consoleAccessLogCommand) Run(c *console) error {
	return withRegister(c, look, func(store register) error {
		readings, err := store.Readings(c.ctx, cmd.Developer, now().AddDate(0, 0, -cmd.Days))
		if err != nil {
			return err
		}
		list := rows(readings, newReadingRow)
		if cmd.JSON {
			return printSafeJSON(c.stdout, list)
		}
		return printTable(c.stdout, []string{"ID", "WHEN", "WHO", "WHOSE", "STATE", "WHY"}, rows(list, func(r readingRow) []string {
			return []string{r.ID, moment(r.At), r.Reader, r.Developer, r.State, r.Reason}
		}))
	})
}

// consoleDecideCommand is a second person's word.
type consoleDecideCommand struct {
	ID string `arg:"" help:"What is decided, as 'console access-log' shows it."`
	By string `help:"Who decides: the name of the second person." required:"" env:"-"`
}

type consoleDeclineCommand struct{ consoleDecideCommand }

func (cmd *consoleDecideCommand) Run(c *console) error { return cmd.decide(c, true) }

// Run says no.
func (cmd *consoleDeclineCommand) Run(c *console) error { return cmd.decide(c, false) }

func (cmd *consoleDecideCommand) decide(c *console, yes bool) error {
	settings, err := c.settings.consoleConfig()
	if err != nil {
		return err
	}
	return withRegister(c, change, func(store register) error {
		by, err := consoleViewer(c, store, cmd.By)
		if err != nil {
			return err
		}
		if by.Role != webaccess.Admin && by.Role != webaccess.Auditor {
			return fmt.Errorf("the role %s does not decide who reads what others wrote: ask an admin or an auditor", by.Role)
		}
		r, err := web.Decide(c.ctx, store, cmd.ID, by.Name, yes, now(), settings.ReadingLife)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.stdout, "%s: %s may %sread what %s wrote.\n", terminal.Safe(string(r.State)), terminal.Safe(r.Reader), map[bool]string{true: "", false: "not "}[yes], terminal.Safe(r.Developer))
		return err
	})
}
