package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// source is the work tree that is released, and what it is called.
type source struct {
	// dir is the root of the work tree.
	dir string
	// version is a semantic version without the v that tags begin with.
	version string
	commit  string
	// date is the commit's, in UTC: the only time that artifacts know.
	date time.Time
	// toolchain is the version of Go that go.mod names, such as go1.26.8.
	toolchain string
}

// readSource names the work tree at dir. For a release that is its tag, of a
// tree without changes; for a snapshot, a version between the last tag and the
// next.
func readSource(ctx context.Context, dir string, snapshot bool) (source, error) {
	root, err := git(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return source{}, err
	}
	src := source{dir: root}
	if src.commit, err = git(ctx, root, "rev-parse", "HEAD"); err != nil {
		return source{}, err
	}
	stamp, err := git(ctx, root, "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return source{}, err
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return source{}, fmt.Errorf("the date of the commit is %q, not a number of seconds", stamp)
	}
	src.date = time.Unix(seconds, 0).UTC()
	if src.toolchain, err = toolchain(ctx, root); err != nil {
		return source{}, err
	}
	if snapshot {
		src.version, err = snapshotVersion(ctx, src)
	} else {
		src.version, err = releaseVersion(ctx, src)
	}
	return src, err
}

// releaseVersion is the highest version among the tags of the commit.
func releaseVersion(ctx context.Context, src source) (string, error) {
	changes, err := git(ctx, src.dir, "status", "--porcelain")
	if err != nil {
		return "", err
	}
	if changes != "" {
		first, _, _ := strings.Cut(changes, "\n")
		return "", fmt.Errorf("the work tree has changes that are in no commit (the first: %s): commit or remove them, or make a snapshot (--snapshot)", strings.TrimSpace(first))
	}
	tags, err := git(ctx, src.dir, "tag", "--points-at", "HEAD")
	if err != nil {
		return "", err
	}
	if highest := highestVersion(tags); highest != "" {
		return highest, nil
	}
	return "", fmt.Errorf("no tag of a version (such as v1.2.3) is on commit %.12s: tag it, or make a snapshot (--snapshot)", src.commit)
}

// snapshotVersion sorts after the last tag and before the next release, and
// among snapshots by the commit's date, in whatever compares versions.
func snapshotVersion(ctx context.Context, src source) (string, error) {
	tags, err := git(ctx, src.dir, "tag", "--merged", "HEAD")
	if err != nil {
		return "", err
	}
	version := fmt.Sprintf("%ssnapshot.%s.g%.10s", following(highestVersion(tags)), src.date.Format("20060102150405"), src.commit)
	changes, err := git(ctx, src.dir, "status", "--porcelain")
	if err != nil {
		return "", err
	}
	if changes != "" {
		version += ".modified"
	}
	return version, nil
}

// following begins the snapshots that follow a version: 1.2.3-rc.1.snapshot
// follows 1.2.3-rc.1, and 1.2.4-snapshot follows 1.2.3.
func following(version string) string {
	if version == "" {
		return "0.0.0-"
	}
	if strings.Contains(version, "-") {
		return version + "."
	}
	dot := strings.LastIndexByte(version, '.')
	patch, _ := strconv.Atoi(version[dot+1:]) // a valid version has a number there
	return version[:dot+1] + strconv.Itoa(patch+1) + "-"
}

// highestVersion returns the highest of the tags that are whole semantic
// versions, such as v1.2.3 or v1.3.0-rc.1, without its v; empty if none is.
func highestVersion(tags string) string {
	highest := ""
	for tag := range strings.FieldsSeq(tags) {
		// Canonical is shorter or longer for v1.2 and for build metadata, which
		// neither Debian nor Go's modules take in a version.
		if semver.IsValid(tag) && semver.Canonical(tag) == tag && semver.Compare(tag, highest) > 0 {
			highest = tag
		}
	}
	return strings.TrimPrefix(highest, "v")
}

// toolchain is the version of Go that go.mod names.
func toolchain(ctx context.Context, dir string) (string, error) {
	out, err := output(ctx, dir, nil, "go", "mod", "edit", "-json")
	if err != nil {
		return "", err
	}
	var mod struct{ Go, Toolchain string }
	if err := json.Unmarshal([]byte(out), &mod); err != nil {
		return "", fmt.Errorf("read go.mod: %w", err)
	}
	if mod.Toolchain == "" {
		return "go" + mod.Go, nil
	}
	return mod.Toolchain, nil
}

// git runs git in dir and returns what it prints.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	return output(ctx, dir, nil, "git", args...)
}

// output runs a program in dir, with extra variables, and returns what it
// prints; the error has what it said.
func output(ctx context.Context, dir string, extra []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), extra...)
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("run %s: %w", name, err)
	}
	return strings.TrimRight(string(out), "\n"), nil
}
