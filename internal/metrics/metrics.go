// Package metrics counts what the proxy does, for Prometheus. No label names a
// developer, a token or a model: the page may be read by people who may not
// know them, and labels must stay few. There are as many rules as the
// configuration has.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"codex-proxy/internal/exchange"
)

// Metrics is one proxy's set of metrics.
type Metrics struct {
	registry *prometheus.Registry

	exchanges *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	tokens    *prometheus.CounterVec
	cost      prometheus.Counter
	unknown   *prometheus.CounterVec
	secrets   *prometheus.CounterVec
	strangers prometheus.Counter
	upstream  prometheus.Histogram
	added     prometheus.Histogram
	duration  prometheus.Histogram
	open      *prometheus.GaugeVec
}

// New returns metrics in which spool reports how many exchanges, and how many
// bytes, wait to be settled in the archive and the ledger.
func New(spool func() (exchanges int, bytes int64)) *Metrics {
	seconds := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "codex_proxy_exchanges_total", Help: "Exchanges that ended, by how they ended and how they travelled.",
		}, []string{"outcome", "transport"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "codex_proxy_refusals_total", Help: "Requests that the proxy itself refused, by reason.",
		}, []string{"reason"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "codex_proxy_tokens_total", Help: "Tokens used. cached is part of input, reasoning is part of output.",
		}, []string{"kind"}),
		cost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "codex_proxy_cost_usd_total", Help: "Cost of the priced exchanges in US dollars.",
		}),
		unknown: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "codex_proxy_uncertain_exchanges_total", Help: "Exchanges whose usage or cost is not exact: unpriced, estimated or missing.",
		}, []string{"what"}),
		secrets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "codex_proxy_secrets_total", Help: "Secrets that requests brought anew, each once for a request, by what became of them (report: they left as they were) and by the rule that found them.",
		}, []string{"mode", "rule"}),
		strangers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "codex_proxy_unknown_placeholders_total", Help: "Placeholders in answers that stand for no secret of their conversation.",
		}),
		upstream: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "codex_proxy_upstream_seconds", Help: "Time from calling upstream to the header of its answer.", Buckets: seconds,
		}),
		added: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "codex_proxy_added_seconds", Help: "Time that the proxy itself spent before it called upstream.", Buckets: seconds,
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "codex_proxy_exchange_seconds", Help: "Time from the request's first byte to the answer's last.", Buckets: seconds,
		}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "codex_proxy_open_streams", Help: "HTTP exchanges and WebSocket connections that are open now.",
		}, []string{"transport"}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.exchanges, m.refusals, m.tokens, m.cost, m.unknown, m.secrets, m.strangers, m.upstream, m.added, m.duration, m.open,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "codex_proxy_spool_exchanges", Help: "Exchanges in the spool: open, or on their way to the archive and the ledger.",
		}, func() float64 { n, _ := spool(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "codex_proxy_spool_bytes", Help: "Bytes that the spool takes on disk.",
		}, func() float64 { _, n := spool(); return float64(n) }),
	)
	return m
}

// Handler serves the metrics in Prometheus' format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Opened counts a stream that has begun; the function it returns counts its end.
func (m *Metrics) Opened(transport exchange.Transport) (closed func()) {
	gauge := m.open.WithLabelValues(string(transport))
	gauge.Inc()
	return gauge.Dec
}

// Refused counts a refusal.
func (m *Metrics) Refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

// UpstreamAnswered notes how long upstream took to begin its answer.
func (m *Metrics) UpstreamAnswered(after time.Duration) { m.upstream.Observe(after.Seconds()) }

// Ended counts an exchange that has ended.
func (m *Metrics) Ended(e exchange.Exchange) {
	m.exchanges.WithLabelValues(string(e.Outcome), string(e.Transport)).Inc()
	m.duration.Observe(float64(e.DurationMicros) / 1e6)
	if e.Outcome != exchange.Refused {
		m.added.Observe(float64(e.AddedMicros) / 1e6)
	}
	switch e.Usage.State {
	case exchange.UsageExact, exchange.UsageEstimated:
		m.tokens.WithLabelValues("input").Add(float64(e.Usage.Input))
		m.tokens.WithLabelValues("cached").Add(float64(e.Usage.Cached))
		m.tokens.WithLabelValues("output").Add(float64(e.Usage.Output))
		m.tokens.WithLabelValues("reasoning").Add(float64(e.Usage.Reasoning))
	}
	switch e.Usage.State {
	case exchange.UsageEstimated:
		m.unknown.WithLabelValues("estimated").Inc()
	case exchange.UsageMissing:
		m.unknown.WithLabelValues("missing").Inc()
	}
	switch e.Cost.State {
	case exchange.CostPriced:
		m.cost.Add(float64(e.Cost.Nanos) / 1e9)
	case exchange.CostUnpriced:
		m.unknown.WithLabelValues("unpriced").Inc()
	}
	for _, secret := range e.Secrets() {
		if secret.New {
			m.secrets.WithLabelValues(string(secret.Mode), secret.Rule).Inc()
		}
	}
	m.strangers.Add(float64(e.UnknownPlaceholders))
}
