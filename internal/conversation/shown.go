package conversation

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// Shown is the line that Codex prints when an answer is an error, as measured
// with Codex 0.169.0.
type Shown struct {
	Text string
	// Own is the part that Codex words itself, whoever answered; empty where it
	// prints what the answer says, word for word.
	Own string
	// Cause is what makes Codex print it.
	Cause string
}

// The sentences that are Codex's own.
var (
	highDemand = Shown{
		Own:   "We're currently experiencing high demand, which may cause temporary errors.",
		Cause: "any answer with status 500; its message is lost",
	}
	retryLimit = Shown{
		Own:   "exceeded retry limit, last status: 429 Too Many Requests",
		Cause: "any answer with status 429 that is no usage_limit_reached; its message is lost",
	}
	usageLimit = Shown{
		Own:   "You've hit your usage limit.",
		Cause: "an answer with status 429 and the type usage_limit_reached",
	}
	quota = Shown{
		Own:   "Quota exceeded. Check your plan and billing details.",
		Cause: "a response.failed event with the code insufficient_quota",
	}
	capacity = Shown{
		Own:   "Selected model is at capacity. Please try a different model.",
		Cause: "an answer with status 503 and the code server_is_overloaded",
	}
	rateLimit = Shown{
		Own:   "rate limit exceeded:",
		Cause: "an answer with status 503 and the code slow_down",
	}
	disconnected = Shown{
		Own:   "stream disconnected before completion",
		Cause: "a stream that ends before response.completed, or a response.failed event with a code that Codex does not know",
	}
	unexpected = Shown{
		Own:   "unexpected status",
		Cause: "an error status that Codex has no sentence for; the answer's message follows it",
	}
)

// Worded returns the sentence of Codex's own that holds the given text, or that
// the text holds; letter case, apostrophes and line breaks may differ.
func Worded(text string) (Shown, bool) {
	for _, own := range []Shown{highDemand, retryLimit, usageLimit, quota, capacity, rateLimit, disconnected, unexpected} {
		own.Text = own.Own
		if own.Says(text) {
			return own, true
		}
	}
	return Shown{}, false
}

// Show returns what Codex prints for an answer: its status, the value of its
// x-codex-promo-message header, and its body, of which the beginning and the
// last events are enough. broken says that the answer broke off. It returns
// false for an answer that is no error.
func Show(status int, promo string, body []byte, broken bool) (Shown, bool) {
	failed := failureIn(body)
	code, kind, message := failed.Get("code").String(), failed.Get("type").String(), failed.Get("message").String()
	if message == "" {
		message = strings.TrimSpace(string(body[:min(500, len(body))]))
	}
	switch {
	case status == http.StatusBadRequest:
		return Shown{Text: strings.TrimSpace(string(body)), Cause: "an answer with status 400: Codex prints its body"}, true
	case status == http.StatusTooManyRequests && kind == "usage_limit_reached":
		if promo != "" {
			return usageLimit.with(promo+", or try again at …", " "), true
		}
		return usageLimit.with("Try again at …", " "), true
	case status == http.StatusTooManyRequests:
		return retryLimit.with("", ""), true
	case status == http.StatusInternalServerError:
		return highDemand.with("", ""), true
	case status == http.StatusServiceUnavailable && code == "slow_down":
		return rateLimit.with(message, " "), true
	case status == http.StatusServiceUnavailable && code == "server_is_overloaded":
		return capacity.with("", ""), true
	case status >= http.StatusBadRequest:
		shown := unexpected
		shown.Own = strings.TrimSpace(fmt.Sprintf("unexpected status %d %s", status, http.StatusText(status)))
		return shown.with(message, ": "), true
	case code == "invalid_prompt":
		return Shown{Text: message, Cause: "a response.failed event with the code invalid_prompt: Codex prints its message"}, true
	case code == "insufficient_quota":
		return quota.with("", ""), true
	case failed.Exists():
		return disconnected.with(message, ": "), true
	case broken:
		return disconnected.with("", ""), true
	}
	return Shown{}, false
}

func (s Shown) with(message, separator string) Shown {
	s.Text = s.Own
	if message != "" {
		s.Text += separator + strings.ReplaceAll(message, "\n", ", ")
	}
	return s
}

// Says reports whether a text that someone saw is what Codex printed, a part of
// it, or holds Codex's own words.
func (s Shown) Says(text string) bool {
	seen := plain(text)
	return seen != "" && (strings.Contains(plain(s.Text), seen) || s.Own != "" && strings.Contains(seen, plain(s.Own)))
}

// plain takes from a text what is lost when a person copies it from a terminal.
func plain(text string) string {
	text = strings.NewReplacer("’", "'", "‘", "'", "“", `"`, "”", `"`).Replace(text)
	return strings.ToLower(strings.Join(strings.Fields(text), " "))
}

// failureIn returns the error that a body tells of: of a JSON document, or of
// the last event that tells of one.
func failureIn(body []byte) gjson.Result {
	if document, ok := parse(bytes.TrimSpace(body)); ok {
		return errorOf(document)
	}
	var failed gjson.Result
	for line := range bytes.Lines(body) {
		line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("data:")))
		if !bytes.Contains(line, []byte(`"error"`)) && !bytes.Contains(line, []byte(`response.failed`)) {
			continue
		}
		if event, ok := parse(line); ok {
			if found := errorOf(event); found.IsObject() {
				failed = found
			}
		}
	}
	return failed
}

func errorOf(document gjson.Result) gjson.Result {
	for _, path := range []string{"error", "response.error"} {
		if failed := document.Get(path); failed.IsObject() {
			return failed
		}
	}
	return gjson.Result{}
}
