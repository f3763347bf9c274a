package access_test

import (
	"testing"

	"codex-proxy/internal/console/access"
)

func TestEachRoleMayDoWhatItIsFor(t *testing.T) {
	const alice, bob = "alice@example.com", "bob@example.com"
	for _, test := range []struct {
		viewer               access.Viewer
		changes, lists       bool
		readsOwn, readsOther bool
	}{
		{access.Viewer{Name: alice, Role: access.Admin}, true, true, true, true},
		{access.Viewer{Name: alice, Role: access.Auditor}, false, true, true, true},
		{access.Viewer{Name: alice, Role: access.Finance}, false, false, false, false},
		{access.Viewer{Name: alice, Role: access.Developer, Only: alice}, false, true, true, false},
		{access.Viewer{}, false, false, false, false},
	} {
		v := test.viewer
		if v.Changes() != test.changes || v.Lists() != test.lists || v.Reads(alice) != test.readsOwn || v.Reads(bob) != test.readsOther {
			t.Errorf("%+v: changes %t, lists %t, reads own %t, reads others' %t", v, v.Changes(), v.Lists(), v.Reads(alice), v.Reads(bob))
		}
	}
}

func TestARoleIsReadByItsName(t *testing.T) {
	if role, err := access.ParseRole("auditor"); err != nil || role != access.Auditor {
		t.Errorf("got %q, %v", role, err)
	}
	if _, err := access.ParseRole("root"); err == nil {
		t.Error("root was taken for a role")
	}
}
