package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/semver"
)

func TestATreeWithChangesIsNotReleased(t *testing.T) {
	dir := smallRepository(t)
	gitDo(t, dir, "tag", "v1.2.3")
	writeFile(t, filepath.Join(dir, "new"), "2\n", 0o644)
	err := release(t.Context(), options{source: dir, baseURL: exampleURL, log: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "changes that are in no commit (the first: ?? new)") {
		t.Errorf("a release with a change: %v", err)
	}
}

func TestACommitWithoutAVersionIsNotReleased(t *testing.T) {
	dir := smallRepository(t)
	for _, tag := range []string{"nightly", "v1.2", "1.2.3", "v1.2.3+more"} {
		gitDo(t, dir, "tag", tag)
	}
	err := release(t.Context(), options{source: dir, baseURL: exampleURL, log: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "no tag of a version") {
		t.Errorf("a release without a tag: %v", err)
	}
}

func TestAReleaseNeedsAnAddressToDownloadFrom(t *testing.T) {
	err := release(t.Context(), options{source: t.TempDir(), log: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "--base-url") {
		t.Errorf("a release without an address: %v", err)
	}
}

func TestAReleaseIsCalledAsItsHighestTag(t *testing.T) {
	dir := smallRepository(t)
	for _, tag := range []string{"v1.10.0-rc.1", "v1.9.0", "v1.10.0", "nightly"} {
		gitDo(t, dir, "tag", tag)
	}
	src, err := readSource(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if src.version != "1.10.0" {
		t.Errorf("the version is %s, not 1.10.0", src.version)
	}
}

func TestASnapshotSortsBetweenTheLastTagAndTheNext(t *testing.T) {
	for last, next := range map[string]string{
		"":            "v0.0.0",
		"v1.2.9":      "v1.2.10",
		"v1.3.0-rc.1": "v1.3.0-rc.2",
	} {
		dir := smallRepository(t)
		if last != "" {
			gitDo(t, dir, "tag", last)
		}
		commit(t, dir)
		src, err := readSource(t.Context(), dir, true)
		if err != nil {
			t.Fatal(err)
		}
		got := "v" + src.version
		if !semver.IsValid(got) || semver.Compare(last, got) >= 0 || semver.Compare(got, next) >= 0 {
			t.Errorf("a snapshot after %q and before %q is called %q", last, next, got)
		}

		writeFile(t, filepath.Join(dir, "go.mod"), "module changed\n\ngo 1.26.0\n", 0o644)
		changed, err := readSource(t.Context(), dir, true)
		if err != nil {
			t.Fatal(err)
		}
		if changed.version != src.version+".modified" {
			t.Errorf("a snapshot of a changed tree is called %q, that of the commit %q", changed.version, src.version)
		}
	}
}
