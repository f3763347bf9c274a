package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
)

// licenseFile matches the names of files that must go along with what is made
// from a module.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents|authors)([-._].*)?$`)

// texts are the files beside the binary: the project's license and README, and
// the licenses of everything that was compiled in.
func (src source) texts(ctx context.Context, info *debug.BuildInfo) ([]entry, error) {
	var entries []entry
	for _, name := range []string{"LICENSE", "README.md"} {
		content, err := os.ReadFile(filepath.Join(src.dir, name))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: name, mode: 0o644, content: content})
	}
	licenses, err := thirdPartyLicenses(ctx, src, info)
	if err != nil {
		return nil, err
	}
	return append(entries, entry{name: "THIRD-PARTY-LICENSES.txt", mode: 0o644, content: licenses}), nil
}

// thirdPartyLicenses are the license files of Go and of every module in the
// program, one after the other.
func thirdPartyLicenses(ctx context.Context, src source, info *debug.BuildInfo) ([]byte, error) {
	root, err := output(ctx, src.dir, []string{"GOTOOLCHAIN=" + src.toolchain}, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	if err := appendLicenses(&all, "Go "+strings.TrimPrefix(src.toolchain, "go"), root); err != nil {
		return nil, err
	}
	args := []string{"list", "-m", "-json"}
	for _, m := range info.Deps {
		args = append(args, m.Path)
	}
	out, err := output(ctx, src.dir, []string{"GOFLAGS=-mod=readonly", "GOTOOLCHAIN=" + src.toolchain}, "go", args...)
	if err != nil {
		return nil, err
	}
	for modules := json.NewDecoder(strings.NewReader(out)); ; {
		var m struct{ Path, Version, Dir string }
		if err := modules.Decode(&m); errors.Is(err, io.EOF) {
			return all.Bytes(), nil
		} else if err != nil {
			return nil, fmt.Errorf("read what go list says: %w", err)
		}
		if err := appendLicenses(&all, m.Path+" "+m.Version, m.Dir); err != nil {
			return nil, err
		}
	}
}

// appendLicenses appends the license files in dir under a heading. A module
// without any is an error: nothing allows giving it out.
func appendLicenses(all *bytes.Buffer, name, dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, file := range files {
		if !file.Type().IsRegular() || !licenseFile.MatchString(file.Name()) {
			continue
		}
		found = true
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return err
		}
		rule := strings.Repeat("=", 80)
		fmt.Fprintf(all, "%s\n%s: %s\n%s\n\n%s\n\n", rule, name, file.Name(), rule, bytes.TrimSpace(content))
	}
	if !found {
		return fmt.Errorf("%s has no license file, so nothing allows giving it out", name)
	}
	return nil
}
