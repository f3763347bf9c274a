package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"codex-proxy/internal/developer"
)

type tokenCommand struct {
	Issue  tokenIssueCommand  `cmd:"" help:"Make a token for a developer and print it, once."`
	List   tokenListCommand   `cmd:"" help:"List tokens: their ids and states, never the tokens."`
	Revoke tokenRevokeCommand `cmd:"" help:"Refuse a token from now on, for good."`
	Rotate tokenRotateCommand `cmd:"" help:"Replace a token by a new one; the old one stays valid for a while."`
	Import tokenImportCommand `cmd:"" help:"Take over tokens that developers already have: one from standard input, or many from a CSV file."`
	Get    tokenGetCommand    `cmd:"" help:"Print a short-lived token of your own sign-in ('codex-proxy login'), for Codex to use."`
}

type tokenIssueCommand struct {
	Developer string `arg:"" help:"The developer's id."`
	tokenLifetime
	codexAddress
	jsonFlag
}

// tokenLifetime are the flags of commands that make a token.
type tokenLifetime struct {
	Expires expiry `help:"When the token ends: after days (90d) or hours (12h), or at the start of a date (2027-01-31, UTC). By default it does not end." env:"-" placeholder:"90d|DATE"`
	Label   string `help:"What the token is for, for people to read." env:"-"`
}

func (cmd *tokenIssueCommand) Run(c *console) error {
	baseURL, err := cmd.baseURL()
	if err != nil {
		return err
	}
	at := now()
	token, credential, err := developer.Issue(rand.Reader, folded(cmd.Developer), cmd.Label, at, cmd.Expires.after(at))
	if err != nil {
		return misuse("%v", err)
	}
	return withDevelopers(c, change, func(store developer.Store) error {
		if err := store.AddToken(c.ctx, credential); err != nil {
			return explainMissing(err, cmd.Developer)
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, newIssuedRow(token, credential.TokenInfo, baseURL))
		}
		return printIssued(c.stdout, token, credential.TokenInfo, baseURL)
	})
}

type tokenListCommand struct {
	Developer string `arg:"" optional:"" help:"Only this developer's."`
	jsonFlag
}

func (cmd *tokenListCommand) Run(c *console) error {
	return withDevelopers(c, look, func(store developer.Store) error {
		if cmd.Developer != "" {
			if _, err := store.Developer(c.ctx, folded(cmd.Developer)); err != nil {
				return explainMissing(err, cmd.Developer)
			}
		}
		tokens, err := store.Tokens(c.ctx, folded(cmd.Developer))
		if err != nil {
			return err
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, rows(tokens, tokenRows(now())))
		}
		return printTokens(c.stdout, tokens)
	})
}

func printTokens(w io.Writer, tokens []developer.TokenInfo) error {
	if len(tokens) == 0 {
		_, err := fmt.Fprintln(w, "There are no tokens: 'codex-proxy token issue' makes one.")
		return err
	}
	at := now()
	return printTable(w, []string{"TOKEN", "DEVELOPER", "STATE", "LABEL", "CREATED (UTC)", "EXPIRES", "LAST USED"},
		rows(tokens, func(t developer.TokenInfo) []string {
			return []string{t.ID, t.Developer, t.State(at), t.Label, day(t.Created), moment(t.Expires), moment(t.LastUsed)}
		}))
}

type tokenRevokeCommand struct {
	ID string `arg:"" help:"The token's id, as 'codex-proxy token list' shows it, or the token itself up to its second underscore."`
}

func (cmd *tokenRevokeCommand) Run(c *console) error {
	return withDevelopers(c, change, func(store developer.Store) error {
		info, err := store.RevokeToken(c.ctx, publicID(cmd.ID), now())
		if err != nil {
			return explainMissingToken(err, cmd.ID)
		}
		_, err = fmt.Fprintf(c.stdout, "The token %s of %s is revoked since %s: the next request is refused, and those that run end within 5 seconds.\n",
			info.ID, info.Developer, moment(info.Revoked))
		return err
	})
}

type tokenRotateCommand struct {
	ID      string        `arg:"" help:"The old token's id, as 'codex-proxy token list' shows it."`
	Grace   time.Duration `help:"How long the old token stays valid." default:"24h" env:"-"`
	Expires newEnd        `help:"When the new token ends, as for 'token issue', or never. By default when the old one would have." env:"-" placeholder:"90d|DATE|never"`
	Label   string        `help:"What the new token is for, if not what the old one was." env:"-"`
	codexAddress
	jsonFlag
}

