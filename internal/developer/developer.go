// Package developer holds who may use the proxy: developers, their teams, the
// tokens that prove who they are, and the policy of a team.
package developer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Developer is a person who uses Codex.
type Developer struct {
	// ID is an e-mail address or a login, as ParseID returns it.
	ID string
	// Name is for people to read; it may be empty.
	Name string
	// Team is the team whose policy applies; DefaultTeam unless another is named.
	Team string
	// Enabled is false while every token of the developer is refused.
	Enabled bool
	// DisabledBy is DisabledBySync where no person decided it about this
	// developer; empty otherwise, and while they are enabled.
	DisabledBy string
	Created    time.Time
	Updated    time.Time
}

// DisabledBySync marks developers who are disabled as they were missing from
// the organisation's roster, and who may come back by being in it again.
const DisabledBySync = "sync"

// Enable lets the developer in.
func (d *Developer) Enable(now time.Time) { d.Enabled, d.DisabledBy, d.Updated = true, "", now }

// Disable keeps the developer out; by is DisabledBySync, or empty for a person.
func (d *Developer) Disable(by string, now time.Time) {
	d.Enabled, d.DisabledBy, d.Updated = false, by, now
}

// New returns an enabled developer, checked as Validate does. An empty team
// means DefaultTeam.
func New(id, name, team string, now time.Time) (Developer, error) {
	id, err := ParseID(id)
	if err != nil {
		return Developer{}, err
	}
	if team == "" {
		team = DefaultTeam
	}
	d := Developer{ID: id, Name: name, Team: team, Enabled: true, Created: now, Updated: now}
	return d, d.Validate()
}

// Validate returns an error that says which field cannot be kept, and why.
func (d Developer) Validate() error {
	if id, err := ParseID(d.ID); err != nil || id != d.ID {
		return errors.Join(err, fmt.Errorf("the developer id %q is not in its stored form", d.ID))
	}
	if err := checkText("name", d.Name, 128); err != nil {
		return err
	}
	return CheckTeamName(d.Team)
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9._+@-]{1,128}$`)

// ParseID returns the id that text stands for, in lower case. An id has 1 to
// 128 letters, digits and the characters . _ + @ -, and neither begins nor ends
// with a dot, so that it can name a directory and is never mistaken for a flag.
func ParseID(text string) (string, error) {
	if !idPattern.MatchString(text) || strings.HasPrefix(text, ".") || strings.HasSuffix(text, ".") || strings.HasPrefix(text, "-") {
		return "", fmt.Errorf("%q cannot be a developer's id: use an e-mail address or a login: 1 to 128 of the letters a to z, digits and . _ + @ -, with no dot at either end and no hyphen at the beginning", shorten(text))
	}
	return strings.ToLower(text), nil
}

// checkText checks text that people read: printable, in one line, at most limit
// characters.
func checkText(what, text string, limit int) error {
	switch {
	case !utf8.ValidString(text):
		return fmt.Errorf("the %s is not UTF-8", what)
	case utf8.RuneCountInString(text) > limit:
		return fmt.Errorf("the %s has %d characters: at most %d are kept", what, utf8.RuneCountInString(text), limit)
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the %s %q has characters that cannot be printed", what, shorten(text))
	case text != strings.TrimSpace(text):
		return fmt.Errorf("the %s %q begins or ends with a space", what, shorten(text))
	}
	return nil
}

// shorten keeps an error readable when what it quotes is long.
func shorten(text string) string {
	const limit = 64
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
