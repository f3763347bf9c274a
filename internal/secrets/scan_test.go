package secrets

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzScan asks that any text is scanned without failing, and that findings
// stand in order inside it, none overlapping another.
func FuzzScan(f *testing.F) {
	for _, s := range positives()[:200] {
		f.Add([]byte(s.text))
	}
	for _, s := range cleanSamples()[:100] {
		f.Add([]byte(s))
	}
	for _, s := range issuedPositives() {
		f.Add([]byte(s.text))
	}
	f.Add([]byte("eyJ0"))
	f.Add([]byte(" pass:\"\x00AAAABAA\""))
	f.Add([]byte("eyJhbGci..aaaaaaaa"))
	s := newScanner(f, Config{})
	f.Fuzz(func(t *testing.T, text []byte) {
		last := 0
		for _, found := range s.Scan(text, nil) {
			if found.Start < last || found.End <= found.Start || found.End > len(text) {
				t.Fatalf("finding %+v after %d in %d bytes", found, last, len(text))
			}
			last = found.End
		}
	})
}

// TestASecretIsFoundUnderAnyDepthOfEncoding wraps one secret again and again.
func TestASecretIsFoundUnderAnyDepthOfEncoding(t *testing.T) {
	s := newScanner(t, Config{})
	text := "DB=postgres://app:kW8-xP2q_Tz@db.internal/app\n"
	for depth := range 5 {
		findings := s.Scan([]byte(text), nil)
		if len(findings) != 1 || text[findings[0].Start:findings[0].End] != "kW8-xP2q_Tz" {
			t.Errorf("at depth %d: found %v in %s", depth, findings, text)
		}
		text = `{"output":` + quote(text) + `}`
	}
}

func TestOwnRulesAndAllowances(t *testing.T) {
	var key Key
	text := "badge EMP-7731-QX and EMP-0000-QX, see postgres://app:kW8-xP2q_Tz@db/app"
	s := newScanner(t, Config{
		Key:   key,
		Rules: []Rule{{ID: "badge", Pattern: `badge|(EMP-\d{4}-[A-Z]{2})`, Keywords: []string{"emp-"}}},
		Allow: []Allow{{Rule: "badge", Pattern: "^badge$|0000"}, {Fingerprint: key.Fingerprint([]byte("kW8-xP2q_Tz"))}},
	})
	got := s.Scan([]byte(text), nil)
	want := []Finding{{Rule: "badge", Class: Suspicious, Start: 6, End: 17}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for want, config := range map[string]Config{
		`rule id "Badge" is not`:           {Rules: []Rule{{ID: "Badge", Pattern: "x"}}},
		`"jwt" is taken`:                   {Rules: []Rule{{ID: "jwt", Pattern: "x"}}},
		`pattern of rule "b": error`:       {Rules: []Rule{{ID: "b", Pattern: "("}}},
		"matches the empty text":           {Rules: []Rule{{ID: "b", Pattern: "x*"}}},
		"entry 1 of the allow-list is":     {Allow: []Allow{{}}},
		`names the unknown rule "nothing"`: {Allow: []Allow{{Rule: "nothing"}}},
		"the pattern in entry 1":           {Allow: []Allow{{Pattern: "("}}},
	} {
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v, want an error with %q", err, want)
		}
	}
}

// TestTheCatalogueIsSound asks that every pattern compiles and every id is one.
func TestTheCatalogueIsSound(t *testing.T) {
	for _, id := range newScanner(t, Config{}).Rules() {
		if !ruleID.MatchString(id) {
			t.Errorf("the rule id %q is malformed", id)
		}
	}
	if n := len(forms()); n < 60 {
		t.Errorf("%d kinds, want at least 60", n)
	}
}

// TestEveryTextCutAnywhereIsScanned cuts the labelled texts at every byte, as a
// tool's output is cut.
func TestEveryTextCutAnywhereIsScanned(t *testing.T) {
	s := newScanner(t, Config{})
	for _, sample := range append(positives(), issuedPositives()...) {
		text := []byte(sample.text)
		text = text[:min(len(text), 200)]
		for i := range text {
			s.Scan(text[i:], nil)
			s.Scan(text[:i], nil)
		}
	}
}
