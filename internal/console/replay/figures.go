package replay

import "codex-proxy/internal/exchange"

// speaker names who said the error of an exchange.
func speaker(o exchange.Origin) string {
	switch o {
	case exchange.OriginOpenAI:
		return "OpenAI"
	case exchange.OriginProxy:
		return "the proxy"
	case exchange.OriginClient:
		return "the client"
	case "":
		return ""
	}
	return string(o)
}

// outcomeWords says how an exchange ended.
func outcomeWords(o exchange.Outcome) string {
	switch o {
	case exchange.Completed:
		return "completed"
	case exchange.Failed:
		return "failed"
	case exchange.UpstreamError:
		return "broken off by OpenAI"
	case exchange.ClientCancelled:
		return "cancelled by the developer"
	case exchange.Interrupted:
		return "interrupted"
	case exchange.Refused:
		return "refused by the proxy"
	}
	return string(o)
}

// became says what became of a secret.
func became(m exchange.FindingMode) string {
	switch m {
	case exchange.Reported:
		return "left as it was"
	case exchange.Redacted:
		return "replaced by a placeholder"
	case exchange.Blocked:
		return "blocked"
	}
	return string(m)
}
