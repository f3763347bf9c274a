package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// billOfMaterials lists what a program was made of, as CycloneDX 1.6 JSON:
// the modules that the linker put there, and Go itself. It is read from the
// program and not from go.mod, which also names what only tests and tools need.
func billOfMaterials(src source, bin binary) ([]byte, error) {
	sum := fmt.Sprintf("%x", sha256.Sum256(bin.content))
	program := cdx.Component{
		BOMRef: "codex-proxy", Type: cdx.ComponentTypeApplication,
		Name: "codex-proxy", Version: src.version, PackageURL: moduleURL(bin.info.Main.Path, "v"+src.version),
		Licenses:   &cdx.Licenses{{License: &cdx.License{ID: "MIT"}}},
		Hashes:     sha256Hash(sum),
		Properties: buildProperties(bin.info),
	}
	standard := strings.TrimPrefix(bin.info.GoVersion, "go")
	components := []cdx.Component{{
		BOMRef: moduleURL("std", standard), Type: cdx.ComponentTypeLibrary,
		Name: "std", Version: standard, PackageURL: moduleURL("std", standard),
		Description: "Go's standard library and runtime",
	}}
	for _, m := range bin.info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		component := cdx.Component{
			BOMRef: moduleURL(m.Path, m.Version), Type: cdx.ComponentTypeLibrary,
			Name: m.Path, Version: m.Version, PackageURL: moduleURL(m.Path, m.Version),
		}
		if m.Sum != "" {
			sum, err := moduleHash(m.Sum)
			if err != nil {
				return nil, fmt.Errorf("module %s: %w", m.Path, err)
			}
			component.Hashes = sha256Hash(sum)
		}
		components = append(components, component)
	}
	var refs []string
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}

	bom := cdx.NewBOM()
	// Derived from the program, so that it is the same for the same bytes.
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceOID, []byte(sum)).URN()
	bom.Metadata = &cdx.Metadata{Timestamp: src.date.Format(time.RFC3339), Component: &program}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &refs}}

	var out bytes.Buffer
	encoder := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	if err := encoder.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("encode the bill of materials: %w", err)
	}
	return out.Bytes(), nil
}

// moduleURL is a module's package URL.
// (https://github.com/package-url/purl-spec/blob/main/types-doc/golang-definition.md)
func moduleURL(path, version string) string {
	return "pkg:golang/" + path + "@" + url.PathEscape(version)
}

// moduleHash is the hash of go.sum (h1:, a SHA-256 over the list of the module's
// files and their hashes) in hexadecimal.
func moduleHash(sum string) (string, error) {
	encoded, ok := strings.CutPrefix(sum, "h1:")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return "", fmt.Errorf("the checksum %q is of an unknown form", sum)
	}
	return hex.EncodeToString(raw), nil
}

func sha256Hash(hexadecimal string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hexadecimal}}
}

// buildProperties are the settings that the program was built with.
func buildProperties(info *debug.BuildInfo) *[]cdx.Property {
	var properties []cdx.Property
	for _, s := range info.Settings {
		properties = append(properties, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	return &properties
}
