package attempts

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	atOnce = 20
	every  = 3 * time.Second
)

func TestParallelAttemptsAreCountedExactly(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	l := NewLimit(func() time.Time { return now }, atOnce, every)
	var within atomic.Int64
	var all sync.WaitGroup
	for range 10 * atOnce {
		all.Go(func() {
			if l.Wrong("192.0.2.1:80") == 0 {
				within.Add(1)
			}
		})
	}
	all.Wait()
	if within.Load() != atOnce {
		t.Errorf("%d were within the limit of %d", within.Load(), atOnce)
	}
}

func TestAnAttackFromManyAddressesTakesNoMoreMemory(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	l := NewLimit(func() time.Time { return now }, atOnce, every)
	for i := range 5 * maxKept {
		l.Wrong(fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255))
		if len(l.young) > maxKept || len(l.ageing) > maxKept {
			t.Fatalf("after %d addresses, %d and %d are kept", i, len(l.young), len(l.ageing))
		}
	}
}

func TestAnAddressThatGoesOnIsRememberedAcrossGenerations(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	l := NewLimit(func() time.Time { return now }, atOnce, every)
	for i := range atOnce {
		for other := range maxKept - 1 {
			l.Wrong(fmt.Sprintf("10.%d.%d.%d:80", i, other>>8, other&255))
		}
		if wait := l.Wrong("192.0.2.1:80"); wait != 0 {
			t.Fatalf("after %d wrong attempts it must wait %s", i, wait)
		}
	}
	if wait := l.Wrong("192.0.2.1:80"); wait != every {
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
