package roster

import (
	"errors"
	"fmt"
	"strings"
)

// ErrEmpty: the file lists nobody.
var ErrEmpty = errors.New("the file has no lines but blank ones and a header")

// LineError is what is wrong with one line of a file.
type LineError struct {
	// Line counts from 1.
	Line int
	// What says what is wrong, and how to mend it.
	What string
}

func (e LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.What) }

// Errors are all that is wrong with a file, line by line.
type Errors []LineError

// mostShown is the number of lines that an error of many is about.
const mostShown = 20

// Error says the first of them, a line each.
func (e Errors) Error() string {
	lines := make([]string, 0, mostShown+1)
	for _, one := range e[:min(len(e), mostShown)] {
		lines = append(lines, one.Error())
	}
	if more := len(e) - mostShown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more lines", more))
	}
	return strings.Join(lines, "\n")
}

// orNil keeps an empty list from being an error.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
