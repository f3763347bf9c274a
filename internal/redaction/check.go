package redaction

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/secrets"
)

// Checked is a text that was searched for secrets.
type Checked struct {
	// Text is what may leave: the very slice that was given, if nothing was
	// replaced.
	Text []byte
	// Replaced says that something was.
	Replaced bool
	// Findings are the secrets, in the order in which they stand.
	Findings []exchange.Finding
	// Blocked says that a finding refuses the request.
	Blocked bool
}

// ErrUnchecked says that a text could not be searched. Whether it may leave says
// Conversation.Closed.
var ErrUnchecked = errors.New("the search for secrets failed")

// Body searches a request's body, which must be one JSON text in UTF-8, or empty:
// who reads anything else reads it in a way that is not known here. Developer says
// that the developer made the request, and not Codex on its own, to warm up.
func (c *Conversation) Body(body []byte, developer bool) (Checked, error) {
	if len(bytes.TrimLeft(body, blanks)) == 0 {
		return Checked{Text: body}, nil
	}
	return c.check("", developer, func() (secrets.Redaction, error) { return c.vault.Redact(body) })
}

// Text searches a text that leaves beside the body, such as a header's value: as
// JSON, if it is that. The place is how its findings' path says where it is.
func (c *Conversation) Text(place string, text []byte) (Checked, error) {
	return c.check(place, true, func() (secrets.Redaction, error) {
		if first := bytes.TrimLeft(text, blanks); len(first) > 0 && (first[0] == '{' || first[0] == '[' || first[0] == '"') {
			if found, err := c.vault.Redact(text); err == nil {
				return found, nil
			}
		}
		return c.vault.RedactText(text), nil // also what only looks like JSON
	})
}

// blanks are what may stand around a JSON value.
const blanks = " \t\r\n"

func (c *Conversation) check(place string, remember bool, redact func() (secrets.Redaction, error)) (Checked, error) {
	found, err := guarded(redact)
	if err != nil {
		return Checked{}, err
	}
	checked := Checked{Text: found.Body}
	for _, f := range found.Findings {
		finding := exchange.Finding{
			Rule: f.Rule, Fingerprint: f.Fingerprint, Mode: exchange.Reported,
			Path: within(place, f.Path), Offset: int64(f.At), New: f.New,
		}
		switch {
		case f.Mode == secrets.Block && f.New && c.bars(f.Fingerprint, found.Items, remember):
			finding.Mode, checked.Blocked = exchange.Blocked, true
		case f.Mode >= secrets.Redact:
			finding.Mode = exchange.Redacted
		}
		checked.Replaced = checked.Replaced || f.Placeholder != ""
		checked.Findings = append(checked.Findings, finding)
	}
	if c.home != nil && len(found.Findings)+found.Items > 0 {
		c.home.weigh(c)
	}
	return checked, nil
}

// within is where a finding is: at a path in the JSON of a place.
func within(place, path string) string {
	if place == "" || path == "" {
		return place + path
	}
	return place + ": " + path
}

// guarded runs a search. A panic must neither let a secret out nor end the process.
func guarded(redact func() (secrets.Redaction, error)) (found secrets.Redaction, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			// Only the runtime's own words are sure to quote nothing.
			what := fmt.Sprintf("%T", panicked)
			if said, ok := panicked.(runtime.Error); ok {
				what = said.Error()
			}
			err = fmt.Errorf("%w: it panicked: %s", ErrUnchecked, what)
		}
	}()
	if found, err = redact(); err != nil {
		return found, fmt.Errorf("%w: %w", ErrUnchecked, err)
	}
	return found, nil
}

// Keep returns the findings that an exchange keeps of all that it has: at most
// exchange.MostFindings, the new ones first when there are more.
func Keep(all []exchange.Finding) []exchange.Finding {
	if len(all) <= exchange.MostFindings {
		return all
	}
	slices.SortStableFunc(all, func(a, b exchange.Finding) int {
		switch {
		case a.New == b.New:
			return 0
		case a.New:
			return -1
		default:
			return 1
		}
	})
	return all[:exchange.MostFindings]
}
