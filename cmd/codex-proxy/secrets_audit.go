package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
)

type secretsAuditCommand struct {
	From  string   `arg:"" help:"First day (UTC), such as 2026-02-01."`
	To    string   `arg:"" optional:"" help:"Last day (UTC), inclusive; the first day if left out."`
	Rule  []string `help:"Only what this rule finds, such as github-token; may be given again." env:"-"`
	Purge bool     `help:"Rewrite the records with placeholders in the place of the secrets, and leave a note in each." env:"-"`
	Yes   bool     `help:"Purge without asking." env:"-" short:"y"`
	jsonFlag
}

// Help is the long form of the command's help.
func (*secretsAuditCommand) Help() string {
	return "Reads every record of these days again with today's rules, and lists the secrets that stand in them as they are: they left before a rule found them, or a rule's mode let them. Exits 1 when there are any, also when they were purged: what is real is to be replaced where it was issued. " +
		"--purge cannot be undone, and does not reach backups. It may run beside a server, and again after an interruption."
}

func (cmd *secretsAuditCommand) Run(c *console) error {
	from, to, err := dayRange(cmd.From, cmd.To, time.UTC, now())
	if err != nil {
		return err
	}
	if cmd.Purge && !cmd.Yes && !interactive(c.stdin) {
		return misuse("--purge asks before it rewrites, and there is no terminal to ask on: give --yes too")
	}
	rules, err := auditRules(c.ctx, c.settings, cmd.Purge)
	if err != nil {
		return err
	}
	if rules, err = rules.only(cmd.Rule); err != nil {
		return err
	}
	archive, err := c.settings.openArchive(c.ctx, changeUnless(!cmd.Purge))
	if err != nil {
		return err
	}
	run := auditRun{console: c, archive: archive, first: from, last: to.AddDate(0, 0, -1), cleaner: newCleaner(rules)}
	seen, err := run.survey()
	if err != nil {
		return err
	}
	period := from.Format(time.DateOnly) + " to " + lastDay(to, time.UTC) + " (UTC)"
	if !cmd.JSON {
		if err := printLeft(c.stdout, period, seen); err != nil {
			return err
		}
	}
	purge := cmd.Purge && len(seen.secrets) > 0
	if purge && !cmd.Yes && !confirmed(c, "Rewrite these records with placeholders? It cannot be undone. [y/N] ") {
		fmt.Fprintln(c.stderr, "Nothing was changed.")
		purge = false
	}
	result := seen
	if purge {
		if result, err = run.purge(seen); err != nil {
			return err
		}
	}
	if cmd.JSON {
		err = printSafeJSON(c.stdout, rows(result.sorted(), func(s *leftSecret) leftRow { return s.row(purge) }))
	} else if purge {
		err = printPurged(c, result)
	}
	switch {
	case err != nil:
		return err
	case purge && result.unread > 0:
		return fmt.Errorf("%s could not be purged: run it again when what stands above is mended", plural(result.unread, "record"))
	case seen.unread > 0:
		return unreadError(seen.unread)
	case len(seen.secrets) > 0:
		return errSilent
	}
	return nil
}

// auditRun walks the archive's records of some days.
type auditRun struct {
	console     *console
	archive     record.Archive
	first, last time.Time
	cleaner     *cleaner
}

// survey reads every record and says what stands in them. It changes nothing.
func (r *auditRun) survey() (*survey, error) {
	s := newSurvey()
	err := r.each("read", s, nil, func(key string, step func(time.Time)) error {
		doc, err := record.Load(r.console.ctx, r.archive, key)
		if errors.Is(err, fs.ErrNotExist) {
			return errErased
		}
		if err != nil {
			return err
		}
		step(doc.Exchange.Started)
		s.take(key, doc.Exchange, r.cleaner.clean(doc))
		return nil
	})
	return s, err
}

// purge takes out of the records what the survey found, also where it stands in
// earlier records of the same sessions, and returns what was purged. The ledger is told before a
// record is written: an interruption then loses nothing that was found.
func (r *auditRun) purge(told *survey) (*survey, error) {
	store, err := r.console.settings.openLedger(r.console.ctx, change)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	s := newSurvey()
	inLedger := false // a text that the ledger has too
	err = r.each("purged", s, told.holders, func(key string, step func(time.Time)) error {
		var found *cleaned
		var facts exchange.Exchange
		err := record.Replace(r.console.ctx, r.archive, key, func(doc *record.Document) error {
			step(doc.Exchange.Started)
			if found = r.cleaner.clean(doc); len(found.places) == 0 {
				return record.ErrUnchanged
			}
			found.note(doc, now())
			facts = doc.Exchange
			inLedger = inLedger || found.echoed()
			return patiently(r.console.ctx, func() error { return store.Amend(r.console.ctx, facts) })
		})
		if found == nil && errors.Is(err, fs.ErrNotExist) { // and not where it was to be written
			return errErased
		}
		if err == nil && len(found.places) > 0 {
			s.take(key, facts, found)
		}
		return err
	})
	if err == nil && inLedger {
		err = patiently(r.console.ctx, func() error { return compact(r.console.ctx, store) })
	}
	if err != nil {
		return nil, fmt.Errorf("%w (%s purged until then; the others are as they were: run it again)", err, plural(s.holding, "record"))
	}
	return s, nil
}

// patiently changes the ledger. A server may be writing to it: what has waited
// too long for its turn is tried again.
func patiently(ctx context.Context, write func() error) (err error) {
	const tries = 5 // of up to two seconds each
	for range tries {
		if err = write(); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// errErased says that a record is gone since it was listed.
var errErased = errors.New("the record was erased meanwhile")

// each calls visit with the key of every record, the oldest of a session
// first, or only with those in the directories of holders. A record that cannot
// be visited is named and counted, and the rest follows.
func (r *auditRun) each(verb string, s *survey, holders map[string]bool, visit func(key string, step func(time.Time)) error) error {
	c := r.console
	progress := startProgress(c, verb)
	defer progress.clear()
	for key, err := range r.archive.Keys(c.ctx, r.first, r.last) {
		if err != nil {
			return err
		}
		if holders != nil && !holders[path.Base(path.Dir(key))] {
			continue
		}
		err := visit(key, progress.step)
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if errors.Is(err, errErased) {
			continue
		}
		if err != nil {
			s.unread++
			progress.clear()
			warn(c, err)
		}
	}
	return nil
}

// confirmed asks on the terminal; whatever does not begin with a y is a no.
func confirmed(c *console, question string) bool {
	fmt.Fprint(c.stderr, question)
	answer := make(chan string, 1)
	go func() { // it outlives an interruption only as long as the process
		line, _ := bufio.NewReader(c.stdin).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		return strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y")
	case <-c.ctx.Done():
		fmt.Fprintln(c.stderr)
		return false
	}
}

// interactive reports whether a person may answer.
func interactive(in io.Reader) bool {
	file, ok := in.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
