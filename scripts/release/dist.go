package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// dist is the directory of artifacts.
type dist struct {
	dir       string
	artifacts []artifact
	log       io.Writer
}

// artifact is a file that is given out.
type artifact struct {
	name string
	// sha256 in hexadecimal.
	sha256 string
}

// clear empties the directory, so that it holds one release.
func (d *dist) clear() error {
	if err := os.RemoveAll(d.dir); err != nil {
		return err
	}
	return os.MkdirAll(d.dir, 0o755)
}

// write puts an artifact into the directory.
func (d *dist) write(name string, content []byte) (artifact, error) {
	if err := os.WriteFile(filepath.Join(d.dir, name), content, 0o644); err != nil {
		return artifact{}, err
	}
	a := artifact{name: name, sha256: fmt.Sprintf("%x", sha256.Sum256(content))}
	d.artifacts = append(d.artifacts, a)
	fmt.Fprintf(d.log, "  %s  %9d bytes  dist/%s\n", a.sha256[:12], len(content), name)
	return a, nil
}

// writeChecksums writes checksums.txt, which sha256sum --check reads.
func (d *dist) writeChecksums() error {
	slices.SortFunc(d.artifacts, func(a, b artifact) int { return strings.Compare(a.name, b.name) })
	var lines strings.Builder
	for _, a := range d.artifacts {
		fmt.Fprintf(&lines, "%s  %s\n", a.sha256, a.name)
	}
	return os.WriteFile(filepath.Join(d.dir, "checksums.txt"), []byte(lines.String()), 0o644)
}
