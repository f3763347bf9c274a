package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"golang.org/x/sync/errgroup"

	web "codex-proxy/internal/console"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/disk"
	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/s3"
	"codex-proxy/internal/sqlite"
)

// This file alone knows which stores there are; everything else works on these
// interfaces.

// register is all that is kept of developers: who they are, who is invited, and
// which rules for secrets their conversations began under.
type register interface {
	developer.Store
	developer.Batcher
	developer.Tidier
	invite.Store
	redaction.History
	web.Store
	ledger.Marks
	AddInvitation(ctx context.Context, sealed invite.Sealed, keep bool) (cancelled int64, err error)
	Invitations(ctx context.Context) ([]invite.Invitation, error)
	CancelInvitation(ctx context.Context, id string, at time.Time) (invite.Invitation, error)
	store
}

// books are the ledger, with what lists its rows.
type books interface {
	ledger.Store
	Exchanges(ctx context.Context, q ledger.ExchangeQuery) ([]exchange.Exchange, error)
	Sessions(ctx context.Context, q ledger.SessionQuery) ([]ledger.Session, error)
	store
}

// store is what every store has besides.
type store interface {
	// Ping returns why the store cannot be read, and Probe why it cannot be written
	// to; nil when it can.
	Ping(ctx context.Context) error
	Probe(ctx context.Context) error
	io.Closer
}

// storeSettings say where things are kept.
type storeSettings struct {
	// Archive is where records are kept; empty is the directory archive in the data
	// directory.
	Archive     string `help:"Directory that holds the records, if not DIR/archive, or s3://BUCKET[/PREFIX]." placeholder:"DIR|URL"`
	Store       string `help:"What keeps developers, tokens and the ledger: files in the data directory, or tables of DynamoDB that any number of servers share." enum:"sqlite,dynamodb" default:"sqlite"`
	TablePrefix string `help:"Begins the names of the DynamoDB tables, PREFIX-tokens and PREFIX-usage." default:"codex-proxy" placeholder:"PREFIX"`

	// loaded are AWS's settings, once they are needed.
	loaded *aws.Config
}

func (s *storeSettings) tokensTable() string { return s.TablePrefix + "-tokens" }
func (s *storeSettings) usageTable() string  { return s.TablePrefix + "-usage" }

// usesTables tells whether DynamoDB keeps developers and the ledger.
func (s *storeSettings) usesTables() bool { return s.Store == "dynamodb" }

// usesBucket tells whether S3 keeps the records.
func (s *storeSettings) usesBucket() bool { return strings.HasPrefix(s.Archive, "s3://") }

// aws finds credentials and region as every tool of AWS's does.
func (s *storeSettings) aws(ctx context.Context) (aws.Config, error) {
	if s.loaded != nil {
		return *s.loaded, nil
	}
	// What the SDK would print by itself is about single attempts, and has no form.
	loaded, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
	if err != nil {
		return loaded, fmt.Errorf("load the settings of AWS: %w", err)
	}
	if loaded.Region == "" {
		return loaded, misuse("in which AWS region are the tables, the bucket or the secret? Set AWS_REGION, or choose a profile that names one (AWS_PROFILE)")
	}
	s.loaded = &loaded
	return loaded, nil
}

// storeAccess is what a command opens a store for: to own it as a server does, to change
// what is in it, or to look. Only an owner makes what is missing, and moves tables
// to another version.
type storeAccess = sqlite.Access

const (
	own    = sqlite.Own
	change = sqlite.Change
	look   = sqlite.Look
)

// changeUnless is the access of a command that has --dry-run.
func changeUnless(dry bool) storeAccess {
	if dry {
		return look
	}
	return change
}

// openDevelopers opens the store of developers.
func (s *Settings) openDevelopers(ctx context.Context, to storeAccess) (register, error) {
	if !s.usesTables() {
		if err := s.checkInstallation(ctx, s.developersFile(), to); err != nil {
			return nil, err
		}
		store, err := sqlite.OpenDevelopersFor(ctx, s.developersFile(), to)
		if err != nil {
			return nil, err
		}
		return store, nil
	}
	loaded, err := s.aws(ctx)
	if err != nil {
		return nil, err
	}
	return dynamodb.NewDevelopers(dynamodb.Connect(loaded), s.tokensTable()), nil
}

// openLedger opens the ledger.
func (s *Settings) openLedger(ctx context.Context, to storeAccess) (books, error) {
	if !s.usesTables() {
		if err := s.checkInstallation(ctx, s.ledgerFile(), to); err != nil {
			return nil, err
		}
		store, err := sqlite.OpenLedgerFor(ctx, s.ledgerFile(), to)
		if err != nil {
			return nil, err
		}
		return store, nil
	}
	loaded, err := s.aws(ctx)
	if err != nil {
		return nil, err
	}
	return dynamodb.NewLedger(dynamodb.Connect(loaded), s.usageTable()), nil
}

