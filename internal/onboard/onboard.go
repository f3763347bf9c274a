// Package onboard is the developer's side: it makes the Codex of one machine use
// the proxy, checks that it does, and takes it all back.
//
// Setting up is an edit of Codex's config.toml that keeps every byte which is
// not its own, and is undone byte for byte. What it leaves is stated case by case
// in testdata/cases, to which the shell scripts are held as well. The package
// knows of the proxy only what any client sees: GET /whoami, GET /setup.json and
// the API itself.
package onboard

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Home is the directory of Codex's own files: $CODEX_HOME, or ~/.codex.
type Home string

// FindHome returns the directory that Codex would use, given how to look up a
// variable of the environment. It need not exist.
func FindHome(getenv func(string) string) (Home, error) {
	if dir := getenv("CODEX_HOME"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("find CODEX_HOME: %w", err)
		}
		return Home(abs), nil
	}
	user, err := userHome(getenv)
	if err != nil {
		return "", err
	}
	return Home(filepath.Join(user, ".codex")), nil
}

// SystemDirectory is where the machine's own configuration of Codex lies.
func SystemDirectory(getenv func(string) string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(getenv("ProgramData"), "OpenAI", "Codex")
	}
	return "/etc/codex"
}

// userHome is the developer's home directory.
func userHome(getenv func(string) string) (string, error) {
	name := "HOME"
	if runtime.GOOS == "windows" {
		name = "USERPROFILE"
	}
	dir := getenv(name)
	if dir == "" {
		return "", fmt.Errorf("there is no home directory: the variable %s is not set; set it, or CODEX_HOME", name)
	}
	return filepath.Abs(dir)
}

// Config is Codex's configuration file.
func (h Home) Config() string { return filepath.Join(string(h), "config.toml") }

// TokenFile is where setting up puts the proxy token.
func (h Home) TokenFile() string { return filepath.Join(string(h), "codex-proxy-token") }

// Auth is where Codex keeps what it was logged in with.
func (h Home) Auth() string { return filepath.Join(string(h), "auth.json") }

// ReadConfig returns the configuration file, and nil when there is none.
func (h Home) ReadConfig() ([]byte, error) {
	config, err := os.ReadFile(h.Config())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil && config == nil {
		config = []byte{}
	}
	return config, err
}

// PrintCommand is the command by which Codex gets the token: it prints the file.
func PrintCommand(file string) []string {
	if runtime.GOOS == "windows" {
		return []string{"cmd", "/d", "/c", "type", file}
	}
	return []string{"cat", file}
}
