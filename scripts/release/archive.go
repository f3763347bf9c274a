package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"time"
)

// entry is a file in an archive.
type entry struct {
	name    string
	mode    fs.FileMode
	content []byte
}

// archiveName is what a target's archive is called: the usual form for each
// system.
func (t target) archiveName(version string) string {
	extension := ".tar.gz"
	if t.os == "windows" {
		extension = ".zip"
	}
	return t.folder(version) + extension
}

// folder is the one folder that an archive unpacks to.
func (t target) folder(version string) string {
	return fmt.Sprintf("codex-proxy_%s_%s_%s", version, t.os, t.arch)
}

// pack archives the entries in the order given, in one folder. Nothing in the
// result depends on the machine: the files are root's, of the commit's date.
func pack(src source, t target, entries []entry) ([]byte, error) {
	var out bytes.Buffer
	var err error
	if t.os == "windows" {
		err = packZip(&out, t.folder(src.version), src.date, entries)
	} else {
		err = packTar(&out, t.folder(src.version), src.date, entries)
	}
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return out.Bytes(), nil
}

func packTar(out *bytes.Buffer, folder string, date time.Time, entries []entry) error {
	zipped, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	for _, e := range entries {
		if err := archive.WriteHeader(&tar.Header{
			Format: tar.FormatUSTAR, Typeflag: tar.TypeReg,
			Name: folder + "/" + e.name, Size: int64(len(e.content)), Mode: int64(e.mode.Perm()),
			ModTime: date, Uname: "root", Gname: "root",
		}); err != nil {
			return err
		}
		if _, err := archive.Write(e.content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func packZip(out *bytes.Buffer, folder string, date time.Time, entries []entry) error {
	archive := zip.NewWriter(out)
	for _, e := range entries {
		header := &zip.FileHeader{Name: folder + "/" + e.name, Method: zip.Deflate, Modified: date}
		header.SetMode(e.mode)
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(e.content); err != nil {
			return err
		}
	}
	return archive.Close()
}
