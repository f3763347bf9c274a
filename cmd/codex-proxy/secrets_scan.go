package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"codex-proxy/internal/secrets"
	"codex-proxy/internal/terminal"
)

type secretsScanCommand struct {
	JSON      bool     `help:"Print one JSON object per finding: path, rule, class, start, end, encoding, fingerprint."`
	Developer string   `help:"Scan under the allow-list of this developer." placeholder:"ID"`
	Team      string   `help:"Scan under the rules and the allow-list of this team." placeholder:"TEAM"`
	Paths     []string `arg:"" optional:"" name:"path" help:"Files and folders to scan; '-' is standard input. Default: the current folder." placeholder:"PATH"`
}

// finding is one row of the listing.
type finding struct {
	Path        string `json:"path"`
	Rule        string `json:"rule"`
	Class       string `json:"class"`
	Start       int64  `json:"start"` // byte offset of the value in the file as it is
	End         int64  `json:"end"`   // byte offset behind the value
	Encoding    string `json:"encoding"`
	Fingerprint string `json:"fingerprint"`
}

func (s *secretsScanCommand) Run(c *console) error {
	key, err := secretsKey(c.ctx, c.settings)
	if err != nil {
		return err
	}
	rules, err := c.settings.secretRules(key)
	if err != nil {
		return err
	}
	today := rules.For(s.Developer, s.Team, "")
	paths := s.Paths
	if len(paths) == 0 {
		paths = []string{"."}
	}
	scan := fileScan{scanner: today.Scanner(), policy: today.Policy(), key: key, report: s.printer(c.stdout)}
	var failures []error
	for _, path := range paths {
		if path == "-" {
			err = scan.stream("-", c.stdin)
		} else {
			err = scan.tree(c, path)
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if scan.found > 0 {
		if !s.JSON {
			fmt.Fprintf(c.stderr, "%d found in %d scanned\n", scan.found, scan.scanned)
		}
		return errSilent
	}
	return nil
}

// printer returns what prints a row.
func (s *secretsScanCommand) printer(out io.Writer) func(finding) error {
	if s.JSON {
		return func(f finding) error {
			row, err := json.Marshal(f)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(out, escapeJSON(string(row)))
			return err
		}
	}
	return func(f finding) error {
		_, err := fmt.Fprintf(out, "%s:%d-%d\t%s\t%s\t%s\n", terminal.Safe(f.Path), f.Start, f.End, f.Rule, f.Class, shortFingerprint(f.Fingerprint))
		return err
	}
}

// fileScan scans files in pieces, so that a file's size does not matter.
type fileScan struct {
	scanner *secrets.Scanner
	policy  secrets.Policy
	key     secrets.Key
	report  func(finding) error
	scanned int
	found   int
	buffer  []byte
}

const (
	pieceSize = 4 << 20
	// overlap is what is scanned again with the next piece: no secret that is
	// longer is found across the border of two pieces.
	overlap = 256 << 10
	// sniffed is how many first bytes say whether a file is text.
	sniffed = 8000
)

// tree scans a file, or all files under a folder but for those of .git.
func (s *fileScan) tree(c *console, root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		switch {
		case err != nil:
			return fmt.Errorf("scan for secrets: %w", err)
		case entry.IsDir() && entry.Name() == ".git":
			return filepath.SkipDir
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular() && path != root: // links, sockets, devices
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("scan for secrets: %w", err)
		}
		defer file.Close()
		return s.stream(path, file)
	})
}

// stream scans what it reads, unless that is binary.
func (s *fileScan) stream(path string, in io.Reader) error {
	if s.buffer == nil {
		s.buffer = make([]byte, pieceSize)
	}
	s.scanned++
	var findings []secrets.Finding
	held, base, reported := 0, int64(0), int64(0)
	for {
		n, err := io.ReadFull(in, s.buffer[held:])
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("scan %s for secrets: %w", path, err)
		}
		text := s.buffer[:held+n]
		if base == 0 && bytes.IndexByte(text[:min(len(text), sniffed)], 0) >= 0 {
			s.scanned--
			return nil
		}
		// What begins in the overlap is left to the next piece, which has all of it.
		mine := len(text)
		if !last {
			mine -= overlap
		}
		findings = s.scanner.Scan(text, findings[:0])
		for _, f := range findings {
			if f.Start >= mine || base+int64(f.Start) < reported || s.policy(f.Rule, f.Class) == secrets.Off {
				continue
			}
			reported = base + int64(f.End)
			s.found++
			if err := s.report(finding{
				Path: path, Rule: f.Rule, Class: f.Class.String(), Start: base + int64(f.Start), End: base + int64(f.End),
				Encoding: f.Encoding.String(), Fingerprint: s.key.Fingerprint(text[f.Start:f.End]),
			}); err != nil {
				return fmt.Errorf("print the findings: %w", err)
			}
		}
		if last {
			return nil
		}
		held = copy(s.buffer, text[mine-1:]) // with the byte before, which may be part of a word
		base += int64(mine - 1)
	}
}
