package awsdeploy

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// program is the name of the function's program in its zip, as Lambda wants it.
const program = "bootstrap"

// Code is the zip of the function.
type Code struct {
	zip []byte
	sum [sha256.Size]byte
}

// Size is the zip's size in bytes.
func (c Code) Size() int { return len(c.zip) }

// Key is the key under which the zip is uploaded; it says what is in it.
func (c Code) Key() string { return program + "/" + hex.EncodeToString(c.sum[:]) + ".zip" }

// SHA256 is the zip's SHA-256 in base64, as Lambda writes it.
func (c Code) SHA256() string { return base64.StdEncoding.EncodeToString(c.sum[:]) }

// SettingsFile is the name of a settings file beside the function's program.
const SettingsFile = "codex-proxy.toml"

// ErrZip: a zip is taken as it is.
var ErrZip = errors.New("a zip is taken as it is")

// ReadCode reads the function's code: a codex-proxy for linux/arm64, or a zip that
// holds one as "bootstrap". settings is the settings file that goes with it; nil for
// none, or where the zip has one.
func ReadCode(path string, settings []byte) (Code, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Code{}, fmt.Errorf("read the function's program: %w", err)
	}
	if !bytes.HasPrefix(content, []byte("PK\x03\x04")) {
		return pack(path, content, settings)
	}
	if settings != nil {
		return Code{}, fmt.Errorf("%w: put the settings into %s, as %s", ErrZip, path, SettingsFile)
	}
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return Code{}, fmt.Errorf("read the zip %s: %w", path, err)
	}
	inside, err := fs.ReadFile(archive, program)
	if err != nil {
		return Code{}, fmt.Errorf("the zip %s holds no %q, which is how Lambda finds the program: %w", path, program, err)
	}
	if err := runsThere(inside); err != nil {
		return Code{}, fmt.Errorf("the %s in %s cannot be the function: %w", program, path, err)
	}
	return Code{zip: content, sum: sha256.Sum256(content)}, nil
}

// pack zips a program, to the same bytes for the same program.
func pack(path string, content, settings []byte) (Code, error) {
	if err := runsThere(content); err != nil {
		return Code{}, fmt.Errorf("%s cannot be the function: %w", path, err)
	}
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	add := func(name string, mode fs.FileMode, content []byte) error {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(mode)
		file, err := archive.CreateHeader(header)
		if err == nil {
			_, err = file.Write(content)
		}
		return err
	}
	err := add(program, 0o755, content)
	if err == nil && settings != nil {
		err = add(SettingsFile, 0o644, settings)
	}
	if err = errors.Join(err, archive.Close()); err != nil {
		return Code{}, fmt.Errorf("zip %s: %w", path, err)
	}
	return Code{zip: packed.Bytes(), sum: sha256.Sum256(packed.Bytes())}, nil
}

// runsThere tells whether a program runs on Lambda's arm64.
func runsThere(content []byte) error {
	const want = "it takes a codex-proxy for linux/arm64, as in the release's linux_arm64 archive"
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("it is no program for Linux; %s", want)
	}
	if file.Machine != elf.EM_AARCH64 {
		return fmt.Errorf("it is for another processor (%s); %s", strings.TrimPrefix(file.Machine.String(), "EM_"), want)
	}
	return nil
}

// FindSource returns the source tree of the proxy that a directory is in.
func FindSource(directory string) (root string, found bool) {
	for {
		module, err := os.ReadFile(filepath.Join(directory, "go.mod"))
		if err == nil {
			return directory, bytes.HasPrefix(module, []byte("module codex-proxy\n"))
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			return "", false
		}
		directory = parent
	}
}

// Build builds the function's program from a source tree, under a version's name.
// What the compiler says goes to output.
func Build(ctx context.Context, root, version string, settings []byte, output io.Writer) (Code, error) {
	directory, err := os.MkdirTemp("", "codex-proxy-*")
	if err != nil {
		return Code{}, fmt.Errorf("build the function's program: %w", err)
	}
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, program)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", path, "./cmd/codex-proxy")
	command.Dir, command.Stdout, command.Stderr = root, output, output
	command.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if err := command.Run(); err != nil {
		return Code{}, fmt.Errorf("build the function's program in %s: %w", root, err)
	}
	return ReadCode(path, settings)
}
