package simulated_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"codex-proxy/internal/simulated"
)

func faulty(fault simulated.Fault) simulated.Answer {
	return simulated.Answer{Text: "a sentence of no more than ten words, or so", Fault: fault}
}

func TestAStatusIsRefusedInOpenAIsWords(t *testing.T) {
	resets := time.Unix(1_800_000_000, 0)
	for name, test := range map[string]struct {
		answer simulated.Answer
		want   map[string]string
	}{
		"429": {simulated.Status(429), map[string]string{"error.type": "requests", "error.code": "rate_limit_exceeded"}},
		"500": {simulated.Status(500), map[string]string{"error.type": "server_error", "error.code": ""}},
		"503": {
			faulty(simulated.Fault{Status: 503, Code: "slow_down", Message: "Slow down."}),
			map[string]string{"error.code": "slow_down", "error.message": "Slow down."},
		},
		"usage limit": {
			simulated.UsageLimit(resets),
			map[string]string{"error.type": "usage_limit_reached", "error.code": "", "error.resets_at": "1800000000"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim, url := serve(t, simulated.Options{})
			test.answer.Fault.Header = http.Header{"Retry-After": {"2"}}
			sim.Play(test.answer)
			answer := post(t, url+"/v1/responses", streamed)
			body := whole(t, answer)
			if answer.StatusCode != test.answer.Fault.Status || answer.Header.Get("Retry-After") != "2" {
				t.Errorf("status %d, header %v", answer.StatusCode, answer.Header)
			}
			for path, want := range test.want {
				if got := gjson.Get(body, path).String(); got != want {
					t.Errorf("%s is %q, want %q", path, got, want)
				}
			}
		})
	}
}

func TestARefusalCanHaveABodyOfItsOwn(t *testing.T) {
	sim, url := serve(t, simulated.Options{})
	sim.Play(faulty(simulated.Fault{Status: 400, Body: "No.\n"}))
	answer := post(t, url+"/v1/responses", streamed)
	if body := whole(t, answer); body != "No.\n" || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("%q as %s", body, answer.Header.Get("Content-Type"))
	}
}

func TestAStreamEndsAsItsFaultSays(t *testing.T) {
	for name, test := range map[string]struct {
		fault  simulated.Fault
		events int    // 0 is any number
		last   string // of the events
		broken bool
	}{
		"cut":                      {simulated.Fault{Break: simulated.BreakCut, After: 3}, 3, "response.output_item.added", true},
		"cut at once":              {simulated.Fault{Break: simulated.BreakCut}, 0, "", true},
		"cut before the end":       {simulated.Fault{Break: simulated.BreakCut, After: 1000}, 0, "response.output_item.done", true},
		"cut in an event":          {simulated.Fault{Break: simulated.BreakCutBytes, After: 1000}, 1, "response.created", true},
		"cut in the last event":    {simulated.Fault{Break: simulated.BreakCutBytes, After: 1 << 20}, 0, "response.output_item.done", true},
		"failed":                   {simulated.Fault{Break: simulated.BreakFailed, Code: "c", Message: "m", After: 2}, 3, "response.failed", false},
		"failed at once":           {simulated.Fault{Break: simulated.BreakFailed}, 1, "response.failed", false},
		"incomplete":               {simulated.Fault{Break: simulated.BreakIncomplete, After: 5}, 6, "response.incomplete", false},
		"incomplete after all":     {simulated.Fault{Break: simulated.BreakIncomplete}, 0, "response.incomplete", false},
		"no usage":                 {simulated.Fault{Break: simulated.BreakNoUsage}, 0, "response.completed", false},
		"slow, and nothing broken": {simulated.Fault{FirstByte: time.Millisecond, Between: time.Microsecond}, 0, "response.completed", false},
	} {
		t.Run(name, func(t *testing.T) {
			sim, url := serve(t, simulated.Options{})
			sim.Play(faulty(test.fault))
			events, err := readEvents(post(t, url+"/v1/responses", streamed).Body)
			if broken := errors.Is(err, io.ErrUnexpectedEOF); broken != test.broken {
				t.Errorf("the stream ended with %v; broken should be %t", err, test.broken)
			}
			if test.events != 0 && len(events) != test.events {
				t.Errorf("%d events, want %d: %q", len(events), test.events, names(events))
			}
			last := sseEvent{}
			if len(events) > 0 {
				last = events[len(events)-1]
			}
			if last.name != test.last {
				t.Errorf("the last event is %q, want %q", last.name, test.last)
			}
			usage := last.get("response.usage").IsObject()
			if want := last.name == "response.incomplete" || last.name == "response.completed" && name != "no usage"; usage != want {
				t.Errorf("usage in the last event: %t, want %t", usage, want)
			}
			if name == "failed" && (last.get("response.error.code").Str != "c" || last.get("response.error.message").Str != "m") {
				t.Errorf("the error is %s", last.get("response.error"))
			}
		})
	}
}

