package simulated_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"codex-proxy/internal/simulated"
)

// dial opens a WebSocket as Codex does, compression offered.
func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, answer, err := websocket.Dial(limit(t), url+"/v1/responses", &websocket.DialOptions{
		HTTPHeader:      http.Header{"Openai-Beta": {"responses_websockets=2026-02-06"}},
		CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get("Sec-Websocket-Extensions"); !strings.Contains(got, "permessage-deflate") {
		t.Errorf("the extensions are %q: no compression", got)
	}
	conn.SetReadLimit(16 << 20)
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func send(t *testing.T, conn *websocket.Conn, frame string) {
	t.Helper()
	if err := conn.Write(limit(t), websocket.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

// readFrames reads events up to the one that ends the answer, or to an error.
func readFrames(t *testing.T, conn *websocket.Conn) ([]sseEvent, error) {
	t.Helper()
	var events []sseEvent
	for {
		_, data, err := conn.Read(limit(t))
		if err != nil {
			return events, err
		}
		event := sseEvent{gjson.GetBytes(data, "type").Str, string(data)}
		events = append(events, event)
		switch event.name {
		case "response.completed", "response.failed", "response.incomplete", "error", "":
			return events, nil
		}
	}
}

// ask sends a frame and returns the last event of its answer.
func ask(t *testing.T, conn *websocket.Conn, frame string) sseEvent {
	t.Helper()
	send(t, conn, frame)
	events, err := readFrames(t, conn)
	if err != nil {
		t.Fatal(err)
	}
	return events[len(events)-1]
}

func TestAWebSocketWarmsUpAndThenContinuesWhatItKnows(t *testing.T) {
	sim, url := serve(t, simulated.Options{Keep: 10})
	sim.Play(simulated.Run("ls"), simulated.Say("seen"))
	conn := dial(t, url)

	send(t, conn, `{"type":"response.create","model":"m","generate":false,"input":[]}`)
	events, err := readFrames(t, conn)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"response.created", "response.completed"}, names(events)); diff != "" {
		t.Errorf("the warm-up's events (-want +got):\n%s", diff)
	}
	warm := events[1]
	if warm.get("response.output").Raw != "[]" || warm.get("response.usage.total_tokens").Raw != "0" {
		t.Errorf("the warm-up ended with %s", warm.data)
	}

	full := ask(t, conn, `{"type":"response.create","model":"m","previous_response_id":"`+warm.get("response.id").Str+`","input":[{"type":"additional_tools","tools":[{"type":"custom","name":"exec"}]},{"type":"message","role":"user","content":"go"}]}`)
	if got := full.get("response.output.0.type").Str; got != "custom_tool_call" {
		t.Errorf("the tool call is a %q", got)
	}
	tail := ask(t, conn, `{"type":"response.create","model":"m","previous_response_id":"`+full.get("response.id").Str+`","input":[{"type":"custom_tool_call_output","output":"x"}]}`)
	if got := tail.get("response.output.0.content.0.text").Str; got != "seen" {
		t.Errorf("the second turn says %q", got)
	}
	if first, second := full.get("response.usage.input_tokens").Int(), tail.get("response.usage.input_tokens").Int(); second <= first {
		t.Errorf("%d input tokens after %d: what was said before is part of the input", second, first)
	}

	var transports []string
	for _, received := range sim.Received() {
		transports = append(transports, received.Transport)
	}
	if diff := cmp.Diff([]string{"http", "websocket", "websocket", "websocket"}, transports); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

func TestAToolLoopAskedForInAPromptGoesOnInsideAWebSocket(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	conn := dial(t, url)
	last := ask(t, conn, `{"type":"response.create","model":"m","input":[{"role":"user","content":"simulate: tools"}]}`)
	for range 3 {
		if got := last.get("response.output.0.type").Str; got != "function_call" {
			t.Fatalf("the answer is a %q", got)
		}
		last = ask(t, conn, `{"type":"response.create","model":"m","previous_response_id":"`+last.get("response.id").Str+`","input":[{"type":"function_call_output","output":"x"}]}`)
	}
	if got := last.get("response.output.0.type").Str; got != "message" {
		t.Errorf("after three commands the answer is a %q", got)
	}
}

func TestFramesSentAheadAreAnsweredOneAfterTheOther(t *testing.T) {
	sim, url := serve(t, simulated.Options{})
	sim.Play(simulated.Say("one two three"), simulated.Say("four five six"))
	conn := dial(t, url)
	send(t, conn, `{"type":"response.create","model":"m","input":"a"}`)
	send(t, conn, `{"type":"response.create","model":"m","input":"b"}`)
	for _, want := range []string{"one two three", "four five six"} {
		events, err := readFrames(t, conn)
		if err != nil {
			t.Fatal(err)
		}
		if got := events[len(events)-1].get("response.output.0.content.0.text").Str; got != want {
			t.Errorf("the answer is %q, want %q", got, want)
		}
	}
}

func TestAWebSocketSaysWhatIsWrongInAFrame(t *testing.T) {
	sim, url := serve(t, simulated.Options{})
	sim.Play(faulty(simulated.Fault{Status: 429, Header: http.Header{"Retry-After": {"2"}}}))
	conn := dial(t, url)
	for frame, want := range map[string]struct {
		status int64
		code   string
	}{
		`{"type":"response.cancel"}`: {400, "invalid_event"},
		`{"type":"response.create"}`: {400, "missing_required_parameter"},
		`nonsense`:                   {400, "invalid_event"},
		`{"type":"response.create","model":"m","previous_response_id":"resp_lost"}`: {400, "previous_response_not_found"},
	} {
		got := ask(t, conn, frame)
		if got.name != "error" || got.get("status").Int() != want.status || got.get("error.code").Str != want.code {
			t.Errorf("%s got %s", frame, got.data)
		}
	}
	limited := ask(t, conn, `{"type":"response.create","model":"m","input":"hi"}`)
	if limited.get("status").Int() != 429 || limited.get("headers.retry-after").Str != "2" {
		t.Errorf("the refusal is %s", limited.data)
	}
}

func TestAWebSocketBreaksAsItsFaultSays(t *testing.T) {
	for name, test := range map[string]struct {
		fault  simulated.Fault
		events int
		last   string
		broken bool
	}{
		"cut":                {simulated.Fault{Break: simulated.BreakCut, After: 3}, 3, "response.output_item.added", true},
		"cut after bytes":    {simulated.Fault{Break: simulated.BreakCutBytes, After: 1000}, 1, "response.created", true},
		"failed":             {simulated.Fault{Break: simulated.BreakFailed, After: 2}, 3, "response.failed", false},
		"garbage is no JSON": {simulated.Fault{Break: simulated.BreakGarbage, After: 2}, 3, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			sim, url := serve(t, simulated.Options{Keep: 5})
			sim.Play(faulty(test.fault))
			conn := dial(t, url)
			send(t, conn, `{"type":"response.create","model":"m","input":"hi"}`)
			events, err := readFrames(t, conn)
			if (err != nil) != test.broken {
				t.Errorf("the connection ended with %v; broken should be %t", err, test.broken)
			}
			if len(events) != test.events || events[len(events)-1].name != test.last {
				t.Errorf("events %q, want %d up to %q", names(events), test.events, test.last)
			}
			await(t, sim, func(received simulated.Received) bool {
				return received.Transport == simulated.WebSocket && received.Finished && !received.ClientGone
			})
		})
	}
}

func TestAStalledWebSocketAnswersPingsAndAHalfOpenOneDoesNot(t *testing.T) {
	for _, how := range []simulated.Break{simulated.BreakStall, simulated.BreakHalfOpen} {
		t.Run(string(how), func(t *testing.T) {
			sim, url := serve(t, simulated.Options{Keep: 5})
			sim.Play(faulty(simulated.Fault{Break: how, After: 1}))
			conn := dial(t, url)
			send(t, conn, `{"type":"response.create","model":"m","input":"hi"}`)
			if _, _, err := conn.Read(limit(t)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(limit(t), 300*time.Millisecond)
			defer cancel()
			conn.CloseRead(limit(t)) // reads the pong
			if how == simulated.BreakStall {
				ctx = limit(t)
			}
			err := conn.Ping(ctx)
			if answered := err == nil; answered != (how == simulated.BreakStall) {
				t.Errorf("ping: %v", err)
			}
			conn.CloseNow()
			if how == simulated.BreakHalfOpen {
				sim.Close()
			}
			await(t, sim, func(received simulated.Received) bool {
				return received.Transport == simulated.WebSocket && received.Finished
			})
		})
	}
}

func TestARefusedUpgradeIsAnHTTPError(t *testing.T) {
	_, url := serve(t, simulated.Options{RefuseUpgrade: http.StatusUpgradeRequired})
	_, answer, err := websocket.Dial(limit(t), url+"/v1/responses", nil)
	if err == nil || answer.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("the upgrade got %v, %v", answer, err)
	}
}
