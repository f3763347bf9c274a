// Package access says who looks at the console, and what each role may do there.
package access

import (
	"fmt"
	"slices"
)

// Role is what somebody may do in the console and with its API.
type Role string

// The roles, each of which may be given to several people.
const (
	// Admin sees and changes everything; what others wrote, for a stated reason.
	Admin Role = "admin"
	// Auditor sees everything and changes nothing; what others wrote, for a stated
	// reason.
	Auditor Role = "auditor"
	// Finance sees everybody's numbers, and nothing that anybody wrote.
	Finance Role = "finance"
	// Developer sees their own numbers and what they wrote, and nobody else's.
	Developer Role = "developer"
)

// ParseRole reads a role's name.
func ParseRole(name string) (Role, error) {
	roles := []Role{Admin, Auditor, Finance, Developer}
	if role := Role(name); slices.Contains(roles, role) {
		return role, nil
	}
	return "", fmt.Errorf("%q is no role: they are %v", name, roles)
}

// Viewer is who looks at a page or calls the API.
type Viewer struct {
	// Name is who it is: an e-mail address, or an administrator's name.
	Name string
	Role Role
	// Only is the one developer whose exchanges they see, numbers too; empty for
	// those who see everyone's.
	Only string
	// Pseudonyms says that they see developers under pseudonyms.
	Pseudonyms bool
}

// Changes reports whether the viewer may change developers, tokens and settings.
func (v Viewer) Changes() bool { return v.Role == Admin }

// Lists reports whether the viewer may see which sessions, exchanges and findings
// there are: all or, where Only is set, their own.
func (v Viewer) Lists() bool { return v.Role == Admin || v.Role == Auditor || v.Role == Developer }

// Reads reports whether the viewer may read what a developer wrote: their own
// freely, that of others for a reason that is put on record.
func (v Viewer) Reads(developer string) bool {
	switch v.Role {
	case Admin, Auditor:
		return true
	case Developer:
		return developer == v.Only
	}
	return false
}
