package metrics

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"codex-proxy/internal/exchange"
)

// Embedded counts like Metrics, and prints what alarms watch on Lambda, where
// nobody reads a page of metrics: a line for each refusal and for each exchange
// without a price, in CloudWatch's embedded metric format, which makes metrics of
// lines in a function's log. All else is left out, as each metric costs.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type Embedded struct {
	*Metrics
	log      io.Writer
	function string
	now      func() time.Time
}

// NewEmbedded returns Metrics that print to the log of the function with the given
// name. Each line is one Write.
func NewEmbedded(m *Metrics, log io.Writer, function string, now func() time.Time) *Embedded {
	return &Embedded{Metrics: m, log: log, function: function, now: now}
}

// What deploy/aws/template.yaml has alarms for.
const (
	namespace = "codex-proxy"
	refusals  = "Refusals"
	unpriced  = "UnpricedExchanges"
)

// Refused counts a refusal.
func (e *Embedded) Refused(reason string) {
	e.Metrics.Refused(reason)
	e.print(refusals, "reason", reason)
}

// Ended counts an exchange that has ended.
func (e *Embedded) Ended(x exchange.Exchange) {
	e.Metrics.Ended(x)
	if x.Cost.State == exchange.CostUnpriced {
		e.print(unpriced, "exchange", x.ID)
	}
}

// print prints one count of a metric, and beside it one thing to look for in the
// log.
func (e *Embedded) print(metric, key, value string) {
	type name struct {
		Name string `json:"Name"`
		Unit string `json:"Unit"`
	}
	type directive struct {
		Namespace  string     `json:"Namespace"`
		Dimensions [][]string `json:"Dimensions"`
		Metrics    []name     `json:"Metrics"`
	}
	line, err := json.Marshal(map[string]any{
		"_aws": map[string]any{
			"Timestamp":         e.now().UnixMilli(),
			"CloudWatchMetrics": []directive{{namespace, [][]string{{"Function"}}, []name{{metric, "Count"}}}},
		},
		"Function": e.function, metric: 1, key: value,
	})
	if err != nil {
		panic(err) // strings and numbers can be encoded
	}
	fmt.Fprintf(e.log, "%s\n", line) // a log that cannot be written to has no reader
}
