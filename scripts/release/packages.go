package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// linuxPackage makes the .deb or .rpm of a target and returns its name and
// content. Its service, settings and scripts are those in deploy/.
func linuxPackage(src source, t target, format string, bin binary, texts []entry, work string) (string, []byte, error) {
	var packager nfpm.Packager = deb.Default
	if format == "rpm" {
		packager = rpm.DefaultRPM
	}
	contents, err := packageContents(src, format, bin, texts, work)
	if err != nil {
		return "", nil, err
	}
	scripts := filepath.Join(src.dir, "deploy", "packages")
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "codex-proxy", Platform: t.os, Arch: t.arch, Version: src.version, Release: "1",
		Section: "net", Priority: "optional", License: "MIT",
		Maintainer:  "The codex-proxy maintainers <maintainers@example.com>",
		Description: description(format),
		MTime:       src.date,
		Overridables: nfpm.Overridables{
			Contents: contents,
			Scripts: nfpm.Scripts{
				PreInstall:  filepath.Join(scripts, "preinstall.sh"),
				PostInstall: filepath.Join(scripts, "postinstall.sh"),
				PreRemove:   filepath.Join(scripts, "preremove.sh"),
				PostRemove:  filepath.Join(scripts, "postremove.sh"),
			},
			RPM: nfpm.RPM{
				// The name of the machine is no part of what is built.
				BuildHost: "localhost",
				Summary:   summary,
				Group:     "System Environment/Daemons",
			},
			Depends: dependencies(format),
		},
	})
	// Names of files on the machine that builds are no patterns.
	info.DisableGlobbing = true
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return "", nil, err
	}
	var out bytes.Buffer
	if err := packager.Package(info, &out); err != nil {
		return "", nil, err
	}
	return packager.ConventionalFileName(info), out.Bytes(), nil
}

const summary = "Proxy between Codex and OpenAI"

// description is what the package manager shows; a .deb has the summary in it, as
// its first line.
func description(format string) string {
	const text = "Each developer gets a token of their own, the organisation's key stays inside,\nand every exchange is authenticated, put on record, counted and priced."
	if format == "deb" {
		return summary + "\n" + text
	}
	return text
}

// dependencies are what the scripts and TLS need: useradd, and the authorities
// that sign the certificate of OpenAI's API.
func dependencies(format string) []string {
	if format == "deb" {
		return []string{"ca-certificates", "passwd"}
	}
	return []string{"ca-certificates", "/usr/sbin/useradd"}
}

// packageContents are the files of a package.
func packageContents(src source, format string, bin binary, texts []entry, work string) (files.Contents, error) {
	deploy := filepath.Join(src.dir, "deploy", "systemd")
	contents := files.Contents{
		file(bin.path, "/usr/bin/codex-proxy", 0o755),
		file(filepath.Join(deploy, "codex-proxy.service"), "/usr/lib/systemd/system/codex-proxy.service", 0o644),
		config(filepath.Join(deploy, "codex-proxy.toml"), "/etc/codex-proxy/codex-proxy.toml", 0o644),
		// For OpenAI's key: systemd reads it as root, and nobody else may.
		config(filepath.Join(deploy, "env"), "/etc/codex-proxy/env", 0o600),
	}
	for _, text := range texts {
		path := filepath.Join(work, text.name)
		if err := os.WriteFile(path, text.content, 0o644); err != nil {
			return nil, err
		}
		name := text.name
		if format == "deb" && name == "LICENSE" {
			name = "copyright" // where Debian's tools look for it
		}
		contents = append(contents, file(path, "/usr/share/doc/codex-proxy/"+name, 0o644))
	}
	return contents, nil
}

func file(path, destination string, mode fs.FileMode) *files.Content {
	return &files.Content{
		Source: path, Destination: destination,
		FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: mode},
	}
}

// config is a file that the administrator changes: an upgrade leaves it alone.
func config(path, destination string, mode fs.FileMode) *files.Content {
	c := file(path, destination, mode)
	c.Type = files.TypeConfigNoReplace
	return c
}
