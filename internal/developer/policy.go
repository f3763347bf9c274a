package developer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// DefaultTeam is the team of developers for whom none was named. It always
// exists.
const DefaultTeam = "default"

// Team is a named group of developers that shares policy and budget. It exists
// from the moment a developer belongs to it or a policy was set for it.
type Team struct {
	Name   string
	Policy Policy
	// Developers is the number of developers who belong to the team.
	Developers int
	Updated    time.Time
}

// Policy is what the developers of a team may do. The zero policy allows all.
type Policy struct {
	// Models are the models that may be used, as patterns in which * stands for
	// any text; none means all.
	Models []string
	// DeveloperBudgetNanos and TeamBudgetNanos are what one developer, and all
	// developers of the team together, may spend in a calendar month (UTC), in
	// USD nanos; 0 means no budget.
	DeveloperBudgetNanos int64
	TeamBudgetNanos      int64
	// RequestsPerMinute and ConcurrentStreams are limits per developer; 0 means
	// no limit.
	RequestsPerMinute int
	ConcurrentStreams int
	// Contact says whom to ask; it is shown in refusals and may be empty.
	Contact string
}

// Allows tells whether the policy lets a model be used, by the name that the
// request gives.
func (p Policy) Allows(model string) bool {
	if len(p.Models) == 0 {
		return true
	}
	for _, pattern := range p.Models {
		if match(pattern, model) {
			return true
		}
	}
	return false
}

var modelPattern = regexp.MustCompile(`^[A-Za-z0-9._:/*-]{1,128}$`)

// Validate returns an error that says which part of the policy cannot be meant.
func (p Policy) Validate() error {
	if len(p.Models) > 100 {
		return fmt.Errorf("a policy names at most 100 models, not %d: use patterns such as gpt-5*", len(p.Models))
	}
	for _, pattern := range p.Models {
		if !modelPattern.MatchString(pattern) {
			return fmt.Errorf("%q cannot be a model: use its name, or a pattern such as gpt-5*", shorten(pattern))
		}
	}
	if p.DeveloperBudgetNanos < 0 || p.TeamBudgetNanos < 0 {
		return errors.New("a budget cannot be negative: 0 means none")
	}
	if p.RequestsPerMinute < 0 || p.ConcurrentStreams < 0 {
		return errors.New("a limit cannot be negative: 0 means none")
	}
	return checkText("contact", p.Contact, 200)
}

// CheckTeamName returns an error when name cannot name a team.
func CheckTeamName(name string) error {
	if name == "" {
		return errors.New("a team needs a name")
	}
	return checkText("team", name, 64)
}

// match tells whether text has the shape of pattern, where * stands for any
// text, the empty one included. It never looks at a character of text more than
// once per *.
func match(pattern, text string) bool {
	first, rest, starred := strings.Cut(pattern, "*")
	if !starred {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		if _, text, ok = strings.Cut(text, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(text, last)
}
