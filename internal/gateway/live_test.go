package gateway_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/simulated"
)

// runningOne waits until one exchange runs of which enough is known.
func (f *fixture) runningOne(enough func(exchange.Running) bool) exchange.Running {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if all := f.gateway.Running(); len(all) == 1 && enough(all[0]) {
			return all[0]
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%+v run; log:\n%s", f.gateway.Running(), f.log.String())
		}
	}
}

// wasStopped checks the record of the one exchange that there was.
func (f *fixture) wasStopped(id string) {
	f.t.Helper()
	e := f.exchanges(1)[0]
	if e.ID != id || e.Outcome != exchange.Interrupted || e.ErrorOrigin != exchange.OriginProxy || e.Error != "stopped by root" || e.Refusal != "" {
		f.t.Errorf("on record is %+v, want it as stopped by root", e)
	}
	if e.Usage.State != exchange.UsageEstimated || e.Usage.Input == 0 {
		f.t.Errorf("its usage is %+v, want an estimate", e.Usage)
	}
	if left := f.gateway.Running(); len(left) != 0 {
		f.t.Errorf("%+v still run", left)
	}
	if answer := string(f.document(e).Response.Bytes()); !strings.Contains(answer, "an administrator stopped this request") {
		f.t.Errorf("the record's answer does not end with what the developer was told: %q", answer)
	}
}

func TestARunningExchangeIsSeenAndStopped(t *testing.T) {
	f := newFixture(t, options{})
	f.openai.Play(simulated.Stall("thinking about it", 6))
	response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello"))))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	e := f.runningOne(func(e exchange.Running) bool { return e.Model != "" && e.ResponseBytes > 0 })
	if e.Developer != "alice@example.com" || e.Team != "platform" || e.Transport != exchange.HTTP || e.Model != "gpt-5.1-codex" ||
		e.Session == "" || e.RequestBytes == 0 || e.Events == 0 || e.Stopping || !strings.HasPrefix(e.Client, "codex_exec/") {
		t.Errorf("seen is %+v", e)
	}
	if f.gateway.Stop("0198a000-0000-7000-8000-000000000001", "root") {
		t.Error("an exchange that does not run was stopped")
	}
	if !f.gateway.Stop(e.ID, "root") {
		t.Error("it was not stopped")
	}
	rest, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("the answer was cut: %v", err)
	}
	last := ""
	for lines := bufio.NewScanner(bytes.NewReader(rest)); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			last = data
		}
	}
	// This code alone makes Codex show the words and not begin again.
	if gjson.Get(last, "type").String() != "response.failed" || gjson.Get(last, "response.error.code").String() != "invalid_prompt" ||
		!strings.Contains(gjson.Get(last, "response.error.message").String(), "codex-proxy: an administrator stopped this request") {
		t.Errorf("the last event is %s", last)
	}
	f.wasStopped(e.ID)
}

func TestAnExchangeThatWaitsForItsAnswerIsStoppedWithARefusal(t *testing.T) {
	silent := startUpstream(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	f := newFixture(t, options{upstream: silent})
	type answer struct {
		status int
		header http.Header
		body   []byte
	}
	answers := make(chan answer, 1)
	go func() {
		response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello"))))
		if err != nil {
			answers <- answer{}
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answers <- answer{response.StatusCode, response.Header, body}
	}()
	e := f.runningOne(func(e exchange.Running) bool { return e.Model != "" })
	f.gateway.Stop(e.ID, "root")
	got := <-answers
	if got.status != http.StatusBadRequest || got.header.Get("X-Codex-Proxy-Refusal") != "stopped" || !strings.HasPrefix(string(got.body), "codex-proxy: an administrator stopped") {
		t.Errorf("the client got %d %q", got.status, got.body)
	}
	f.wasStopped(e.ID)
}

func TestAnExchangeOnAWebSocketIsSeenAndStopped(t *testing.T) {
	f := newFixture(t, options{})
	c := f.dial()
	f.openai.Play(simulated.Stall("thinking", 5))
	send(t, c, create)
	e := f.runningOne(func(e exchange.Running) bool { return e.Events > 0 })
	if e.Transport != exchange.WebSocket || e.Model != "gpt-5.1-codex" || e.RequestBytes == 0 || e.ResponseBytes == 0 {
		t.Errorf("seen is %+v", e)
	}
	if !f.gateway.Stop(e.ID, "root") {
		t.Error("it was not stopped")
	}
	frames := readUntil(t, c, "response.failed")
	if message := gjson.GetBytes(frames[len(frames)-1], "response.error.message").String(); !strings.Contains(message, "an administrator stopped this request") {
		t.Errorf("the last frame is %s", frames[len(frames)-1])
	}
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the connection goes on, and upstream with it")
	}
	f.wasStopped(e.ID)
}

func TestNothingRunsBeforeAnythingIsAsked(t *testing.T) {
	f := newFixture(t, options{})
	f.dial()
	if all := f.gateway.Running(); len(all) != 0 {
		t.Errorf("%+v run", all)
	}
	f.ask("hello")
	if all := f.gateway.Running(); len(all) != 0 {
		t.Errorf("%+v still run", all)
	}
}
