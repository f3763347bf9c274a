package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/roster"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/sqlite"
)

// command runs the program as main does and returns what it printed.
func command(t *testing.T, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), code
}

func TestTenThousandDevelopersAreImported(t *testing.T) {
	const many = 10_000
	var list strings.Builder
	list.WriteString("email,name,team\r\n")
	for i := range many {
		fmt.Fprintf(&list, "dev%05d@example.com,\"Developer, %d\",team %d\r\n", i, i, i%40)
	}
	directory := t.TempDir()
	data, out := filepath.Join(directory, "data"), filepath.Join(directory, "tokens.csv")
	stdout, stderr, code := command(t, list.String(), "developer", "import", "-", "--out", out, "--data", data)
	if code != 0 || !strings.Contains(stdout, "Developers: 10,000 added.") {
		t.Fatalf("the import exited with %d and said %.500q %.500q", code, stdout, stderr)
	}
	if want := "40 teams are new and set no limits yet: team 0, team 1,"; !strings.Contains(stderr, want) || !strings.Contains(stderr, " and 30 more; ") {
		t.Errorf("the import said %q, want %q", stderr, want)
	}
	file, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil || len(lines) != 1+many {
		t.Fatalf("the file of tokens has %d lines, %v", len(lines), err)
	}
	store, err := sqlite.OpenDevelopers(t.Context(), filepath.Join(data, "developers.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, line := range [][]string{lines[1], lines[many/2], lines[many]} {
		grant, err := store.Grant(t.Context(), developer.Token(line[3]).Hash())
		if err != nil || grant.Holder.ID != line[0] || grant.Holder.Name != line[1] || grant.Holder.Team != line[2] || grant.ID != line[4] {
			t.Errorf("the token of %s is granted to %+v, %v", line[0], grant.Holder, err)
		}
	}

	stdout, stderr, code = command(t, list.String()+"new@example.com,,\r\n", "developer", "import", "-", "--json", "--data", data)
	var second struct {
		Added, Unchanged int
		Tokens           []struct{ Developer, Token string }
	}
	if err := json.Unmarshal([]byte(stdout), &second); err != nil || code != 0 {
		t.Fatalf("the second import exited with %d, %v: %s", code, err, stderr)
	}
	if second.Added != 1 || second.Unchanged != many || len(second.Tokens) != 1 || second.Tokens[0].Developer != "new@example.com" {
		t.Errorf("the second import has added %d with %d tokens and left %d", second.Added, len(second.Tokens), second.Unchanged)
	}
}

func TestARunningServerTakesUpARosterAndCutsOffWhoIsMissing(t *testing.T) {
	stall := simulated.Stall("an answer that does not end by itself", 3)
	_, upstream := simulatedUpstream(t, simulated.Options{Always: &stall})
	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	s := startServer(t, t.TempDir(), "serve", "--upstream", upstream)
	directory := t.TempDir()
	all, cut := filepath.Join(directory, "all.csv"), filepath.Join(directory, "cut.csv")
	if err := errors.Join(os.WriteFile(all, []byte("alice\nbob\ncarol\n"), 0o600), os.WriteFile(cut, []byte("alice\ncarol\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var added struct {
		Tokens []struct{ Developer, Token string }
	}
	if err := json.Unmarshal([]byte(s.command("developer", "sync", all, "--yes", "--json")), &added); err != nil || len(added.Tokens) != 3 {
		t.Fatalf("sync has made %d tokens, %v", len(added.Tokens), err)
	}
	bob := added.Tokens[1]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.address+"/v1/responses", strings.NewReader(`{"model":"gpt-5.1-codex","stream":true,"input":"hello"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+bob.Token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("bob, who was just added, got %s", response.Status)
	}
	s.command("developer", "sync", cut, "--yes")
	_, _ = io.Copy(io.Discard, response.Body) // ends in one way or another
	if ctx.Err() != nil {
		t.Error("the running answer did not end")
	}
	if again := s.ask(http.DefaultClient, "http", bob.Token); again.StatusCode != http.StatusUnauthorized {
		t.Errorf("bob, who is not in the roster any more, got %s", again.Status)
	}
}

func TestAFileOfTokensIsTakenOverByAnotherInstallation(t *testing.T) {
	directory := t.TempDir()
	first, second, out := filepath.Join(directory, "first"), filepath.Join(directory, "second"), filepath.Join(directory, "tokens.csv")
	for _, args := range [][]string{
		{"developer", "import", "-", "--out", out, "--data", first},
		{"developer", "import", out, "--no-tokens", "--data", second},
		{"token", "import", out, "--data", second},
	} {
		if _, stderr, code := command(t, "alice@example.com,Alice,core\nbob", args...); code != 0 {
			t.Fatalf("%s exited with %d: %s", args, code, stderr)
		}
	}
	var lists [2][]tokenRow
	for i, data := range []string{first, second} {
		stdout, _, _ := command(t, "", "token", "list", "--json", "--data", data)
		if err := json.Unmarshal([]byte(stdout), &lists[i]); err != nil {
			t.Fatal(err)
		}
	}
	if len(lists[0]) != 2 || len(lists[1]) != 2 || lists[0][0].ID != lists[1][0].ID || lists[0][1].ID != lists[1][1].ID {
		t.Errorf("the tokens of the first are %+v, of the second %+v", lists[0], lists[1])
	}
}

func TestTokensAreKeptOutOfGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	directory := t.TempDir()
	work := filepath.Join(directory, "work")
	for path, text := range map[string]string{"work/.gitignore": "/private/\n*.csv\n", "work/private/.keep": "", "work/sub/.keep": ""} {
		path = filepath.Join(directory, filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), git, "init", "--quiet", work).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v: %s", err, out)
	}
	if err := os.Symlink(filepath.Join(work, "sub"), filepath.Join(directory, "link")); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	t.Setenv("GIT_DIR", filepath.Join(directory, "elsewhere")) // as in a hook
	for _, c := range []struct {
		out     string
		refused string
		noGit   bool
	}{
		{"tokens.json", "", false},
		{"work/tokens.json", "is inside the git work tree", false},
		{"work/sub/tokens.json", "is inside the git work tree", false},
		{"link/tokens.json", "is inside the git work tree", false},
		{"work/.git/tokens.json", "git does not say whether it is ignored", false},
		{"work/private/tokens.json", "", false},
		{"work/tokens.csv", "", false},
		{"work/sub/more.csv", "there is no git to ask", true},
		{"outside.csv", "", true},
	} {
		t.Run(fmt.Sprintf("%s %v", c.out, c.noGit), func(t *testing.T) {
			if c.noGit {
				t.Setenv("PATH", "")
			}
			out, data := filepath.Join(directory, filepath.FromSlash(c.out)), t.TempDir()
			_, stderr, code := command(t, "alice@example.com", "developer", "import", "-", "--out", out, "--data", data)
			_, err := os.Stat(out)
			if c.refused == "" {
				if code != 0 || err != nil {
					t.Errorf("the import exited with %d, %v: %s", code, err, stderr)
				}
				return
			}
			if code != 1 || !strings.Contains(stderr, c.refused) || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the import exited with %d and said %q; the file: %v", code, stderr, err)
			}
			if list, _, _ := command(t, "", "developer", "list", "--json", "--data", data); strings.TrimSpace(list) != "[]" {
				t.Errorf("the import was refused, and yet there are %s", list)
			}
		})
	}
}

// unlucky is a store on which something happens before a batch is done.
type unlucky struct {
	register
	before func() error
	token  error
}

func (s unlucky) ApplyBatch(ctx context.Context, batch developer.Batch) error {
	if err := s.before(); err != nil {
		return err
	}
	return s.register.ApplyBatch(ctx, batch)
}

func (s unlucky) Token(ctx context.Context, id string) (developer.TokenInfo, error) {
	if s.token != nil {
		return developer.TokenInfo{}, s.token
	}
	return s.register.Token(ctx, id)
}

func TestAFileOfTokensOutlivesOnlyWhatMayHaveBeenDone(t *testing.T) {
	for name, c := range map[string]struct {
		race    bool  // somebody else adds the same developer
		outcome error // of the batch
		token   error // of asking for a token afterwards
		want    string
		kept    bool
	}{
		"done":                              {kept: true},
		"somebody else was there first":     {race: true, want: "nothing was changed; run this again"},
		"the store fails":                   {outcome: errors.New("disk gone"), want: "disk gone"},
		"the store fails, and says no more": {outcome: errors.New("disk gone"), token: errors.New("still gone"), want: "is not known", kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			var out, errs bytes.Buffer
			console := &console{ctx: t.Context(), settings: &Settings{Data: directory}, stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
			cmd := rosterFlags{Out: filepath.Join(directory, "tokens.json")}
			err := withRegister(console, own, func(store register) error {
				list, err := roster.Read(strings.NewReader("alice\nbob\n"))
				if err != nil {
					return err
				}
				_, err = cmd.apply(console, unlucky{store, func() error {
					if !c.race {
						return c.outcome
					}
					bob, err := developer.New("bob", "", "", now())
					return errors.Join(err, store.AddDeveloper(t.Context(), bob))
				}, c.token}, roster.PlanImport(list, nil, false, now()), "http://127.0.0.1:8080/v1")
				return err
			})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error: %v, want one with %q", err, c.want)
			}
			if _, err := os.Stat(cmd.Out); (err == nil) != c.kept {
				t.Errorf("the file of tokens: %v, want it kept: %v", err, c.kept)
			}
			list, _, _ := command(t, "", "developer", "list", "--json", "--data", directory)
			if strings.Contains(list, `"alice"`) != (c.want == "") {
				t.Errorf("there are the developers %s", list)
			}
		})
	}
}

func TestAListThatIsNoUTF8ChangesNothing(t *testing.T) {
	data := t.TempDir()
	for name, text := range map[string]string{"UTF-16": "\xff\xfea\x00,\x00", "Latin-1": "alice,Z\xf6e\n"} {
		for _, args := range [][]string{{"developer", "import"}, {"developer", "sync", "--yes"}, {"token", "import"}} {
			_, stderr, code := command(t, text, append(args, "-", "--data", data)...)
			if code != 2 || !strings.Contains(stderr, "nothing was changed") || !strings.Contains(stderr, "CSV UTF-8") {
				t.Errorf("%s, %s: exited with %d and said %q", name, args, code, stderr)
			}
		}
	}
}
