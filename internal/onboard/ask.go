package onboard

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"codex-proxy/internal/openai"
)

// DefaultModel is what is asked when config.toml names no model.
const DefaultModel = "gpt-6.1-sol"

// Reply is the answer to the one real request.
type Reply struct {
	// Line is the first line of the answer's text.
	Line string
	// RequestID is the request's, by which both sides can look it up.
	RequestID string
	// First and Last are how long the first event and the end took.
	First, Last time.Duration
}

// Ask sends one real request, as Codex would, and reads the streamed answer to
// its end.
func (p *Proxy) Ask(ctx context.Context, token, model string) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if model == "" {
		model = DefaultModel
	}
	body, err := json.Marshal(map[string]any{
		"model": model, "input": "Say hello in five words.", "instructions": "Be brief.", "stream": true, "store": false,
	})
	if err != nil {
		return Reply{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.address.BaseURL()+"/responses", bytes.NewReader(body))
	if err != nil {
		return Reply{}, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	began := time.Now()
	response, err := p.do(request)
	if err != nil {
		return Reply{}, err
	}
	defer response.Body.Close()
	reply := Reply{RequestID: response.Header.Get("X-Request-Id")}
	if response.StatusCode != http.StatusOK {
		raw, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
		if err != nil {
			return reply, p.unreachable(err)
		}
		return reply, refused(response, raw)
	}
	text, answer, first, err := readStream(response.Body)
	reply.First, reply.Last = first.Sub(began), time.Since(began)
	switch {
	case answer.Failed():
		return reply, &Refused{Status: response.StatusCode, Sentence: answer.ErrorMessage, RequestID: reply.RequestID}
	case err != nil:
		return reply, p.unreachable(err)
	case answer.Status != "completed" && answer.Status != "incomplete":
		return reply, fmt.Errorf("the answer broke off before its end (request %s). Something between here and %s cuts streams: ask whoever runs the network", reply.RequestID, p.address)
	}
	reply.Line, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return reply, nil
}

// readStream reads server-sent events to their end: the text that the model said,
// what the answer says of itself, and when the first event came.
func readStream(body io.Reader) (text string, answer openai.Answer, first time.Time, err error) {
	watcher := openai.WatchEvents()
	lines := bufio.NewReader(io.TeeReader(io.LimitReader(body, 16*answerLimit), watcher))
	var said strings.Builder
	for {
		line, err := lines.ReadBytes('\n')
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			if first.IsZero() {
				first = time.Now()
			}
			var event struct{ Type, Delta, Text string }
			if json.Unmarshal(data, &event) == nil {
				switch {
				case event.Type == "response.output_text.delta":
					said.WriteString(event.Delta)
				case event.Type == "response.output_text.done" && said.Len() == 0:
					said.WriteString(event.Text)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			continue
		}
		if first.IsZero() {
			first = time.Now()
		}
		return said.String(), watcher.Answer(), first, err
	}
}
