package metrics_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/metrics"
)

func TestSecretsAreCountedOnceWhenTheyComeAnew(t *testing.T) {
	m := metrics.New(func() (int, int64) { return 0, 0 })
	found := func(fingerprint string, mode exchange.FindingMode, fresh bool) exchange.Finding {
		return exchange.Finding{Rule: "github-token", Fingerprint: fingerprint, Mode: mode, New: fresh}
	}
	m.Ended(exchange.Exchange{Outcome: exchange.Completed, UnknownPlaceholders: 2, Findings: []exchange.Finding{
		found("a", exchange.Redacted, true), found("a", exchange.Redacted, true), found("b", exchange.Redacted, true), found("c", exchange.Reported, true),
	}})
	for range 5 { // turns that send them again
		m.Ended(exchange.Exchange{Outcome: exchange.Completed, Findings: []exchange.Finding{
			found("a", exchange.Redacted, false), found("b", exchange.Redacted, false), found("c", exchange.Reported, false),
		}})
	}
	m.Ended(exchange.Exchange{Outcome: exchange.Refused, Findings: []exchange.Finding{found("d", exchange.Blocked, true)}})

	page := httptest.NewRecorder()
	m.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`codex_proxy_secrets_total{mode="redact",rule="github-token"} 2`,
		`codex_proxy_secrets_total{mode="report",rule="github-token"} 1`,
		`codex_proxy_secrets_total{mode="block",rule="github-token"} 1`,
		`codex_proxy_unknown_placeholders_total 2`,
	} {
		if !strings.Contains(page.Body.String(), "\n"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}
