package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"codex-proxy/internal/developer"
)

// tokenFile is the path of a file that is to take new tokens for handing them
// out; its extension says the format.
type tokenFile string

// check returns why the file cannot be made here, before anything is done.
func (f tokenFile) check(ctx context.Context) error {
	switch filepath.Ext(string(f)) {
	case ".json", ".csv":
	default:
		return misuse("--out %s: the file's name must end in .json or .csv, which says the format", f)
	}
	if _, err := os.Lstat(string(f)); err == nil {
		return fmt.Errorf("--out %s exists already, and a file of tokens is never overwritten: name another, or move it away", f)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--out: %w", err)
	}
	directory, err := filepath.Abs(filepath.Dir(string(f)))
	if err == nil {
		directory, err = filepath.EvalSymlinks(directory)
	}
	if err != nil {
		return fmt.Errorf("--out: its directory: %w", err)
	}
	return checkNotInGit(ctx, directory, filepath.Base(string(f)))
}

// checkNotInGit returns an error unless the file is outside every git work tree
// or git ignores it, so that tokens are not committed by a slip of the hand.
func checkNotInGit(ctx context.Context, directory, name string) error {
	root := directory
	for {
		if _, err := os.Lstat(filepath.Join(root, ".git")); err == nil {
			break
		}
		above := filepath.Dir(root)
		if above == root {
			return nil
		}
		root = above
	}
	const remedy = "name a file outside of it, or have git ignore this one"
	git, err := exec.LookPath("git")
	if err != nil {
		return fmt.Errorf("--out %s is inside the git work tree %s, where tokens could be committed, and there is no git to ask whether it is ignored: name a file outside of it", name, root)
	}
	asked, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	check := exec.CommandContext(asked, git, "check-ignore", "--quiet", "--", name)
	check.Dir = directory
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "GIT_") { // these would name another work tree
			check.Env = append(check.Env, variable)
		}
	}
	var said strings.Builder
	check.Stderr = &said
	err = check.Run()
	var failed *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed) && failed.ExitCode() == 1:
		return fmt.Errorf("--out %s is inside the git work tree %s, where tokens could be committed: %s", name, root, remedy)
	}
	return fmt.Errorf("--out %s is inside the git work tree %s, and git does not say whether it is ignored (%w: %s): %s", name, root, err, strings.TrimSpace(said.String()), remedy)
}

// write makes the file, for its owner alone, and has it on disk when it returns.
func (f tokenFile) write(tokens []handout) error {
	file, err := os.OpenFile(string(f), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make the file of tokens: %w", err)
	}
	encode := encodeTokensJSON
	if filepath.Ext(string(f)) == ".csv" {
		encode = encodeTokensCSV
	}
	err = errors.Join(encode(file, tokens), file.Sync(), file.Close(), syncDirectory(filepath.Dir(string(f))))
	if err != nil {
		return errors.Join(fmt.Errorf("write the file of tokens: %w", err), os.Remove(string(f)))
	}
	return nil
}

// syncDirectory has the names of a directory's files on disk. Windows does so by
// itself, and cannot be asked to.
func syncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// withdraw removes the file once its tokens were not kept. Where the store
// cannot say that it does not have them, the file stays: it may be all there is.
func (f tokenFile) withdraw(ctx context.Context, store developer.Store, tokens []handout) error {
	if _, err := store.Token(context.WithoutCancel(ctx), tokens[0].TokenID); !errors.Is(err, developer.ErrNotFound) {
		return fmt.Errorf("whether the tokens in %s were kept is not known: 'codex-proxy token list' shows it; remove the file if they were not", f)
	}
	return os.Remove(string(f))
}

// handout is a new token with what whoever hands it out needs to know.
type handout struct {
	*issuedRow
	Name string `json:"name"`
	Team string `json:"team"`
}

func encodeTokensJSON(w io.Writer, tokens []handout) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(tokens)
}

func encodeTokensCSV(w io.Writer, tokens []handout) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"developer", "name", "team", "token", "token_id", "expires", "base_url"}) // what fails, Error says
	for _, t := range tokens {
		_ = out.Write(rows([]string{t.Developer, t.Name, t.Team, t.Token, t.TokenID, formatted(t.Expires, time.RFC3339), t.BaseURL}, noFormula))
	}
	out.Flush()
	return out.Error()
}
