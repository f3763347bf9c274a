package roster

import (
	"crypto/sha256"
	"fmt"
	"io"

	"codex-proxy/internal/developer"
)

// TokenEntry is a token that somebody has already.
type TokenEntry struct {
	// Line is where the token stands in the file, counting from 1.
	Line int
	// Developer is whose it is, as developer.ParseID returns it.
	Developer string
	Token     developer.Token
	// Note is for people to read; it may be empty.
	Note string
}

var tokenColumns = []column{
	{title: "developer", synonyms: developerTitles},
	{title: "token", synonyms: []string{"token", "apikey", "key", "proxytoken", "proxykey", "accesstoken", "bearer", "bearertoken", "secret"}},
	{title: "note", synonyms: []string{"note", "notes", "label", "comment", "description"}},
}

// ReadTokens reads tokens as CSV: the columns developer, token and note, in any
// order under a line of titles, else in this one. The error is an Errors when
// lines of it cannot be read. It quotes nothing of the file, as columns that
// were mixed up would have it quote tokens.
func ReadTokens(r io.Reader) ([]TokenEntry, error) {
	sheet, err := readSheet(r, tokenColumns)
	if err != nil {
		return nil, err
	}
	var (
		entries []TokenEntry
		wrong   Errors
		lines   = map[[sha256.Size]byte]int{}
	)
	for _, row := range sheet.rows {
		entry := TokenEntry{Line: row.line, Token: developer.Token(row.cells[1]), Note: row.cells[2]}
		if entry.Developer, err = developer.ParseID(row.cells[0]); err != nil {
			wrong = append(wrong, LineError{row.line, "the developer column holds no developer's id: it is an e-mail address or a login" + sheet.hint(row)})
			continue
		}
		if err := developer.CheckImported(entry.Token); err != nil {
			wrong = append(wrong, LineError{row.line, err.Error()})
			continue
		}
		if first, twice := lines[entry.Token.Hash()]; twice {
			wrong = append(wrong, LineError{row.line, fmt.Sprintf("the same token is on line %d already: take one of the two out", first)})
			continue
		}
		lines[entry.Token.Hash()] = row.line
		entries = append(entries, entry)
	}
	if err := wrong.orNil(); err != nil {
		return nil, err
	}
	return entries, nil
}
