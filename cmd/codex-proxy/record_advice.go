package main

import (
	"net/http"
	"strings"

	"codex-proxy/internal/exchange"
)

// originAdvice says what an exchange that went wrong means and what to do.
func originAdvice(e exchange.Exchange) string {
	switch {
	case e.ErrorOrigin == exchange.OriginProxy && e.Refusal != "":
		return refusalAdvice(e.Refusal)
	case e.ErrorOrigin == exchange.OriginProxy:
		return "the proxy itself ended it (a shutdown, a limit, or the developer was cut off): see the server's log for exchange " + e.ID
	case e.ErrorOrigin == exchange.OriginClient:
		return "the developer's side ended it (Codex was stopped, or the connection to the proxy broke): nothing to do, unless it happens often"
	case e.ErrorOrigin == exchange.OriginOpenAI:
		return openAIAdvice(e)
	case e.Outcome == exchange.Completed:
		return "nothing went wrong: 'codex-proxy record show " + e.ID + "' shows the conversation"
	}
	return "'codex-proxy record show " + e.ID + "' shows what there is"
}

func refusalAdvice(reason string) string {
	switch {
	case strings.HasPrefix(reason, "token_"):
		return "the developer's token is not accepted: 'codex-proxy token list' shows its state, 'codex-proxy token issue' makes a new one"
	case reason == "budget_exceeded":
		return "the developer's or team's budget is spent: raise it, or wait until it starts anew"
	case reason == "rate_limited":
		return "the developer sent more than the proxy's limit allows: wait a little, or raise the limit"
	case reason == "secret_blocked":
		return "the request held a secret that policy keeps in: take it out of the file or the conversation, and ask again"
	case reason == "model_not_allowed":
		return "policy does not allow this model: choose another one in Codex, or change the policy"
	case reason == "endpoint_not_allowed":
		return "the proxy does not pass this method and path on: Codex does not need it, and what is stored at OpenAI is everybody's. The setting endpoints (--endpoints) opens more"
	case reason == "too_large":
		return "the request is larger than the proxy's limit: start a new session, send less, or raise the limit"
	case reason == "message_not_understood":
		return "the client sent a WebSocket message that is no JSON object as text, names a member twice, or belongs to no request: real Codex sends none, so look at the client"
	case reason == "proxy_unavailable":
		return "the proxy could not keep its record or reach its store: 'codex-proxy doctor' says what is wrong"
	case reason == "upstream_unreachable":
		return "the proxy could not reach OpenAI: check the network, DNS and --upstream ('codex-proxy doctor'), and OpenAI's status page"
	case reason == "websocket_unavailable":
		return "nothing to do: Codex goes on over HTTP"
	}
	return "the proxy refused it as " + reason + ": 'codex-proxy doctor' checks every part"
}

func openAIAdvice(e exchange.Exchange) string {
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return "OpenAI did not accept the organisation's key, which is the proxy's and not the developer's: check the key and its project"
	case e.Status == http.StatusTooManyRequests:
		return "OpenAI limits the organisation: check its rate limits, plan and billing; the proxy did not refuse this"
	case e.Status >= http.StatusInternalServerError:
		return "OpenAI's own trouble: try again, see OpenAI's status page, and name the request id when asking OpenAI"
	case e.Status >= http.StatusBadRequest:
		return "OpenAI refused the request itself: its message says why"
	case e.Outcome == exchange.UpstreamError:
		return "OpenAI's answer broke off: try again; if it happens often, look for something between the proxy and OpenAI that cuts long streams"
	}
	return "OpenAI said so in its answer: its message says why"
}
