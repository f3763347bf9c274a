package roster

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSize bounds a file, in bytes; a million people fit.
const maxSize = 64 << 20

// column is one that is looked for; the first of them is what tells a line of
// titles from one of data.
type column struct {
	title    string
	synonyms []string // as plainTitle returns them
}

// sheet is a file of CSV, brought into the columns that were looked for.
type sheet struct {
	rows    []row
	titled  bool
	ignored []string
}

// row is one line; cells has the columns that were looked for, trimmed, and
// empty where there is nothing.
type row struct {
	line  int
	cells []string
}

// hint is what may be behind a wrong first line.
func (s sheet) hint(r row) string {
	if s.titled || r.line != s.rows[0].line {
		return ""
	}
	return `; a first line of titles needs one that is email, id or login, and shows whether ; or tabs separate`
}

// readSheet reads CSV (RFC 4180, UTF-8 with or without a byte order mark, any
// line ends). Under a line of titles, columns may be in any order and be
// separated by commas, semicolons or tabs.
func readSheet(r io.Reader, columns []column) (sheet, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return sheet{}, err
	}
	if len(data) > maxSize {
		return sheet{}, fmt.Errorf("the file is larger than %d MiB, which no list of people is", maxSize>>20)
	}
	if data, err = text(data); err != nil {
		return sheet{}, err
	}
	separator, titles := findTitles(data, columns)
	lines, wrong := split(data, separator)
	s := sheet{titled: titles != nil}
	order := make([]int, len(columns)) // where each column is in a line
	for i := range order {
		order[i] = i
	}
	if s.titled {
		if order, s.ignored, err = arrange(titles, columns); err != nil {
			return sheet{}, err
		}
		lines = lines[1:]
	}
	for _, line := range lines {
		most := len(columns)
		if s.titled {
			most = len(titles)
		}
		if extra := line.cells[min(most, len(line.cells)):]; slices.ContainsFunc(extra, func(cell string) bool { return cell != "" }) {
			wrong = append(wrong, LineError{line.line, tooMany(s.titled, len(line.cells), most, columns)})
			continue
		}
		cells := make([]string, len(columns))
		for i, at := range order {
			if at >= 0 && at < len(line.cells) {
				cells[i] = line.cells[at]
			}
		}
		s.rows = append(s.rows, row{line.line, cells})
	}
	if len(wrong) > 0 {
		return sheet{}, wrong
	}
	if len(s.rows) == 0 {
		return sheet{}, ErrEmpty
	}
	return s, nil
}

func tooMany(titled bool, got, most int, columns []column) string {
	if titled {
		return fmt.Sprintf("it has %d columns and the header %d: put quotes around a cell that holds the separator", got, most)
	}
	titles := make([]string, 0, len(columns))
	for _, c := range columns {
		titles = append(titles, c.title)
	}
	return fmt.Sprintf("it has %d columns and there are only %s: put quotes around a cell that holds a comma, or begin with a line of titles to have other columns passed over",
		got, strings.Join(titles, ", "))
}

// text is the file without its byte order mark, or an error when it is not UTF-8.
func text(data []byte) ([]byte, error) {
	const remedy = `save it as UTF-8 (in Excel: "CSV UTF-8")`
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.IndexByte(data, 0) >= 0 {
		return nil, errors.New("the file is UTF-16, or no text at all: " + remedy)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if utf8.Valid(data) {
		return data, nil
	}
	var wrong Errors
	number := 0
	for line := range bytes.Lines(data) {
		if number++; !utf8.Valid(line) {
			wrong = append(wrong, LineError{number, "it is not UTF-8: " + remedy})
		}
	}
	return nil, wrong
}

// findTitles returns the separator and the line of titles, if the first line is
// one.
func findTitles(data []byte, columns []column) (separator rune, titles []string) {
	separator, most := ',', 0
	for _, candidate := range []rune{',', ';', '\t'} {
		cells, err := first(newReader(data, candidate))
		if err != nil || !slices.ContainsFunc(cells, columns[0].is) {
			continue
		}
		known := 0
		for _, c := range columns {
			if slices.ContainsFunc(cells, c.is) {
				known++
			}
		}
		if known > most {
			separator, titles, most = candidate, cells, known
		}
	}
	return separator, titles
}

// arrange finds the columns under their titles; -1 for one that is not there.
func arrange(titles []string, columns []column) (order []int, ignored []string, err error) {
	order = make([]int, len(columns))
	taken := map[int]bool{}
	for i, c := range columns {
		order[i] = -1
		for at, title := range titles {
			if !c.is(title) {
				continue
			}
			if order[i] >= 0 {
				return nil, nil, fmt.Errorf("the columns %q and %q could both be the %s: rename or take out the one that is not", titles[order[i]], title, c.title)
			}
			order[i], taken[at] = at, true
		}
	}
	for at, title := range titles {
		if !taken[at] && title != "" {
			ignored = append(ignored, title)
		}
	}
	return order, ignored, nil
}

func (c column) is(title string) bool { return slices.Contains(c.synonyms, plainTitle(title)) }

// plainTitle is a title in lower case, without what is neither letter nor digit:
// "E-Mail Address" is "emailaddress".
func plainTitle(title string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

func newReader(data []byte, separator rune) *csv.Reader {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma = separator
	r.FieldsPerRecord = -1
	r.TrimLeadingSpace = separator != '\t' // it would take tabs for space
	return r
}

// first is the first line that is not blank.
func first(r *csv.Reader) ([]string, error) {
	for {
		cells, err := r.Read()
		if cells = trimmed(cells); err != nil || !blank(cells) {
			return cells, err
		}
	}
}

// split returns all lines that are not blank, and what is wrong with others.
func split(data []byte, separator rune) (lines []row, wrong Errors) {
	r := newReader(data, separator)
	for {
		cells, err := r.Read()
		var misquoted *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return lines, wrong
		case errors.As(err, &misquoted):
			wrong = append(wrong, LineError{misquoted.StartLine, `its quotes do not match: a cell with quotes in it is written "so ""quoted"""`})
		case err != nil: // reading from memory has no other error
			return nil, append(wrong, LineError{1, err.Error()})
		default:
			if cells = trimmed(cells); !blank(cells) {
				line, _ := r.FieldPos(0)
				lines = append(lines, row{line, cells})
			}
		}
	}
}

func trimmed(cells []string) []string {
	for i, cell := range cells {
		cells[i] = strings.TrimSpace(cell)
	}
	return cells
}

func blank(cells []string) bool {
	return !slices.ContainsFunc(cells, func(cell string) bool { return cell != "" })
}
