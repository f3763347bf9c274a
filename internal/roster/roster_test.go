package roster_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/roster"
)

func TestARosterIsReadAsItIsExported(t *testing.T) {
	want := []roster.Entry{
		{Line: 2, ID: "alice@example.com", Name: "Alice Ö., the first", Team: "core"},
		{Line: 3, ID: "bob"},
	}
	for name, text := range map[string]string{
		"commas":              "email,name,team\nAlice@Example.com,\"Alice Ö., the first\",core\nbob,,\n",
		"a byte order mark":   "\ufeffemail,name,team\nAlice@Example.com,\"Alice Ö., the first\",core\nbob,,\n",
		"CRLF, no last one":   "email,name,team\r\nAlice@Example.com,\"Alice Ö., the first\",core\r\nbob,,",
		"semicolons":          "Team;E-Mail;Name\ncore;alice@example.com;Alice Ö., the first\n;bob;\n",
		"tabs":                "Full Name\tLogin\tDepartment\nAlice Ö., the first\talice@example.com\tcore\n\tbob\t\n",
		"blanks around cells": " email , name , team \n alice@example.com , \"Alice Ö., the first\", core \n bob\n",
		"short lines":         "user_id,name,team\nalice@example.com,\"Alice Ö., the first\",core\nbob\n",
	} {
		t.Run(name, func(t *testing.T) {
			list, err := roster.Read(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, list.Entries); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARosterNeedsNoTitlesAndMayHaveBlankLines(t *testing.T) {
	list, err := roster.Read(strings.NewReader("\n\nalice@example.com,Alice,core\n\n,,\n   \nbob,\"Bob \"\"B\"\" B.\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []roster.Entry{{Line: 3, ID: "alice@example.com", Name: "Alice", Team: "core"}, {Line: 7, ID: "bob", Name: `Bob "B" B.`}}
	if diff := cmp.Diff(want, list.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestOtherColumnsArePassedOverAndNamed(t *testing.T) {
	list, err := roster.Read(strings.NewReader("Office,Mail,Cost Center\nRome,alice@example.com,17\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Office", "Cost Center"}, list.Ignored); diff != "" || list.Entries[0].ID != "alice@example.com" {
		t.Errorf("%+v, passed over (-want +got):\n%s", list.Entries, diff)
	}
}

func TestWhatCannotBeReadIsSaidLineByLine(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // parts of the error, in order
	}{
		"many lines":               {"email\na b\nalice\n../x\n", []string{`line 2: "a b" cannot be`, `line 4: "../x" cannot be`}},
		"no id":                    {"email,name\n,Alice\n", []string{"line 2: there is no e-mail address or login"}},
		"somebody twice":           {"email\nalice\nbob\nALICE\n", []string{"line 4: alice is on line 2 already"}},
		"a name with an escape":    {"bob,\x1b[31m\n", []string{"line 1:", `\x1b`, "cannot be printed"}},
		"a team that is too long":  {"bob,," + strings.Repeat("x", 65) + "\n", []string{"line 1: the team has 65 characters"}},
		"quotes that do not match": {"email,name\nbob,B\"ob\nalice,\"Ali\nce\n", []string{"line 2: its quotes", "line 3: its quotes"}},
		"a comma without quotes":   {"email,name\nbob,B,ob\n", []string{"line 2: it has 3 columns and the header 2"}},
		"too many columns":         {"bob,Bob,core,more\n", []string{"line 1: it has 4 columns and there are only email, name, team"}},
		"semicolons, no titles":    {"alice@example.com;Alice;core\nbob;Bob;core\n", []string{"line 1:", "a first line of titles", `line 2: "bob;Bob`}},
		"titles that say nothing":  {"who,what\nalice,core\n", nil}, // logins, for all that can be seen
		"two columns for one":      {"id,email\n17,alice\n", []string{`the columns "id" and "email" could both be the email`}},
		"Latin-1":                  {"email,name\nbob,B\xf6b\n", []string{"line 2: it is not UTF-8", "CSV UTF-8"}},
		"UTF-16":                   {"\xff\xfee\x00m\x00", []string{"UTF-16", "CSV UTF-8"}},
		"UTF-16 without a mark":    {"e\x00m\x00", []string{"UTF-16"}},
		"nothing":                  {"", []string{roster.ErrEmpty.Error()}},
		"titles alone":             {"email,name,team\n\n", []string{roster.ErrEmpty.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := roster.Read(strings.NewReader(c.text))
			if c.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it was read without an error")
			}
			rest := err.Error()
			for _, part := range c.want {
				_, after, ok := strings.Cut(rest, part)
				if !ok {
					t.Fatalf("the error lacks %q:\n%v", part, err)
				}
				rest = after
			}
		})
	}
}

func TestALongListOfErrorsIsCutAndCounted(t *testing.T) {
	var text strings.Builder
	for i := range 50 {
		fmt.Fprintf(&text, "a b%d\n", i)
	}
	_, err := roster.Read(strings.NewReader(text.String()))
	var wrong roster.Errors
	if !errors.As(err, &wrong) || len(wrong) != 50 {
		t.Fatalf("error: %v, want one of 50 lines", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 21 || lines[20] != "and 30 more lines" {
		t.Errorf("the error has %d lines and ends with %q", len(lines), lines[len(lines)-1])
	}
}

func TestTokensAreReadAndNeverQuoted(t *testing.T) {
	const token = "sk-tokens-from-elsewhere-0001"
	entries, err := roster.ReadTokens(strings.NewReader("note;developer;api key\nold laptop;Alice@example.com;" + token + "\n;bob;codexproxy_" + token + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]roster.TokenEntry{
		{Line: 2, Developer: "alice@example.com", Token: token, Note: "old laptop"},
		{Line: 3, Developer: "bob", Token: "codexproxy_" + token},
	}, entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	for name, c := range map[string]struct{ text, want string }{
		"columns in the wrong order": {token + "/,alice\n", "line 1: the developer column holds no developer's id"},
		"also where it could be one": {token + ",alice\n", "line 1: a token to import has at least 16 characters"},
		"a token that is too short":  {"alice," + token[:15] + "\n", "line 1: a token to import has at least 16"},
		"a token with a blank":       {"alice," + token + " x\n", "line 1: a token holds no spaces"},
		"a token with a typo":        {"alice,codexproxy_elsewher_" + strings.Repeat("0", 33) + "\n", "line 1: the token has the very form of this proxy's own"},
		"no token":                   {"developer,token\nalice\n", "line 2: a token to import has at least 16"},
		"the same token twice":       {"alice," + token + "\nbob," + token + "\n", "line 2: the same token is on line 1 already"},
		"quotes that do not match":   {"alice,\"" + token + "\n", "line 1: its quotes do not match"},
		"a column too many":          {"alice," + token + ",x,y\n", "line 1: it has 4 columns"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := roster.ReadTokens(strings.NewReader(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "elsewhere") {
				t.Errorf("error: %v, want one with %q, and without the token", err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"", "email,name,team\nalice@example.com,Alice,core\n", "\ufeffa;b\n\"", "email\tname\n\t\"x\ny\"\n", "\xff\xfe\x00", ",,\r\n\r", "token,user\nx,y",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := roster.Read(strings.NewReader(text))
		if (err == nil) != (len(list.Entries) > 0) {
			t.Fatalf("%d entries were read with the error %v", len(list.Entries), err)
		}
		seen := map[string]bool{}
		for _, entry := range list.Entries {
			if seen[entry.ID] || entry.ID != strings.ToLower(entry.ID) || entry.Line < 1 || entry.Line > 1+strings.Count(text, "\n") {
				t.Fatalf("the entry %+v was read", entry)
			}
			seen[entry.ID] = true
		}
		_, _ = roster.ReadTokens(strings.NewReader(text)) // must not panic
	})
}
