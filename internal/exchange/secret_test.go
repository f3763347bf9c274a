package exchange_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/exchange"
)

func TestASecretInSeveralPlacesIsOneSecret(t *testing.T) {
	e := exchange.Exchange{Outcome: exchange.Completed, Findings: []exchange.Finding{
		{Rule: "github-token", Fingerprint: "aa", Mode: exchange.Redacted, Path: "input[0].output"},
		{Rule: "generic", Fingerprint: "bb", Mode: exchange.Redacted, Path: "input[0].output"},
		{Rule: "github-token", Fingerprint: "aa", Mode: exchange.Redacted, Path: "input[2].output", New: true},
		{Rule: "github-token", Fingerprint: "aa", Mode: exchange.Redacted, Path: "input[3].output", New: true},
		{Rule: "generic", Fingerprint: "bb", Mode: exchange.Reported, Path: "instructions"},
		{Rule: "generic", Fingerprint: "bb", Mode: exchange.Blocked, Path: "input[4].output"},
	}}
	if diff := cmp.Diff([]exchange.Secret{
		{Fingerprint: "aa", Rule: "github-token", Path: "input[2].output", Mode: exchange.Redacted, Places: 3, New: true},
		{Fingerprint: "bb", Rule: "generic", Path: "input[0].output", Mode: exchange.Reported, Places: 3},
	}, e.Secrets()); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestNoSecretLeavesWithARefusedExchange(t *testing.T) {
	e := exchange.Exchange{Outcome: exchange.Refused, Findings: []exchange.Finding{
		{Fingerprint: "aa", Mode: exchange.Blocked, New: true},
		{Fingerprint: "bb", Mode: exchange.Reported, New: true},
		{Fingerprint: "cc", Mode: exchange.Redacted},
	}}
	if diff := cmp.Diff([]exchange.Secret{
		{Fingerprint: "aa", Mode: exchange.Blocked, Places: 1, New: true},
		{Fingerprint: "bb", Mode: exchange.Blocked, Places: 1, New: true},
		{Fingerprint: "cc", Mode: exchange.Redacted, Places: 1},
	}, e.Secrets()); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}