// openArchive opens the archive of records.
func (s *Settings) openArchive(ctx context.Context, to storeAccess) (record.Archive, error) {
	if !s.usesBucket() {
		if err := s.checkInstallation(ctx, s.archiveDirectory(), to); err != nil {
			return nil, err
		}
		if to == look {
			return disk.OpenArchive(s.archiveDirectory())
		}
		return disk.NewArchive(s.archiveDirectory())
	}
	at, err := s3.ParseLocation(s.Archive)
	if err != nil {
		return nil, misuse("--archive: %v", err)
	}
	loaded, err := s.aws(ctx)
	if err != nil {
		return nil, err
	}
	return s3.NewArchive(s3.Connect(loaded), at, ""), nil
}

// checkInstallation returns an error when what a command wants to use is not there.
// A path that is mistyped must not become an installation.
func (s *Settings) checkInstallation(ctx context.Context, path string, to storeAccess) error {
	if to == own {
		return nil
	}
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.Init && to == change {
		return s.initialize(ctx)
	}
	if s.Init {
		return misuse("there is no installation in %s, and this command cannot make one: start 'codex-proxy serve' there, or check --data", s.Data)
	}
	lacks := path
	if below, err := filepath.Rel(s.Data, path); err == nil && filepath.IsLocal(below) {
		lacks = below
	}
	return misuse("there is no installation in %s: it has no %s. Check --data and --archive, or start 'codex-proxy serve' there; "+
		"--init makes one for a command that changes something", s.Data, lacks)
}

// checkOwned returns what is wrong where there is no installation to keep something in.
func (s *Settings) checkOwned(ctx context.Context) error {
	if s.usesTables() {
		return nil
	}
	return s.checkInstallation(ctx, s.developersFile(), look)
}

// rebuildAccess is the access to a ledger that is about to be made from the archive:
// one that is lost is made anew.
func (s *Settings) rebuildAccess() storeAccess {
	if _, err := os.Stat(s.ledgerFile()); errors.Is(err, fs.ErrNotExist) {
		return own
	}
	return change
}

// initialize makes what is missing of an installation, and moves what is there to
// this program's version.
func (s *Settings) initialize(ctx context.Context) error {
	developers, err := s.openDevelopers(ctx, own)
	if err != nil {
		return err
	}
	ledger, err := s.openLedger(ctx, own)
	if err != nil {
		return errors.Join(err, developers.Close())
	}
	_, err = s.openArchive(ctx, own)
	return errors.Join(err, ledger.Close(), developers.Close())
}

// cleanArchive removes what an interrupted write has left in an archive that this
// process alone writes to. A bucket has nothing of that kind: an object is there
// whole, or not at all.
func cleanArchive(archive record.Archive) error {
	if directory, ok := archive.(*disk.Archive); ok {
		return directory.Clean()
	}
	return nil
}

// compact makes a ledger forget what it has deleted, where it does not by itself.
func compact(ctx context.Context, ledger ledger.Store) error {
	if file, ok := ledger.(*sqlite.Ledger); ok {
		return file.Compact(ctx)
	}
	return nil
}

// keptInTables returns what the tables keep under a name; fresh from now on, where
// there is nothing yet.
func (s *Settings) keptInTables(ctx context.Context, name string, fresh []byte) ([]byte, error) {
	loaded, err := s.aws(ctx)
	if err != nil {
		return nil, err
	}
	return dynamodb.NewDevelopers(dynamodb.Connect(loaded), s.tokensTable()).Keep(ctx, name, fresh)
}

// checkTables returns an error where a table of DynamoDB that is to be used is another
// program's, before anything is written.
func (s *Settings) checkTables(ctx context.Context) error {
	if !s.usesTables() {
		return nil
	}
	loaded, err := s.aws(ctx)
	if err != nil {
		return err
	}
	api := dynamodb.Connect(loaded)
	var all errgroup.Group
	all.Go(func() error { return dynamodb.NewDevelopers(api, s.tokensTable()).CheckOurs(ctx) })
	all.Go(func() error { return dynamodb.NewLedger(api, s.usageTable()).CheckOurs(ctx) })
	return all.Wait()
}

// createTables makes the tables of DynamoDB that are missing.
func (s *Settings) createTables(ctx context.Context) error {
	if !s.usesTables() {
		return misuse("--create-tables goes with --store=dynamodb")
	}
	loaded, err := s.aws(ctx)
	if err != nil {
		return err
	}
	api := dynamodb.Connect(loaded)
	return errors.Join(
		dynamodb.CreateTable(ctx, api, dynamodb.TokensTable(s.tokensTable())),
		dynamodb.CreateTable(ctx, api, dynamodb.UsageTable(s.usageTable())),
	)
}

// withDevelopers runs a command's work on the store of developers.
func withDevelopers(c *console, to storeAccess, work func(developer.Store) error) error {
	return withRegister(c, to, func(store register) error { return work(store) })
}

// withRegister is withDevelopers for commands that need more than a store.
func withRegister(c *console, to storeAccess, work func(register) error) error {
	if err := c.settings.checkTables(c.ctx); err != nil {
		return err
	}
	store, err := c.settings.openDevelopers(c.ctx, to)
	if err != nil {
		return err
	}
	return errors.Join(work(store), store.Close())
}
