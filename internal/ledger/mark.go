package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Mark is what somebody has made out about a secret that was seen.
type Mark struct {
	Fingerprint string
	As          MarkedAs
	// Note says why, in words; it may be empty.
	Note string
	// By is who marked it, and At when (UTC, to the millisecond).
	By string
	At time.Time
}

// MarkedAs is what a secret turned out to be.
type MarkedAs string

// What a secret can be marked as.
const (
	// Rotated: it was real, and has been replaced where it was issued.
	Rotated MarkedAs = "rotated"
	// FalsePositive: it is no secret. Conversations that begin from then on leave
	// it as it is, and tell nobody.
	FalsePositive MarkedAs = "false-positive"
	// Open takes a mark back.
	Open MarkedAs = "open"
)

// Marks keeps marks, one for a secret.
type Marks interface {
	// Mark keeps a mark in the place of the secret's earlier one; Open removes it.
	Mark(ctx context.Context, m Mark) error
	// Marks returns all marks, in any order.
	Marks(ctx context.Context) ([]Mark, error)
}

const (
	// mostNote is how long a note may be, in bytes.
	mostNote          = 500
	fingerprintDigits = 32
)

// Validate returns what is wrong with a mark.
func (m Mark) Validate() error {
	switch m.As {
	case Rotated, FalsePositive, Open:
	default:
		return fmt.Errorf("a secret cannot be marked %q: mark it rotated, false-positive or open", m.As)
	}
	if len(m.Fingerprint) != fingerprintDigits || strings.Trim(m.Fingerprint, "0123456789abcdef") != "" {
		return fmt.Errorf("%q is no fingerprint: it has %d hexadecimal digits, as 'codex-proxy secrets list --json' prints them", m.Fingerprint, fingerprintDigits)
	}
	if len(m.Note) > mostNote {
		return fmt.Errorf("the note is %d bytes long: write at most %d", len(m.Note), mostNote)
	}
	if !utf8.ValidString(m.Note) {
		return errors.New("the note is not UTF-8 text")
	}
	return nil
}

// FalsePositives returns the fingerprints that are marked as such, sorted.
func FalsePositives(marks []Mark) []string {
	var all []string
	for _, m := range marks {
		if m.As == FalsePositive {
			all = append(all, m.Fingerprint)
		}
	}
	slices.Sort(all)
	return all
}
