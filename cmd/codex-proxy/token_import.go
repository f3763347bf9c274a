package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/roster"
)

type tokenImportCommand struct {
	From   string `arg:"" name:"developer|file" help:"The developer whose token is read from standard input or asked for, or a CSV file with the columns developer, token and note; - for CSV from standard input."`
	DryRun bool   `help:"Show what would be done, and do nothing." env:"-"`
	tokenLifetime
	jsonFlag
}

// Help is the long form of the command's help.
func (*tokenImportCommand) Help() string {
	return `One token is read from standard input, or asked for without being shown, as arguments can be seen by every user of the machine: codex-proxy token import alice@example.com < token.txt

Many come as CSV: codex-proxy token import tokens.csv. What is -, has a slash in it or ends in .csv, .tsv or .txt is a file; ./tokens names one that does not. When any line is wrong, all such lines are named and nothing is done.

A token is any text of 16 to 4096 visible ASCII characters, whatever it begins with; one that has the very form of this proxy's own tokens needs the checksum that these have. Only its SHA-256 is kept. One that is imported again stays as it is.`
}

func (cmd *tokenImportCommand) Run(c *console) error {
	if isListFile(cmd.From) {
		return cmd.importList(c)
	}
	return cmd.importOne(c)
}

// isListFile tells a file from a developer's id by its looks alone, so that what
// a command does never depends on which files lie about.
func isListFile(from string) bool {
	switch filepath.Ext(from) {
	case ".csv", ".tsv", ".txt":
		return true
	}
	return from == "-" || strings.ContainsAny(from, `/\`)
}

func (cmd *tokenImportCommand) importOne(c *console) error {
	token, err := readToken(c)
	if err != nil {
		return err
	}
	at := now()
	credential, err := developer.Import(rand.Reader, token, folded(cmd.From), cmd.Label, at, cmd.Expires.after(at))
	if err != nil {
		return misuse("%v", err)
	}
	return withRegister(c, change, func(store register) error {
		owner, err := store.Developer(c.ctx, credential.Developer)
		if err != nil {
			return explainMissing(err, cmd.From)
		}
		kept, err := findToken(c, store, owner.ID, token)
		if err != nil {
			return err
		}
		if kept.problem != "" {
			return errors.New(kept.problem)
		}
		done := "is now valid for"
		switch {
		case kept.there:
			credential.TokenInfo, done = kept.info, "was there already, and is valid for"
		case cmd.DryRun:
			done = "would be valid for"
		default:
			if err := store.AddToken(c.ctx, credential); err != nil {
				return explainBatch(err)
			}
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, tokenRows(at)(credential.TokenInfo))
		}
		_, err = fmt.Fprintf(c.stdout, "The token %s %s, under the id %s.\n", done, credential.Developer, credential.ID)
		return err
	})
}

// readToken reads one token from standard input, or from a person without
// showing it.
func readToken(c *console) (developer.Token, error) {
	if input, ok := c.stdin.(*os.File); ok && term.IsTerminal(int(input.Fd())) {
		fmt.Fprint(c.stderr, "The token (it is not shown): ")
		typed, err := readHidden(c.ctx, input)
		fmt.Fprintln(c.stderr)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		return developer.Token(strings.TrimSpace(typed)), nil
	}
	const enough = 8 << 10 // more than the longest token
	text, err := io.ReadAll(io.LimitReader(c.stdin, enough))
	if err != nil {
		return "", fmt.Errorf("read the token from standard input: %w", err)
	}
	return developer.Token(strings.TrimRight(string(text), "\r\n")), nil
}

// foundToken is what a store knows of a token that is to be somebody's.
type foundToken struct {
	// there is true when they have it already, as info.
	there bool
	info  developer.TokenInfo
	// problem says why it cannot be theirs.
	problem string
}

// findToken looks a token up, before it is given to its owner.
func findToken(c *console, store developer.GrantFinder, owner string, token developer.Token) (foundToken, error) {
	grant, err := store.Grant(c.ctx, token.Hash())
	if errors.Is(err, developer.ErrNotFound) {
		return foundToken{}, nil
	}
	if err != nil {
		return foundToken{}, err
	}
	found := foundToken{there: true, info: grant.TokenInfo}
	switch state := grant.State(now()); {
	case grant.Developer != owner:
		found.problem = fmt.Sprintf("this token is already in use, under the id %s by %s: 'codex-proxy token issue' makes another", grant.ID, grant.Developer)
	case state == "revoked" || state == "expired":
		found.problem = fmt.Sprintf("this token was here already, under the id %s, and is %s, which is for good: 'codex-proxy token issue %s' makes another", grant.ID, state, owner)
	}
	return found, nil
}

func (cmd *tokenImportCommand) importList(c *console) error {
	entries, err := readList(c, cmd.From, roster.ReadTokens)
	if err != nil {
		return err
	}
	return withRegister(c, changeUnless(cmd.DryRun), func(store register) error {
		imported, err := cmd.plan(c, store, entries)
		if err != nil {
			return err
		}
		if !cmd.DryRun {
			if err := store.ApplyBatch(c.ctx, imported.batch); err != nil {
				return explainBatch(err)
			}
		}
		return cmd.printImported(c, imported)
	})
}

// importedTokens is what a list of tokens asks for.
type importedTokens struct {
	batch developer.Batch
	rows  []importedRow
}

// importedRow is one token of a list in JSON; the token itself is never shown.
type importedRow struct {
	Line      int       `json:"line"`
	Action    string    `json:"action"` // "import", or "unchanged" for one that was there
	Developer string    `json:"developer"`
	TokenID   string    `json:"token_id"`
	Label     string    `json:"label"`
	Expires   time.Time `json:"expires,omitzero"`
}

// plan looks at every token of the list; the error names all that cannot be
// imported.
func (cmd *tokenImportCommand) plan(c *console, store developer.Store, entries []roster.TokenEntry) (importedTokens, error) {
	all, err := store.Developers(c.ctx)
	if err != nil {
		return importedTokens{}, err
	}
	known := make(map[string]bool, len(all))
	for _, d := range all {
		known[d.ID] = true
	}
	var (
		planned importedTokens
		wrong   roster.Errors
		at      = now()
		shown   = startProgress(c, "")
	)
	defer shown.clear()
	for i, entry := range entries {
		shown.say(func() string {
			return fmt.Sprintf("looked up %s of %s", plural(i, "token"), thousands(int64(len(entries))))
		})
		credential, err := developer.Import(rand.Reader, entry.Token, entry.Developer, cmp.Or(entry.Note, cmd.Label), at, cmd.Expires.after(at))
		if err != nil {
			wrong = append(wrong, roster.LineError{Line: entry.Line, What: err.Error()})
			continue
		}
		if !known[entry.Developer] { // who is not quoted, as it may be a token
			wrong = append(wrong, roster.LineError{Line: entry.Line, What: "there is no developer of this id: 'codex-proxy developer import' adds them"})
			continue
		}
		kept, err := findToken(c, store, entry.Developer, entry.Token)
		if err != nil {
			return importedTokens{}, err
		}
		switch {
		case kept.problem != "":
			wrong = append(wrong, roster.LineError{Line: entry.Line, What: kept.problem})
			continue
		case kept.there:
			credential.TokenInfo = kept.info
			planned.rows = append(planned.rows, newImportedRow(entry.Line, "unchanged", credential.TokenInfo))
		default:
			planned.batch.Tokens = append(planned.batch.Tokens, credential)
			planned.rows = append(planned.rows, newImportedRow(entry.Line, "import", credential.TokenInfo))
		}
	}
	if len(wrong) > 0 {
		return importedTokens{}, fmt.Errorf("nothing was changed, as some of the tokens cannot be imported:\n%w", wrong)
	}
	return planned, nil
}

func newImportedRow(line int, action string, info developer.TokenInfo) importedRow {
	return importedRow{Line: line, Action: action, Developer: info.Developer, TokenID: info.ID, Label: info.Label, Expires: info.Expires}
}

func (cmd *tokenImportCommand) printImported(c *console, imported importedTokens) error {
	added := len(imported.batch.Tokens)
	there := len(imported.rows) - added
	if cmd.JSON {
		return printSafeJSON(c.stdout, struct {
			DryRun    bool          `json:"dry_run"`
			Imported  int           `json:"imported"`
			Unchanged int           `json:"unchanged"`
			Tokens    []importedRow `json:"tokens"`
		}{cmd.DryRun, added, there, imported.rows})
	}
	if !cmd.DryRun {
		_, err := fmt.Fprintf(c.stdout, "Tokens: %s imported, %s there already.\n", thousands(int64(added)), thousands(int64(there)))
		return err
	}
	if err := printTable(c.stdout, []string{"LINE", "ACTION", "DEVELOPER", "LABEL"}, rows(imported.rows, func(r importedRow) []string {
		return []string{fmt.Sprint(r.Line), r.Action, r.Developer, r.Label}
	})); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "Tokens: %s to import, %s there already. Nothing was changed.\n", thousands(int64(added)), thousands(int64(there)))
	return err
}
