//go:build !windows

package onboard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// installed sets a home up whose config.toml is made by arrange.
func installed(t *testing.T, arrange func(dir string)) Home {
	t.Helper()
	home := Home(t.TempDir())
	arrange(string(home))
	change, err := PlanSetup(home, proxied(true, ""), testToken)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(change.Diff(), testToken) || !strings.Contains(change.Diff(), "+model_provider = ") {
		t.Errorf("the diff is\n%s", change.Diff())
	}
	if _, err := change.Apply(time.Date(2026, 11, 23, 18, 0, 5, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	return home
}

func uninstall(t *testing.T, home Home) {
	t.Helper()
	change, err := PlanUninstall(home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := change.Apply(time.Now()); err != nil {
		t.Fatal(err)
	}
	if again, err := PlanUninstall(home); err != nil || !again.IsEmpty() {
		t.Errorf("there is still something to take back: %v", err)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func place(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestModesAreKeptAndNewFilesArePrivate(t *testing.T) {
	home := installed(t, func(dir string) { place(t, filepath.Join(dir, "config.toml"), "a = 1\n", 0o444) })
	for path, want := range map[string]os.FileMode{
		home.Config(): 0o444, home.Config() + ".backup-20261123-180005": 0o444, home.TokenFile(): 0o600,
	} {
		if got := mode(t, path); got != want {
			t.Errorf("%s has the mode %s, want %s", path, got, want)
		}
	}
	if got := mode(t, installed(t, func(string) {}).Config()); got != 0o600 {
		t.Errorf("a new config.toml has the mode %s", got)
	}
}

func TestALinkIsFollowedAndStaysALink(t *testing.T) {
	dotfiles := filepath.Join(t.TempDir(), "codex.toml")
	place(t, dotfiles, "a = 1\n", 0o640)
	home := installed(t, func(dir string) {
		if err := os.Symlink(dotfiles, filepath.Join(dir, "config.toml")); err != nil {
			t.Fatal(err)
		}
	})
	if mode(t, home.Config())&os.ModeSymlink == 0 || mode(t, dotfiles) != 0o640 {
		t.Error("the link or its target's mode is gone")
	}
	if raw, err := os.ReadFile(dotfiles); err != nil || !IsSetUp(raw) {
		t.Errorf("the target is %q, %v", raw, err)
	}
	uninstall(t, home)
	if raw, err := os.ReadFile(dotfiles); err != nil || string(raw) != "a = 1\n" || mode(t, home.Config())&os.ModeSymlink == 0 {
		t.Errorf("the target is %q, %v", raw, err)
	}
}

func TestUninstallRemovesAConfigThatSetupMadeAndKeepsAnEmptyOne(t *testing.T) {
	home := installed(t, func(string) {})
	uninstall(t, home)
	if left, _ := os.ReadDir(string(home)); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	home = installed(t, func(dir string) { place(t, filepath.Join(dir, "config.toml"), "", 0o644) })
	uninstall(t, home)
	if raw, err := os.ReadFile(home.Config()); err != nil || len(raw) != 0 {
		t.Errorf("it left %q, %v", raw, err)
	}
}

func TestASecondSetupMakesNoSecondBackup(t *testing.T) {
	home := installed(t, func(dir string) { place(t, filepath.Join(dir, "config.toml"), "a = 1\n", 0o600) })
	change, err := PlanSetup(home, proxied(false, ""), "another")
	if err != nil {
		t.Fatal(err)
	}
	if backup, err := change.Apply(time.Now()); err != nil || backup != "" {
		t.Errorf("it made %q, %v", backup, err)
	}
	if raw, err := os.ReadFile(home.TokenFile()); err != nil || string(raw) != "another\n" {
		t.Errorf("the token file holds %q, %v", raw, err)
	}
}