func (cmd *tokenRotateCommand) Run(c *console) error {
	baseURL, err := cmd.baseURL()
	if err != nil {
		return err
	}
	if cmd.Grace < 0 {
		return misuse("--grace cannot be negative: 0s ends the old token at once")
	}
	return withDevelopers(c, change, func(store developer.Store) error {
		old, err := store.Token(c.ctx, publicID(cmd.ID))
		if err != nil {
			return explainMissingToken(err, cmd.ID)
		}
		at := now()
		change := developer.Rotation{Label: cmd.Label, ChangesEnd: cmd.Expires.isGiven, Expires: cmd.Expires.after(at)}
		token, credential, err := developer.Rotate(rand.Reader, old, change, at)
		if err != nil && !errors.Is(err, developer.ErrNotActive) {
			return misuse("%v", err)
		}
		if err == nil {
			err = store.RotateToken(c.ctx, old.ID, credential, at.Add(cmd.Grace))
		}
		if errors.Is(err, developer.ErrNotActive) {
			return fmt.Errorf("the token %s is no longer active (revoked, expired or already rotated): 'codex-proxy token issue %s' makes a new one", old.ID, old.Developer)
		}
		if err != nil {
			return explainMissingToken(err, cmd.ID)
		}
		if old, err = store.Token(c.ctx, old.ID); err != nil {
			return err
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, struct {
				*issuedRow
				Replaces      string    `json:"replaces"`
				OldValidUntil time.Time `json:"old_valid_until"`
			}{newIssuedRow(token, credential.TokenInfo, baseURL), old.ID, old.Expires})
		}
		if _, err := fmt.Fprintf(c.stdout, "The token %s of %s stays valid until %s.\n", old.ID, old.Developer, moment(old.Expires)); err != nil {
			return err
		}
		return printIssued(c.stdout, token, credential.TokenInfo, baseURL)
	})
}

// publicID accepts a token's id, also with the prefix that it has in a token.
func publicID(text string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(text, developer.Prefix), "_")
	return id
}

// explainMissingToken says what to do when a token is not found.
func explainMissingToken(err error, id string) error {
	if errors.Is(err, developer.ErrNotFound) {
		if id = publicID(id); len(id) > developer.IDLength { // which may be a whole token
			return errors.New("there is no such token: an id is short, and 'codex-proxy token list' shows them")
		}
		return fmt.Errorf("there is no token %q: 'codex-proxy token list' shows their ids", id)
	}
	return err
}

// expiry is when a token ends, as a person says it: relative or absolute.
type expiry struct {
	in time.Duration
	at time.Time
}

// UnmarshalText reads 90d, 12h, 2027-01-31 or an RFC 3339 time.
func (e *expiry) UnmarshalText(text []byte) error {
	given := string(text)
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, given); err == nil {
			e.at = at.UTC()
			return nil
		}
	}
	const mostDays = 36_500
	if digits, ok := strings.CutSuffix(given, "d"); ok {
		if days, err := strconv.Atoi(digits); err == nil && days > 0 && days <= mostDays {
			e.in = time.Duration(days) * 24 * time.Hour
			return nil
		}
	} else if in, err := time.ParseDuration(given); err == nil && in > 0 {
		e.in = in
		return nil
	}
	return fmt.Errorf("%q is no time in the future: use days (90d), hours (12h) or a date (2027-01-31)", given)
}

// after is the moment of expiry of a token made at the given time; zero for
// none.
func (e expiry) after(made time.Time) time.Time {
	if e.in > 0 {
		return made.Add(e.in)
	}
	return e.at
}

// newEnd is when a token ends that takes another's place, if that is given; never
// is zero.
type newEnd struct {
	expiry
	isGiven bool
}

// UnmarshalText reads never, and what an expiry reads.
func (e *newEnd) UnmarshalText(text []byte) error {
	e.isGiven = true
	if string(text) == "never" {
		return nil
	}
	return e.expiry.UnmarshalText(text)
}

// issuedRow is a new token in JSON, the one time that it can be shown.
type issuedRow struct {
	Developer string    `json:"developer"`
	Token     string    `json:"token"`
	TokenID   string    `json:"token_id"`
	Label     string    `json:"label,omitempty"`
	Expires   time.Time `json:"expires,omitzero"`
	BaseURL   string    `json:"base_url"`
}

func newIssuedRow(token developer.Token, info developer.TokenInfo, baseURL string) *issuedRow {
	return &issuedRow{
		Developer: info.Developer, Token: token.Reveal(), TokenID: info.ID,
		Label: info.Label, Expires: info.Expires, BaseURL: baseURL,
	}
}

// tokenRow is a token in a list in JSON.
type tokenRow struct {
	ID         string    `json:"id"`
	Developer  string    `json:"developer"`
	State      string    `json:"state"`
	Label      string    `json:"label"`
	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires,omitzero"`
	Revoked    time.Time `json:"revoked,omitzero"`
	LastUsed   time.Time `json:"last_used,omitzero"`
	Imported   bool      `json:"imported"`
	ReplacedBy string    `json:"replaced_by,omitempty"`
}

func tokenRows(at time.Time) func(developer.TokenInfo) tokenRow {
	return func(t developer.TokenInfo) tokenRow {
		return tokenRow{
			ID: t.ID, Developer: t.Developer, State: t.State(at), Label: t.Label, Created: t.Created, Expires: t.Expires,
			Revoked: t.Revoked, LastUsed: t.LastUsed, Imported: t.Imported, ReplacedBy: t.ReplacedBy,
		}
	}
}
