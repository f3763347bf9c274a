package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
)

// target is a system that binaries are built for, in Go's words.
type target struct{ os, arch string }

// allTargets are those that a release is built for.
var allTargets = []target{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"windows", "amd64"},
	{"windows", "arm64"},
}

func (t target) String() string { return t.os + "/" + t.arch }

// binary is a built program.
type binary struct {
	entry
	// path is where it lies while the release is made.
	path string
	// info is what the toolchain wrote into it: its modules and settings.
	info *debug.BuildInfo
}

// build compiles the program for a target. What could differ between two
// machines is fixed: the toolchain to that of go.mod, and the flags and levels
// of architecture to those below, whatever the environment says.
func build(ctx context.Context, src source, t target, work string) (binary, error) {
	name := "codex-proxy"
	if t.os == "windows" {
		name += ".exe"
	}
	path := filepath.Join(work, t.os+"_"+t.arch, name)
	_, err := output(ctx, src.dir, []string{
		"GOOS=" + t.os, "GOARCH=" + t.arch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0",
		"GOFLAGS=-mod=readonly", "GOFIPS140=off", "GOWORK=off", "GOTOOLCHAIN=" + src.toolchain,
	}, "go", "build", "-trimpath", "-buildvcs=true", "-ldflags=-s -w -X main.version="+src.version, "-o", path, "./cmd/codex-proxy")
	if err != nil {
		return binary{}, err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return binary{}, err
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return binary{}, fmt.Errorf("read what was built: %w", err)
	}
	if commit := setting(info, "vcs.revision"); commit != src.commit {
		return binary{}, fmt.Errorf("the program says that it is of commit %q, not %s: the work tree changed while it was built", commit, src.commit)
	}
	return binary{entry: entry{name: name, mode: 0o755, content: content}, path: path, info: info}, nil
}

// setting returns one of the settings that a program was built with.
func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
