package gateway

import (
	"bufio"
	"io"
	"net/http"
	"strings"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/policy/endpoint"
)

// account fills in what the answer said of itself: the model, the tier, the
// usage. Usage that upstream did not get to say is estimated from what passed;
// usage that it should have said and did not is missing. Neither is ever zero.
// unanswered says that upstream had the whole request, although what the client was
// told is that it could not be reached.
func account(e *exchange.Exchange, answer openai.Answer, unanswered bool, estimateInput func() (int64, error)) {
	e.Model = e.ModelAsked
	if answer.Model != "" {
		e.Model = answer.Model
	}
	if answer.Tier != "" {
		e.Tier = answer.Tier
	}
	spends := e.Method == http.MethodPost && e.ModelAsked != "" || e.Transport == exchange.WebSocket ||
		endpoint.Of(e.Method, belowV1(e.Path)).Spends
	switch {
	case answer.HasUsage:
		e.Usage = exchange.Usage{Usage: answer.Usage, State: exchange.UsageExact}
	case !spends, e.Outcome == exchange.Refused, e.Refusal != "" && !unanswered, e.Warmup:
		e.Usage = exchange.Usage{State: exchange.UsageNone}
	case e.Outcome == exchange.Completed:
		e.Usage = exchange.Usage{State: exchange.UsageMissing}
	case e.Outcome == exchange.Failed && answer.OutputBytes == 0:
		e.Usage = exchange.Usage{State: exchange.UsageNone}
	default:
		e.Usage = estimate(answer, estimateInput)
	}
}

func estimate(answer openai.Answer, estimateInput func() (int64, error)) exchange.Usage {
	input, err := estimateInput()
	if err != nil {
		return exchange.Usage{State: exchange.UsageMissing}
	}
	output := openai.EstimateOutput(answer.OutputBytes)
	if input+output == 0 {
		return exchange.Usage{State: exchange.UsageMissing}
	}
	return exchange.Usage{
		Usage: openai.Usage{Input: input, Output: output, Total: input + output},
		State: exchange.UsageEstimated,
	}
}

// Recovered fills in the usage of an exchange that a crash interrupted, from
// the bodies that its record holds: exact when the answer's last event is among
// them, else estimated. That nothing was used is said only of what upstream, or the
// proxy, had answered with an error. The caller prices it.
func Recovered(e *exchange.Exchange, request, response io.Reader) {
	asked := openai.NewRequestFields()
	var text strings.Builder // the request, at most what the record holds of it
	_, _ = io.Copy(io.MultiWriter(asked, &text), request)
	facts := openai.ReadRequest(asked)
	e.ModelAsked, e.Tier = facts.Model, facts.Tier
	e.Warmup = facts.Warmup && e.Transport == exchange.WebSocket

	answer := reread(e.Transport, response)
	account(e, answer, true, func() (int64, error) { return openai.EstimateInput(strings.NewReader(text.String())) })
	switch {
	case answer.HasUsage, e.Warmup:
	case e.Status >= http.StatusBadRequest && answer.OutputBytes == 0:
		e.Usage = exchange.Usage{State: exchange.UsageNone}
	case e.Method == http.MethodPost && e.Usage.State == exchange.UsageNone: // what model there was is not on record
		e.Usage = exchange.Usage{State: exchange.UsageMissing}
	}
}

// reread watches a recorded answer. What kind it is shows in its first byte.
func reread(transport exchange.Transport, response io.Reader) openai.Answer {
	body := bufio.NewReader(response)
	if transport == exchange.WebSocket {
		frames := openai.WatchFrames()
		for {
			line, err := body.ReadBytes('\n')
			frames.Frame(line)
			if err != nil {
				return frames.Answer()
			}
		}
	}
	watch := openai.WatchEvents()
	if first, err := body.Peek(1); err == nil && first[0] == '{' {
		watch = openai.WatchJSON()
	}
	_, _ = io.Copy(watch, body)
	return watch.Answer()
}

// oneLine makes an upstream's words fit for a fact: one line, bounded.
func oneLine(text string) string {
	const limit = 500
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
