package script

import (
	"fmt"
	"regexp"
	"strings"
)

// The names that Codex's provider has unless the settings say otherwise.
const (
	// OpenAI is the one name whose provider Codex takes for OpenAI itself: it offers
	// web search and lets the provider compact a session.
	OpenAI = "OpenAI"
	// AnyProvider stands for what may lack both. Codex then searches nothing, and
	// compacts by a request of the ordinary kind.
	AnyProvider = "codex-proxy"
)

var plainName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,62}[A-Za-z0-9._-])?$`)

// CheckProviderName accepts a name that a provider can have in the scripts: it means
// nothing in a shell or in TOML, and is not mistaken for OpenAI.
func CheckProviderName(name string) error {
	switch {
	case !plainName.MatchString(name):
		return fmt.Errorf("%q is not a plain name of up to 64 letters, digits, blanks, dots, hyphens and underscores", name)
	case name != OpenAI && strings.EqualFold(name, OpenAI):
		return fmt.Errorf("%q is another name to Codex than %q: write %[2]q, or a name that is not like it", name, OpenAI)
	}
	return nil
}
