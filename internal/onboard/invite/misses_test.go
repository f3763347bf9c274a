package invite

import (
	"fmt"
	"testing"
	"time"
)

func TestAnAttackFromManyAddressesTakesNoMoreMemory(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m := newMisses(func() time.Time { return now })
	for i := range 5 * missesKept {
		m.count(fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255))
		if len(m.young) > missesKept || len(m.ageing) > missesKept {
			t.Fatalf("after %d addresses, %d and %d are kept", i, len(m.young), len(m.ageing))
		}
	}
}

func TestAnAddressThatGoesOnIsRememberedAcrossGenerations(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	m := newMisses(func() time.Time { return now })
	for i := range missesAtOnce {
		for other := range missesKept - 1 {
			m.count(fmt.Sprintf("10.%d.%d.%d:80", i, other>>8, other&255))
		}
		if wait := m.count("192.0.2.1:80"); wait != 0 {
			t.Fatalf("after %d misses it must wait %s", i, wait)
		}
	}
	if wait := m.count("192.0.2.1:80"); wait != missEvery {
		t.Errorf("it must wait %s", wait)
	}
}

func TestWhatCountsAsOneAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80":                "192.0.2.1/32",
		"[::ffff:192.0.2.1]:80":       "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:80":   "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":           "fe80::/64",
		"":                            "invalid Prefix",
		"@":                           "invalid Prefix",
		"proxy.example.com:443":       "invalid Prefix",
		"[2001:db8:1:2:ffff::1]:9999": "2001:db8:1:2::/64",
	} {
		if got := network(remote).String(); got != want {
			t.Errorf("%q counts as %s", remote, got)
		}
	}
}
