package metrics_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/metrics"
)

func TestALambdasLogHoldsTheMetricsThatAlarmsWatch(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var log strings.Builder
	m := metrics.NewEmbedded(metrics.New(func() (int, int64) { return 0, 0 }), &log, "codex-proxy", func() time.Time { return at })
	m.Refused("token_unknown")
	m.Ended(exchange.Exchange{ID: "an-id", Outcome: exchange.Completed, Cost: exchange.Cost{State: exchange.CostPriced, Nanos: 7}})
	m.Ended(exchange.Exchange{ID: "another-id", Outcome: exchange.Completed, Model: "new-model", Cost: exchange.Cost{State: exchange.CostUnpriced}})

	var lines []map[string]any
	for line := range strings.Lines(log.String()) {
		var values map[string]any
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		lines = append(lines, values)
	}
	want := func(metric, key, value string) map[string]any {
		return map[string]any{
			"_aws": map[string]any{"Timestamp": float64(at.UnixMilli()), "CloudWatchMetrics": []any{map[string]any{
				"Namespace": "codex-proxy", "Dimensions": []any{[]any{"Function"}},
				"Metrics": []any{map[string]any{"Name": metric, "Unit": "Count"}},
			}}},
			"Function": "codex-proxy", metric: 1.0, key: value,
		}
	}
	expected := []map[string]any{want("Refusals", "reason", "token_unknown"), want("UnpricedExchanges", "exchange", "another-id")}
	if diff := cmp.Diff(expected, lines); diff != "" {
		t.Error(diff)
	}

	template, err := os.ReadFile("../../deploy/aws/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, watched := range []string{"Namespace: codex-proxy\n", "MetricName: Refusals\n", "MetricName: UnpricedExchanges\n", "{Name: Function, Value: "} {
		if !strings.Contains(string(template), watched) {
			t.Errorf("the template has no alarm with %q", watched)
		}
	}
}
