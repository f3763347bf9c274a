package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(built{m}, map[string]func(){
		"codex-proxy": func() {
			os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// built runs the tests with the program as people have it: scripts start hundreds of
// processes, of which each takes half a second longer under the race detector, which
// has next to nothing to look at in them.
type built struct{ *testing.M }

// Run builds the program, which scripts find before the one of testscript.
func (m built) Run() int {
	dir, err := os.MkdirTemp("", "codex-proxy-scripts")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build codex-proxy:", err)
		return 1
	}
	if err := os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.Setenv("CODEX_PROXY_INIT", "true"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.M.Run()
}

// TestCommands runs the command line as a person does: every script under
// testdata/script is a short session in a directory of its own.
func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: scriptCommands, Setup: scriptSetup, Condition: storeIs("sqlite")})
}
