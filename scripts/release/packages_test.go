package main

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/blakesmith/ar"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sassoftware/go-rpmutils"
)

var sorted = cmpopts.SortSlices(func(a, b string) bool { return a < b })

// packageFiles are the files of a package; only the name of the license differs.
func packageFiles(license string) []string {
	return []string{
		"0644 root:root /etc/codex-proxy/codex-proxy.toml",
		"0600 root:root /etc/codex-proxy/env",
		"0755 root:root /usr/bin/codex-proxy",
		"0644 root:root /usr/lib/systemd/system/codex-proxy.service",
		"0644 root:root /usr/share/doc/codex-proxy/README.md",
		"0644 root:root /usr/share/doc/codex-proxy/THIRD-PARTY-LICENSES.txt",
		"0644 root:root /usr/share/doc/codex-proxy/" + license,
	}
}

func testDebianPackage(t *testing.T, path, program string) {
	control, data := map[string]packed{}, []packed{}
	for members := ar.NewReader(bytes.NewReader(readFile(t, path))); ; {
		header, err := members.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch strings.TrimSuffix(header.Name, "/") {
		case "control.tar.gz":
			for _, f := range tarEntries(t, members) {
				control[strings.TrimPrefix(f.name, "./")] = f
			}
		case "data.tar.gz":
			data = tarEntries(t, members)
		}
	}

	var listing []string
	for _, f := range data {
		name := strings.TrimPrefix(f.name, ".")
		listing = append(listing, f.mode+" "+f.owner+" "+name)
		if f.date != commitDateUTC {
			t.Errorf("%s is of %s", name, f.date)
		}
		if name == "/usr/bin/codex-proxy" && f.content != string(readFile(t, program)) {
			t.Error("the package has another program than the archive")
		}
	}
	if diff := cmp.Diff(packageFiles("copyright"), listing, sorted); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := strings.Fields(control["conffiles"].content); !slices.Equal(got, []string{"/etc/codex-proxy/codex-proxy.toml", "/etc/codex-proxy/env"}) {
		t.Errorf("an upgrade leaves %q alone", got)
	}
	for _, line := range []string{"Package: codex-proxy\n", "Version: 1.2.3-1\n", "Architecture: " + linux.arch + "\n"} {
		if !strings.Contains(control["control"].content, line) {
			t.Errorf("control lacks %q:\n%s", line, control["control"].content)
		}
	}
	testScripts(t, map[string]string{
		"preinstall": control["preinst"].content, "postinstall": control["postinst"].content,
		"preremove": control["prerm"].content, "postremove": control["postrm"].content,
	})
}

func testRPMPackage(t *testing.T, path, program string) {
	pkg, err := rpmutils.ReadRpm(bytes.NewReader(readFile(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	nevra, err := pkg.Header.GetNEVRA()
	if err != nil {
		t.Fatal(err)
	}
	if want := "codex-proxy-0:1.2.3-1." + rpmArch[linux.arch] + ".rpm"; nevra.String() != want {
		t.Errorf("the package is %s, not %s", nevra, want)
	}

	files, err := pkg.Header.GetFiles()
	if err != nil {
		t.Fatal(err)
	}
	const config, noReplace = 1, 1 << 4 // RPMFILE_CONFIG, RPMFILE_NOREPLACE
	var listing, kept []string
	for _, f := range files {
		listing = append(listing, fmt.Sprintf("%04o %s:%s %s", f.Mode()&0o7777, f.UserName(), f.GroupName(), f.Name()))
		if f.Flags()&(config|noReplace) == config|noReplace {
			kept = append(kept, f.Name())
		}
	}
	if diff := cmp.Diff(packageFiles("LICENSE"), listing, sorted); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if !slices.Equal(kept, []string{"/etc/codex-proxy/codex-proxy.toml", "/etc/codex-proxy/env"}) {
		t.Errorf("an upgrade leaves %q alone", kept)
	}

	payload, err := pkg.PayloadReaderExtended()
	if err != nil {
		t.Fatal(err)
	}
	for {
		f, err := payload.Next()
		if err != nil {
			t.Fatalf("no program in the package: %v", err)
		}
		if f.Name() != "/usr/bin/codex-proxy" {
			continue
		}
		if content, err := io.ReadAll(payload); err != nil || !bytes.Equal(content, readFile(t, program)) {
			t.Errorf("the package has another program than the archive (%v)", err)
		}
		break
	}

	scripts := map[string]string{}
	for name, tag := range map[string]int{
		"preinstall": rpmutils.PREIN, "postinstall": rpmutils.POSTIN,
		"preremove": rpmutils.PREUN, "postremove": rpmutils.POSTUN,
	} {
		script, err := pkg.Header.GetString(tag)
		if err != nil {
			t.Fatal(err)
		}
		scripts[name] = script
	}
	testScripts(t, scripts)
}

// testScripts compares a package's scripts with those of the tree, and lets a
// shell read them.
func testScripts(t *testing.T, scripts map[string]string) {
	t.Helper()
	for name, script := range scripts {
		if want := string(readFile(t, "../../deploy/packages/"+name+".sh")); script != want {
			t.Errorf("%s is not that of the tree:\n%s", name, cmp.Diff(want, script))
		}
		shell := exec.CommandContext(t.Context(), "sh", "-n")
		shell.Stdin = strings.NewReader(script)
		if out, err := shell.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
