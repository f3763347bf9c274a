package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptCommands are what scripts can say beyond testscript's own commands.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"archive": scriptArchive,
	"exits":   scriptExits,
	"keep":    scriptKeep,
	"nowhere": scriptNowhere,
	"sql":     scriptSQL,
}

// scriptSetup gives scripts an escape character to try where text is expected, and
// lets their first command make the installation.
func scriptSetup(env *testscript.Env) error {
	env.Setenv("ESCAPE", "\x1b")
	env.Setenv("CODEX_PROXY_INIT", "true")
	return nil
}

// scriptSQL runs SQL on a database: sql FILE STATEMENTS. It prints the first value.
func scriptSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENTS")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	var value string
	if err := db.QueryRow(args[1]).Scan(&value); !errors.Is(err, sql.ErrNoRows) {
		ts.Check(err)
	}
	ts.Check(db.Close())
	_, err = fmt.Fprintln(ts.Stdout(), value)
	ts.Check(err)
}

// scriptExits runs a command that must end with an exit code: exits 2 codex-proxy …
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// scriptKeep keeps the token that the last command printed as JSON in $token,
// and its public id in $id: keep token. Where it printed another thing, its id
// alone is kept: keep id
func scriptKeep(ts *testscript.TestScript, neg bool, args []string) {
	if !neg && len(args) == 1 && args[0] == "id" {
		var made struct{ ID string }
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &made))
		if made.ID == "" {
			ts.Fatalf("the last command printed no id")
		}
		ts.Setenv("id", made.ID)
		return
	}
	if neg || len(args) != 1 || args[0] != "token" {
		ts.Fatalf("usage: keep token|id")
	}
	var issued struct {
		Token string `json:"token"`
		ID    string `json:"token_id"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &issued))
	if issued.Token == "" || issued.ID == "" {
		ts.Fatalf("the last command printed no token")
	}
	ts.Setenv("token", issued.Token)
	ts.Setenv("id", issued.ID)
}

// scriptNowhere checks that no file under a directory holds $token, nor its
// secret part: nowhere data
func scriptNowhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nowhere DIRECTORY")
	}
	token := ts.Getenv("token")
	secret := token[strings.LastIndex(token, "_")+1:]
	if len(secret) < 20 {
		ts.Fatalf("there is no token to look for: keep token first")
	}
	files := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(content), secret[:20]) {
			ts.Fatalf("%s holds the token", entry.Name())
		}
		return err
	}))
	if files == 0 {
		ts.Fatalf("there are no files in %s", args[0])
	}
}
