package onboard

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

// Leftover is something on the machine that leads past the proxy, or seems to.
type Leftover struct {
	// Place is a variable of the environment, a file, or a file and its line.
	Place string
	// Why says what it does.
	Why string
}

func (l Leftover) String() string { return l.Place + ": " + l.Why }

// leftoverVariables are what earlier installations have set.
var leftoverVariables = []struct{ name, why string }{
	{"OPENAI_API_KEY", "a key of OpenAI's own: Codex, when another provider is chosen, and other tools go round the proxy with it. Remove it"},
	{"OPENAI_BASE_URL", "the current Codex does not read it, so it only misleads. Remove it"},
}

// profiles are the files in which a shell's environment is set, below the
// developer's home directory.
var profiles = []string{
	".profile", ".bashrc", ".bash_profile", ".zshrc", ".zprofile", ".config/fish/config.fish",
	"Documents/PowerShell/profile.ps1", "Documents/PowerShell/Microsoft.PowerShell_profile.ps1",
	"Documents/WindowsPowerShell/profile.ps1", "Documents/WindowsPowerShell/Microsoft.PowerShell_profile.ps1",
	".config/powershell/profile.ps1", ".config/powershell/Microsoft.PowerShell_profile.ps1",
}

// assignment is a line of a shell's profile that puts one of the variables into
// the environment: export (sh, bash, zsh), set -x (fish), $env: (PowerShell).
var assignment = regexp.MustCompile(`^\s*(?:export\s+(?:\w+=\S*\s+)*|set\s+(?:-\S+\s+)*-\w*x\w*\s+(?:-\S+\s+)*|set\s+(?:-\S+\s+)*--export\s+|\$env:)(OPENAI_API_KEY|OPENAI_BASE_URL)\b`)

// FindLeftovers looks for what an earlier installation left in the environment,
// in the shells' profiles and in Codex's own login. It changes nothing, and shows
// no value.
func FindLeftovers(home Home, getenv func(string) string) []Leftover {
	var found []Leftover
	why := map[string]string{}
	for _, v := range leftoverVariables {
		why[v.name] = v.why
		if getenv(v.name) != "" {
			found = append(found, Leftover{"the environment variable " + v.name, v.why})
		}
	}
	if user, err := userHome(getenv); err == nil {
		for _, profile := range profiles {
			found = append(found, findIn(filepath.Join(user, filepath.FromSlash(profile)), why)...)
		}
	}
	var auth struct {
		Key string `json:"OPENAI_API_KEY"`
	}
	if raw, err := os.ReadFile(home.Auth()); err == nil && json.Unmarshal(raw, &auth) == nil && auth.Key != "" {
		found = append(found, Leftover{home.Auth(), "Codex is logged in with an API key, which it uses when another provider is chosen. 'codex logout' removes it"})
	}
	return found
}

func findIn(file string, why map[string]string) []Leftover {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var found []Leftover
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for line := 1; lines.Scan(); line++ {
		if m := assignment.FindStringSubmatch(lines.Text()); m != nil {
			found = append(found, Leftover{fmt.Sprintf("%s, line %d", file, line), m[1] + " is set: " + why[m[1]]})
		}
	}
	return found
}

// IsPrivate tells whether nobody but its owner can read a file. On Windows a
// file's mode does not say.
func IsPrivate(info os.FileInfo) bool {
	return runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0
}
