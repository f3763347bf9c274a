package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// repository makes a repository of the files of this work tree, committed at a
// fixed date: the same commit wherever it is made.
func repository(t *testing.T) string {
	t.Helper()
	root, err := git(t.Context(), ".", "rev-parse", "--show-toplevel")
	if err != nil {
		t.Fatal(err)
	}
	names, err := git(t.Context(), root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(names, "\x00"), "\x00") {
		path := filepath.Join(root, name)
		info, err := os.Stat(path)
		if os.IsNotExist(err) {
			continue // removed, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, name), string(content), info.Mode())
	}
	gitDo(t, dir, "init", "--quiet")
	commit(t, dir)
	return dir
}

// smallRepository has one file, a go.mod, and one commit.
func smallRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "go.mod"), "module small\n\ngo 1.26.0\n", 0o644)
	gitDo(t, dir, "init", "--quiet")
	commit(t, dir)
	return dir
}

// commit commits all changes, as nobody and at a fixed date.
func commit(t *testing.T, dir string) {
	t.Helper()
	gitDo(t, dir, "add", "--all")
	gitDo(t, dir, "commit", "--quiet", "--allow-empty", "--message", "All of it")
}

// gitDo runs git without the settings of whoever runs the tests.
func gitDo(t *testing.T, dir string, args ...string) {
	t.Helper()
	_, err := output(t.Context(), dir, []string{
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull,
		"GIT_AUTHOR_NAME=alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_AUTHOR_DATE=" + commitDate,
		"GIT_COMMITTER_NAME=alice", "GIT_COMMITTER_EMAIL=alice@example.com", "GIT_COMMITTER_DATE=" + commitDate,
	}, "git", args...)
	if err != nil {
		t.Fatal(err)
	}
}

// commitDate is that of every commit in the tests; what is made of it says it in
// UTC.
const (
	commitDate    = "2026-02-16T12:30:00+02:00"
	commitDateUTC = "2026-02-16T10:30:00Z"
)

func writeFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
