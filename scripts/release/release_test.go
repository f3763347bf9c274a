package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

// linux and windows are those of the targets that the tests build: one of each
// form of archive, the first for this machine's processor.
var (
	linux   = target{"linux", runtime.GOARCH}
	windows = target{"windows", "amd64"}
)

// TestARelease builds version 1.2.3 of this work tree's files twice, in two
// places, and looks at what came out.
func TestARelease(t *testing.T) {
	dist, again := releaseInOtherPlace(t), releaseInOtherPlace(t)

	t.Run("is the same bytes wherever it is built", func(t *testing.T) {
		if diff := cmp.Diff(sums(t, dist), sums(t, again)); diff != "" {
			t.Errorf("SHA-256 of the two builds (-first +second):\n%s", diff)
		}
	})
	t.Run("has checksums of all that it consists of", func(t *testing.T) {
		testChecksums(t, dist)
	})
	archive := filepath.Join(dist, "codex-proxy_1.2.3_linux_"+linux.arch+".tar.gz")
	folder := "codex-proxy_1.2.3_linux_" + linux.arch + "/"
	files := readTar(t, archive)
	t.Run("has archives with the program and its licenses", func(t *testing.T) {
		testArchives(t, dist, folder, files)
	})
	program := filepath.Join(t.TempDir(), "codex-proxy")
	writeFile(t, program, files[folder+"codex-proxy"].content, 0o755)
	t.Run("says its version, commit and date", func(t *testing.T) {
		testVersion(t, program)
	})
	t.Run("takes the settings that its packages show", func(t *testing.T) {
		testSettingsFile(t, program)
	})
	t.Run("has bills of materials with every module of the program", func(t *testing.T) {
		testBillOfMaterials(t, archive+".cdx.json", program)
	})
	t.Run("has a package for Debian", func(t *testing.T) {
		testDebianPackage(t, filepath.Join(dist, "codex-proxy_1.2.3-1_"+linux.arch+".deb"), program)
	})
	t.Run("has a package for Red Hat", func(t *testing.T) {
		testRPMPackage(t, filepath.Join(dist, "codex-proxy-1.2.3-1."+rpmArch[linux.arch]+".rpm"), program)
	})
}

var rpmArch = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// releaseInOtherPlace releases this work tree's files as version 1.2.3 in a new
// directory and returns its dist/.
func releaseInOtherPlace(t *testing.T) string {
	t.Helper()
	dir := repository(t)
	gitDo(t, dir, "tag", "v1.2.3")
	err := release(t.Context(), options{
		source: dir, baseURL: "https://example.com/releases", targets: []target{linux, windows}, log: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "dist")
}

// sums are the SHA-256 of all files in a directory, in hexadecimal.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, file := range files {
		sums[file.Name()] = fmt.Sprintf("%x", sha256.Sum256(readFile(t, filepath.Join(dir, file.Name()))))
	}
	return sums
}

func testChecksums(t *testing.T, dist string) {
	want := sums(t, dist)
	delete(want, "checksums.txt")
	got := map[string]string{}
	for line := range strings.Lines(string(readFile(t, filepath.Join(dist, "checksums.txt")))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		got[name] = sum
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checksums.txt (-files +listed):\n%s", diff)
	}
	if len(want) != 7 { // 2 archives with their bills, 2 packages, 1 formula
		t.Errorf("the release has %d files", len(want))
	}
}

