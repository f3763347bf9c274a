package simulated_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"codex-proxy/internal/simulated"
)

// serve starts a server for the simulated OpenAI, and returns its URL.
func serve(t *testing.T, options simulated.Options) (*simulated.Server, string) {
	t.Helper()
	sim := simulated.New(options)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(sim.Close)
	return sim, server.URL
}

// post sends a JSON body, and returns the answer, which the test's end closes.
func post(t *testing.T, url, body string, header ...string) *http.Response {
	t.Helper()
	return do(t, http.MethodPost, url, body, append([]string{"Content-Type", "application/json"}, header...)...)
}

func do(t *testing.T, method, url, body string, header ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// whole reads a body that should not break off.
func whole(t *testing.T, answer *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	return string(data)
}

// sseEvent is one server-sent event.
type sseEvent struct{ name, data string }

func (e sseEvent) get(path string) gjson.Result { return gjson.Get(e.data, path) }

// readEvents reads events until the stream ends, and returns how it ended.
func readEvents(body io.Reader) ([]sseEvent, error) {
	var events []sseEvent
	var event sseEvent
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "event":
			event.name = value
		case "data":
			event.data = value
		case "":
			events = append(events, event)
			event = sseEvent{}
		}
	}
	return events, lines.Err()
}

// allEvents reads the events of a stream that should end well.
func allEvents(t *testing.T, answer *http.Response) []sseEvent {
	t.Helper()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", answer.StatusCode, whole(t, answer))
	}
	events, err := readEvents(answer.Body)
	if err != nil {
		t.Fatalf("the stream broke off: %v", err)
	}
	return events
}

func names(events []sseEvent) []string {
	var names []string
	for _, event := range events {
		names = append(names, event.name)
	}
	return names
}
