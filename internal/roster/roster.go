// Package roster reads lists of people and of their tokens, as spreadsheets and
// directories export them, and works out what such a list asks to be done about
// the developers who are there. It changes nothing itself.
package roster

import (
	"fmt"
	"io"
	"time"

	"codex-proxy/internal/developer"
)

// Roster is a list of people who are to use the proxy.
type Roster struct {
	// Entries are the people, in the order of the file; each is there once.
	Entries []Entry
	// Ignored are the titles of columns that were not read.
	Ignored []string
}

// Entry is one person of a roster, checked as developer.New does.
type Entry struct {
	// Line is where the person stands in the file, counting from 1.
	Line int
	// ID is the developer's id, as developer.ParseID returns it.
	ID string
	// Name and Team are empty where the file does not say them, and then stay as
	// they are.
	Name, Team string
}

var personColumns = []column{
	{title: "email", synonyms: developerTitles},
	{title: "name", synonyms: []string{"name", "fullname", "displayname", "realname", "developername"}},
	{title: "team", synonyms: []string{"team", "teamname", "group", "groupname", "department", "squad"}},
}

var developerTitles = []string{
	"email", "emailaddress", "mail", "mailaddress", "workemail", "primaryemail", "useremail", "id", "login", "loginid",
	"user", "userid", "username", "developer", "developerid", "account", "userprincipalname", "upn",
}

// Read reads a roster as CSV: the columns e-mail (or login), name and team, in
// any order under a line of titles, else in this one. The error is an Errors
// when lines of it cannot be read.
func Read(r io.Reader) (Roster, error) {
	sheet, err := readSheet(r, personColumns)
	if err != nil {
		return Roster{}, err
	}
	list := Roster{Ignored: sheet.ignored}
	lines := map[string]int{}
	var wrong Errors
	for _, row := range sheet.rows {
		entry := Entry{Line: row.line, ID: row.cells[0], Name: row.cells[1], Team: row.cells[2]}
		if entry.ID == "" {
			wrong = append(wrong, LineError{row.line, "there is no e-mail address or login: fill it in, or take the line out"})
			continue
		}
		d, err := developer.New(entry.ID, entry.Name, entry.Team, time.Time{}) // to check it
		if err != nil {
			wrong = append(wrong, LineError{row.line, err.Error() + sheet.hint(row)})
			continue
		}
		entry.ID = d.ID
		if first, twice := lines[entry.ID]; twice {
			wrong = append(wrong, LineError{row.line, fmt.Sprintf("%s is on line %d already: take one of the two out", entry.ID, first)})
			continue
		}
		lines[entry.ID] = row.line
		list.Entries = append(list.Entries, entry)
	}
	if err := wrong.orNil(); err != nil {
		return Roster{}, err
	}
	return list, nil
}