func testArchives(t *testing.T, dist, folder string, files map[string]packed) {
	var listing []string
	for _, f := range files {
		if f.owner != "root:root" || f.date != commitDateUTC {
			t.Errorf("%s is of %s and %s", f.name, f.owner, f.date)
		}
		listing = append(listing, f.mode+" "+strings.TrimPrefix(f.name, folder))
	}
	want := []string{"0755 codex-proxy", "0644 LICENSE", "0644 README.md", "0644 THIRD-PARTY-LICENSES.txt"}
	if diff := cmp.Diff(want, listing, sorted); diff != "" {
		t.Errorf("the archive for Linux (-want +got):\n%s", diff)
	}
	licenses := files[folder+"THIRD-PARTY-LICENSES.txt"].content
	for _, name := range []string{"Go 1.", "modernc.org/sqlite v", "github.com/alecthomas/kong v"} {
		if !strings.Contains(licenses, "\n"+name) {
			t.Errorf("THIRD-PARTY-LICENSES.txt lacks %q", name)
		}
	}

	zipped, err := zip.OpenReader(filepath.Join(dist, "codex-proxy_1.2.3_windows_amd64.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer zipped.Close()
	listing = nil
	for _, f := range zipped.File {
		listing = append(listing, strings.TrimPrefix(f.Name, "codex-proxy_1.2.3_windows_amd64/"))
	}
	if diff := cmp.Diff([]string{"codex-proxy.exe", "LICENSE", "README.md", "THIRD-PARTY-LICENSES.txt"}, listing); diff != "" {
		t.Errorf("the archive for Windows (-want +got):\n%s", diff)
	}
}

func testVersion(t *testing.T, program string) {
	if runtime.GOOS != "linux" {
		t.Skip("the program is for Linux")
	}
	out, err := exec.CommandContext(t.Context(), program, "version", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version, Commit, Date string
		Modified              bool
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "1.2.3" || !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(got.Commit) || got.Date != commitDateUTC || got.Modified {
		t.Errorf("the program says that it is %s", out)
	}
}

// testSettingsFile runs the program with every setting of the package's file
// taken as it stands there: an unknown key would be an error.
func testSettingsFile(t *testing.T, program string) {
	if runtime.GOOS != "linux" {
		t.Skip("the program is for Linux")
	}
	text := readFile(t, "../../deploy/systemd/codex-proxy.toml")
	text = regexp.MustCompile(`(?m)^#([a-z-]+ = )`).ReplaceAll(text, []byte("$1"))
	if !bytes.Contains(text, []byte("\nlisten = ")) {
		t.Fatalf("no setting is commented out in:\n%s", text)
	}
	path := filepath.Join(t.TempDir(), "codex-proxy.toml")
	writeFile(t, path, string(text), 0o644)
	if out, err := exec.CommandContext(t.Context(), program, "--config", path, "version").CombinedOutput(); err != nil {
		t.Errorf("with all settings: %v: %s", err, out)
	}
}

func testBillOfMaterials(t *testing.T, path, program string) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		want = append(want, "pkg:golang/"+m.Path+"@"+m.Version)
	}
	bom := new(cdx.BOM)
	if err := cdx.NewBOMDecoder(bytes.NewReader(readFile(t, path)), cdx.BOMFileFormatJSON).Decode(bom); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range *bom.Components {
		got = append(got, c.PackageURL)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("components (-of the program +listed):\n%s", diff)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(readFile(t, program)))
	if hashes := *bom.Metadata.Component.Hashes; bom.Metadata.Component.Version != "1.2.3" || hashes[0].Value != sum {
		t.Errorf("the bill is of version %s with SHA-256 %s, the program has %s", bom.Metadata.Component.Version, hashes[0].Value, sum)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// readTar returns the files of a .tar.gz by name.
func readTar(t *testing.T, path string) map[string]packed {
	t.Helper()
	files := map[string]packed{}
	for _, f := range tarEntries(t, bytes.NewReader(readFile(t, path))) {
		files[f.name] = f
	}
	return files
}

// packed is a file as an archive or package has it.
type packed struct {
	name, mode, owner, date, content string
}

func tarEntries(t *testing.T, compressed io.Reader) []packed {
	t.Helper()
	unzipped, err := gzip.NewReader(compressed)
	if err != nil {
		t.Fatal(err)
	}
	var files []packed
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, packed{
			name: header.Name, mode: fmt.Sprintf("%04o", header.Mode), owner: header.Uname + ":" + header.Gname,
			date: header.ModTime.UTC().Format("2006-01-02T15:04:05Z"), content: string(content),
		})
	}
}
