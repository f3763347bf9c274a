package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// migrateCommand moves an installation's tables to this program's version.
type migrateCommand struct{}

// Help is the long form of the command's help.
func (*migrateCommand) Help() string {
	return "'codex-proxy serve' does the same when it starts. Other commands never do: they say so when the databases in --data are of another version. " +
		"Nothing is changed while another process has a database open, such as a server of the older version; an older version cannot use it afterwards, so keep a copy of --data until all is well."
}

// Run brings developers.db and ledger.db up to date.
func (*migrateCommand) Run(c *console) error {
	s := c.settings
	if s.usesTables() {
		return misuse("the tables of DynamoDB need no migration")
	}
	if err := s.checkInstallation(c.ctx, s.developersFile(), look); err != nil {
		return err
	}
	developers, err := s.openDevelopers(c.ctx, own)
	if err != nil {
		return err
	}
	if err := developers.Close(); err != nil {
		return err
	}
	if _, err := os.Stat(s.ledgerFile()); !errors.Is(err, fs.ErrNotExist) {
		ledger, err := s.openLedger(c.ctx, own)
		if err != nil {
			return err
		}
		if err := ledger.Close(); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(c.stdout, "The databases in %s have the tables of this version.\n", s.Data)
	return err
}
