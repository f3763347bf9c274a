// Command release builds everything that is given out of one commit: archives
// for each system, packages for Debian's and Red Hat's kin, a Homebrew formula,
// a bill of materials beside each archive, and the checksums over all of it.
//
// The same commit gives the same bytes, wherever and whenever it is built; see
// docs/release.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// exampleURL stands in a snapshot's formula for where a release would be.
const exampleURL = "https://example.com/codex-proxy/releases"

func main() {
	o := options{targets: allTargets, log: os.Stdout}
	flag.BoolVar(&o.snapshot, "snapshot", false, "build the work tree as it is, under a version that sorts before the next release")
	flag.StringVar(&o.baseURL, "base-url", "", "where releases are downloaded from, as in BASE/v1.2.3/checksums.txt")
	flag.StringVar(&o.source, "source", ".", "a directory in the work tree to release")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "release: unknown argument %q; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := release(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

// options say what to release, and how.
type options struct {
	// source is a directory in the work tree; what is made goes to dist/ at its
	// root, replacing what was there.
	source   string
	snapshot bool
	// baseURL is where the formula downloads from.
	baseURL string
	targets []target
	// log is told what is made.
	log io.Writer
}

// release builds all artifacts. The checksums are written last: without them
// dist/ is not finished.
func release(ctx context.Context, o options) error {
	if o.baseURL == "" {
		if !o.snapshot {
			return errors.New("a release needs the address that it is downloaded from, for the Homebrew formula: give --base-url URL (make: BASE_URL=URL)")
		}
		o.baseURL = exampleURL
	}
	src, err := readSource(ctx, o.source, o.snapshot)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "codex-proxy-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	out := &dist{dir: filepath.Join(src.dir, "dist"), log: o.log}
	if err := out.clear(); err != nil {
		return err
	}
	fmt.Fprintf(o.log, "codex-proxy %s, commit %s of %s\n", src.version, src.commit, src.date.Format("2006-01-02 15:04:05Z"))
	archives := map[target]artifact{}
	for _, t := range o.targets {
		if archives[t], err = releaseTarget(ctx, src, t, work, out); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	text, err := formula(src, o.baseURL, archives)
	if err != nil {
		return err
	}
	if _, err := out.write("codex-proxy.rb", text); err != nil {
		return err
	}
	return out.writeChecksums()
}

// releaseTarget builds one target's binary and all that carries it, and returns
// the archive.
func releaseTarget(ctx context.Context, src source, t target, work string, out *dist) (artifact, error) {
	bin, err := build(ctx, src, t, work)
	if err != nil {
		return artifact{}, err
	}
	texts, err := src.texts(ctx, bin.info)
	if err != nil {
		return artifact{}, err
	}
	packed, err := pack(src, t, append([]entry{bin.entry}, texts...))
	if err != nil {
		return artifact{}, err
	}
	archive, err := out.write(t.archiveName(src.version), packed)
	if err != nil {
		return artifact{}, err
	}
	bom, err := billOfMaterials(src, bin)
	if err != nil {
		return artifact{}, err
	}
	if _, err := out.write(archive.name+".cdx.json", bom); err != nil {
		return artifact{}, err
	}
	if t.os != "linux" {
		return archive, nil
	}
	for _, format := range []string{"deb", "rpm"} {
		name, content, err := linuxPackage(src, t, format, bin, texts, work)
		if err != nil {
			return artifact{}, fmt.Errorf("make the .%s: %w", format, err)
		}
		if _, err := out.write(name, content); err != nil {
			return artifact{}, err
		}
	}
	return archive, nil
}