func TestGarbageIsNoEventAndEndsInGoodOrder(t *testing.T) {
	sim, url := serve(t, simulated.Options{})
	sim.Play(faulty(simulated.Fault{Break: simulated.BreakGarbage, After: 2}))
	body := whole(t, post(t, url+"/v1/responses", streamed))
	if !strings.Contains(body, "\x00\xff\xfe<html>") || strings.Contains(body, "response.completed") {
		t.Errorf("the answer is %q", body)
	}
}

func TestAStallLastsUntilTheClientGoesAway(t *testing.T) {
	for _, how := range []simulated.Break{simulated.BreakStall, simulated.BreakHalfOpen} {
		t.Run(string(how), func(t *testing.T) {
			sim, url := serve(t, simulated.Options{Keep: 1})
			sim.Play(faulty(simulated.Fault{Break: how, After: 1}))
			answer := post(t, url+"/v1/responses", streamed)
			if _, err := io.ReadFull(answer.Body, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			if sim.Received()[0].Finished {
				t.Error("the answer is over while it stalls")
			}
			answer.Body.Close()
			if how == simulated.BreakHalfOpen {
				sim.Close()
			}
			await(t, sim, func(received simulated.Received) bool {
				return received.Finished && (received.ClientGone || how == simulated.BreakHalfOpen)
			})
		})
	}
}

func TestADocumentCanBreakToo(t *testing.T) {
	sim, url := serve(t, simulated.Options{})
	sim.Play(faulty(simulated.Fault{Break: simulated.BreakCut}), simulated.Fail("c", "m"))
	const body = `{"model":"m","input":"hi"}`
	if data, err := io.ReadAll(post(t, url+"/v1/responses", body).Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(data) == 0 {
		t.Errorf("read %d bytes, then %v", len(data), err)
	}
	document := whole(t, post(t, url+"/v1/responses", body))
	if gjson.Get(document, "status").Str != "failed" || gjson.Get(document, "error.code").Str != "c" {
		t.Errorf("the document is %s", document)
	}
}

func TestAPromptCanAskForAFault(t *testing.T) {
	for prompt, want := range map[string]string{
		"simulate: 429":                   "429",
		"Simulate: 503 please":            "503",
		"do it, simulate: cut":            "cut",
		"simulate: failed":                "response.failed",
		"simulate: incomplete":            "response.incomplete",
		"simulate: quota":                 "response.failed",
		"simulate: usage-limit":           "429",
		"simulate: stream 5 1ms 400":      "response.completed",
		"simulate: reasoning":             "response.completed",
		"simulate: nothing that is known": "response.completed",
	} {
		t.Run(prompt, func(t *testing.T) {
			_, url := serve(t, simulated.Options{})
			answer := post(t, url+"/v1/responses", `{"model":"m","stream":true,"input":"`+prompt+`"}`)
			got := ""
			if answer.StatusCode != http.StatusOK {
				got = answer.Status[:3]
			} else if events, err := readEvents(answer.Body); err != nil {
				got = "cut"
			} else {
				got = events[len(events)-1].name
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// await waits until the condition holds for something that was received.
func await(t *testing.T, sim *simulated.Server, condition func(simulated.Received) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := sim.Await(ctx, func(received []simulated.Received) bool { return slices.ContainsFunc(received, condition) })
	if err != nil {
		t.Fatal(err)
	}
}
