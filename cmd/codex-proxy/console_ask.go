package main

import (
	"errors"
	"fmt"
	"slices"

	web "codex-proxy/internal/console"
	webaccess "codex-proxy/internal/console/access"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

// consoleAskCommand puts on record why somebody wants to read.
type consoleAskCommand struct {
	Developer string `arg:"" help:"Whose words are to be read."`
	Reason    string `help:"Why, in 10 to 500 characters; the developer can read it." required:"" env:"-"`
	By        string `help:"Who wants to read: the name of somebody who signs in to the console, or of a credential for its API." required:"" env:"-"`
	jsonFlag
}

// Help is the long form of the command's help.
func (*consoleAskCommand) Help() string {
	return "Does what the console does when somebody opens a session or a record of another one: NAME may then read what the developer wrote and was answered, for as long as [console] reading_life says, or once a second person agrees ('codex-proxy console approve') where second_person asks for one."
}

func (cmd *consoleAskCommand) Run(c *console) error {
	settings, err := c.settings.consoleConfig()
	if err != nil {
		return err
	}
	return withRegister(c, change, func(store register) error {
		reader, err := consoleViewer(c, store, cmd.By)
		if err != nil {
			return err
		}
		id := folded(cmd.Developer)
		if err := checkSomebody(c, store, id); err != nil {
			return err
		}
		r, err := web.AskToRead(c.ctx, store, reader, id, cmd.Reason, now(), settings.Settings)
		if err != nil {
			return err
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, newReadingRow(r))
		}
		said := fmt.Sprintf("until %s, and %[2]s can see that and why", moment(r.Until), r.Developer)
		if r.State == web.Asked {
			said = fmt.Sprintf("once another person agrees: 'codex-proxy console approve %s --by NAME'", r.ID)
		}
		_, err = fmt.Fprintf(c.stdout, "%s: %s may read what %s wrote %s.\n", r.State, terminal.Safe(r.Reader), terminal.Safe(r.Developer), terminal.Safe(said))
		return err
	})
}

// consoleViewer returns who has a name, as the console sees them.
func consoleViewer(c *console, store web.Store, name string) (webaccess.Viewer, error) {
	all, err := web.People{Store: store, Now: now}.All(c.ctx)
	if err != nil {
		return webaccess.Viewer{}, err
	}
	i := slices.IndexFunc(all, func(p web.Person) bool { return p.Name == name })
	if i < 0 {
		return webaccess.Viewer{}, explainPeople(web.ErrUnknown, name)
	}
	if p := all[i]; !p.Expires.IsZero() && !now().Before(p.Expires) {
		return webaccess.Viewer{}, fmt.Errorf("the credential of %s has expired since %s", terminal.Safe(p.Name), moment(p.Expires))
	}
	return webaccess.Viewer{Name: all[i].Name, Role: all[i].Role}, nil
}

// checkSomebody returns an error unless the developer is there, or was when
// something was recorded.
func checkSomebody(c *console, store developer.Store, id string) error {
	_, missing := store.Developer(c.ctx, id)
	if !errors.Is(missing, developer.ErrNotFound) {
		return missing
	}
	books, err := c.settings.openLedger(c.ctx, look)
	if err != nil {
		return err
	}
	defer books.Close() // only read
	found, err := books.Exchanges(c.ctx, ledger.ExchangeQuery{Developer: id, Limit: 1})
	if err != nil || len(found) > 0 {
		return err
	}
	return explainMissing(missing, id)
}
