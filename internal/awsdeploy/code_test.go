package awsdeploy_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"codex-proxy/internal/awsdeploy"
)

// elf is a program for Linux as far as its header says.
func elf(machine uint16) []byte {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(header[16:], 2) // an executable
	binary.LittleEndian.PutUint16(header[18:], machine)
	binary.LittleEndian.PutUint32(header[20:], 1)
	binary.LittleEndian.PutUint16(header[52:], 64)
	return header
}

const arm64, amd64 = 183, 62

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	file, err := w.Create(name)
	if err == nil {
		_, err = file.Write(content)
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestTheSameProgramIsTheSameZip(t *testing.T) {
	path := write(t, "codex-proxy", elf(arm64))
	first, err := awsdeploy.ReadCode(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := awsdeploy.ReadCode(write(t, "bootstrap", elf(arm64)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Key() != again.Key() || first.SHA256() != again.SHA256() {
		t.Errorf("the zips of one program are %s and %s", first.Key(), again.Key())
	}
	other, err := awsdeploy.ReadCode(write(t, "codex-proxy", append(elf(arm64), "more"...)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if other.Key() == first.Key() {
		t.Error("another program has the same key")
	}
}

func TestAZipIsTakenAsItIs(t *testing.T) {
	content := zipped(t, "bootstrap", elf(arm64))
	code, err := awsdeploy.ReadCode(write(t, "function.zip", content), nil)
	if err != nil {
		t.Fatal(err)
	}
	if code.Size() != len(content) {
		t.Errorf("the zip has %d bytes, want %d", code.Size(), len(content))
	}
}

func TestWhatLambdaCannotRunIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		content []byte
		says    string
	}{
		"another processor":         {elf(amd64), "another processor (X86_64)"},
		"no program":                {[]byte("#!/bin/sh\n"), "no program for Linux"},
		"a zip without a bootstrap": {zipped(t, "codex-proxy", elf(arm64)), `holds no "bootstrap"`},
		"a zip for another machine": {zipped(t, "bootstrap", elf(amd64)), "another processor"},
		"a torn zip":                {[]byte("PK\x03\x04"), "read the zip"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := awsdeploy.ReadCode(write(t, "file", c.content), nil)
			wantError(t, err, c.says)
		})
	}
	_, err := awsdeploy.ReadCode(filepath.Join(t.TempDir(), "missing"), nil)
	wantError(t, err, "read the function's program")
}

func TestTheSourceTreeIsFoundFromBelow(t *testing.T) {
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if root, found := awsdeploy.FindSource(directory); !found || filepath.Join(root, "internal", "awsdeploy") != directory {
		t.Errorf("from %s the source tree is found at %q, %t", directory, root, found)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "go.mod"), []byte("module example.com/other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if root, found := awsdeploy.FindSource(other); found {
		t.Errorf("%s is taken for the proxy's source", root)
	}
}
