package secrets

import "testing"

func TestAnEditionLeavesOutTheRulesThatCameLater(t *testing.T) {
	text := []byte("AWS_ACCESS_KEY_ID=AKIA" + "Q3EGRJ7X5LWNZ4TD")
	for edition, want := range map[int]int{0: 1, 1: 0} {
		s, err := New(Config{Edition: edition})
		if err != nil {
			t.Fatal(err)
		}
		s.since = func(string) int { return 2 }
		if found := s.Scan(text, nil); len(found) != want {
			t.Errorf("edition %d finds %d secrets, want %d", edition, len(found), want)
		}
	}
	for _, unknown := range []int{-1, Edition + 1} {
		if _, err := New(Config{Edition: unknown}); err == nil {
			t.Errorf("edition %d is known", unknown)
		}
	}
}

func TestARuleIsOfOneClass(t *testing.T) {
	forms := map[string]bool{}
	for _, f := range addForms(newFilter()) {
		forms[f] = true
	}
	for _, r := range otherRules() {
		if forms[r.id] && r.class != Distinctive {
			t.Errorf("%s is distinctive by its form and suspicious by its place", r.id)
		}
	}
}
