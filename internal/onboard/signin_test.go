package onboard

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// useSignIn makes a machine's Codex get its tokens from a program with this text.
func useSignIn(t *testing.T, home Home, address Address, program string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "codex-proxy")
	if err := os.WriteFile(path, []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	provider := SignInProvider(path, address)
	provider.BaseURL = address.BaseURL()
	plan, err := PlanSetup(home, provider, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Apply(time.Now()); err != nil {
		t.Fatal(err)
	}
}

func TestASignInTakesThePlaceOfATokenFileAndIsUndone(t *testing.T) {
	home := Home(filepath.Join(t.TempDir(), ".codex"))
	address, err := ParseAddress("https://proxy.example.com/codex")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := PlanSetup(home, Provider{BaseURL: address.BaseURL(), TokenCommand: PrintCommand(home.TokenFile())}, testToken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Apply(time.Now()); err != nil {
		t.Fatal(err)
	}
	useSignIn(t, home, address, "")
	if _, err := os.Stat(home.TokenFile()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the token file: %v", err)
	}
	config, err := home.ReadConfig()
	if err != nil {
		t.Fatal(err)
	}
	settings, err := ReadSettings(config)
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := settings.Proxy().SignInAddress(); !ok || at.String() != address.String() {
		t.Errorf("the sign-in is at %v, %t", at, ok)
	}
	if !strings.Contains(string(config), "\ntimeout_ms = 30000\n") {
		t.Errorf("Codex waits for a token for as long as it likes:\n%s", config)
	}
	undo, err := PlanUninstall(home)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := undo.Apply(time.Now()); err != nil {
		t.Fatal(err)
	}
	if config, err := home.ReadConfig(); config != nil || err != nil {
		t.Errorf("uninstall left %q, %v", config, err)
	}
}

func TestTheDoctorGetsATokenOfASignInAsCodexDoes(t *testing.T) {
	p := healthyProxy()
	p.whoami = `{"developer":"alice@example.com","team":"platform","token_id":"abcdefgh","expires":"` + time.Now().Add(time.Hour).Format(time.RFC3339) + `"}`
	for _, c := range []struct {
		program string
		verdict Verdict
		says    string
	}{
		{"#!/bin/sh\n[ \"$1 $2\" = 'token get' ] && echo " + testToken, OK, "gives a token"},
		{"#!/bin/sh\necho 'codex-proxy: the sign-in has ended' >&2; exit 1", Fail, "the sign-in has ended"},
		{"not a program", Fail, "does not run"},
	} {
		found := examine(t, p, func(d *Doctor) {
			config, err := d.Home.ReadConfig()
			if err != nil {
				t.Fatal(err)
			}
			settings, err := ReadSettings(config)
			if err != nil {
				t.Fatal(err)
			}
			address, err := ParseAddress(settings.Proxy().BaseURL)
			if err != nil {
				t.Fatal(err)
			}
			useSignIn(t, d.Home, address, c.program)
		})
		if f := found["sign-in"]; f.Verdict != c.verdict || !strings.Contains(f.Detail, c.says) {
			t.Errorf("%q: %+v", c.program, f)
		}
		if c.verdict == OK && (found["token"].Verdict != OK || found["answer"].Verdict != OK) {
			t.Errorf("%+v, %+v", found["token"], found["answer"])
		}
		if _, ok := found["token file"]; ok {
			t.Error("a token file is looked for")
		}
	}
}
