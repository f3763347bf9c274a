package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/simulated"
)

// serveProcess serves in a process of its own, which can be killed, and returns its
// address.
func serveProcess(t *testing.T, data, upstream string) (*exec.Cmd, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	process := exec.CommandContext(ctx, "codex-proxy", "serve", "--data", data, "--listen", "127.0.0.1:0", "--upstream", upstream)
	process.Env = append(os.Environ(), "OPENAI_API_KEY=sk-organisation")
	log, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	address := regexp.MustCompile(`is serving" address=(\S+)`)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if found := address.FindStringSubmatch(lines.Text()); found != nil {
			go func() {
				for lines.Scan() { // so that it is never held up
				}
			}()
			return process, found[1]
		}
	}
	t.Fatal("it does not serve")
	return nil, ""
}

// broken is an exchange that the kill interrupts: what was sent, and what had come.
type broken struct {
	transport exchange.Transport
	sent      []byte
	received  []byte
}

// prompt is a request's body of so many bytes, whose last words are its own.
func prompt(size int, transport exchange.Transport) []byte {
	kind := ""
	if transport == exchange.WebSocket {
		kind = `"type":"response.create",`
	}
	head := fmt.Sprintf(`{%s"model":"gpt-5.1-codex","stream":true,"input":"`, kind)
	tail := fmt.Sprintf(` and the last words of %d bytes"}`, size)
	var text strings.Builder
	for n := 0; text.Len() < size; n++ {
		fmt.Fprintf(&text, "word %d of %s, ", n, transport)
	}
	return []byte(head + text.String()[:size-len(head)-len(tail)] + tail)
}

// begin sends the request and reads the answer until so many deltas have come.
func (b *broken) begin(ctx context.Context, address, token string, deltas int) error {
	header := http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
	var next func() ([]byte, error)
	if b.transport == exchange.WebSocket {
		socket, _, err := websocket.Dial(ctx, "ws://"+address+"/v1/responses", &websocket.DialOptions{HTTPHeader: header})
		if err != nil {
			return err
		}
		if err := socket.Write(ctx, websocket.MessageText, b.sent); err != nil {
			return err
		}
		next = func() ([]byte, error) {
			_, message, err := socket.Read(ctx)
			return append(message, '\n'), err
		}
	} else {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/responses", bytes.NewReader(b.sent))
		if err != nil {
			return err
		}
		r.Header = header
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		lines := bufio.NewReader(response.Body)
		next = func() ([]byte, error) { return lines.ReadBytes('\n') }
	}
	for seen := 0; seen < deltas; {
		line, err := next()
		if err != nil {
			return err
		}
		b.received = append(b.received, line...)
		if bytes.Contains(line, []byte(`"type":"response.output_text.delta"`)) {
			seen++
		}
	}
	return nil
}

// answersOnDisk returns what a kill at this moment would leave of each answer, by the
// request.
func answersOnDisk(t *testing.T, data string) map[string]string {
	t.Helper()
	aside := t.TempDir()
	if err := os.CopyFS(aside, os.DirFS(filepath.Join(data, "spool"))); err != nil {
		t.Fatal(err)
	}
	archive, err := disk.NewArchive(filepath.Join(aside, "archive"))
	if err != nil {
		t.Fatal(err)
	}
	spool, err := record.OpenSpool(aside, record.Options{
		Archive: archive, Log: slog.New(slog.DiscardHandler),
		Ledger: func(context.Context, []exchange.Exchange) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{}
	_, err = spool.Recover(t.Context(), func(_ *exchange.Exchange, request, response io.Reader) {
		asked, _ := io.ReadAll(request) // less than all of it is nobody's request
		answered, _ := io.ReadAll(response)
		answers[strings.TrimSuffix(string(asked), "\n")] = string(answered)
	})
	if err := errors.Join(err, spool.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return answers
}

// What left and what came are on record after a kill, and not only that there was
// something: no part of a prompt lives in memory alone once upstream has it, and an
// answer's deltas not for longer than a second.
func TestAKilledServerHasPromptsAndAnswersOnRecord(t *testing.T) {
	_, upstream := simulatedUpstream(t, simulated.Options{
		Key: "sk-organisation", Always: &simulated.Answer{Text: strings.Repeat("some of the answer's words ", 200), Fault: simulated.Fault{Break: simulated.BreakStall, After: 48}},
	})
	data := t.TempDir()
	process, address := serveProcess(t, data, upstream)
	token := (&server{t: t, data: data}).token("alice@example.com")

	var all []*broken
	for _, size := range []int{391, 10 << 10, 40 << 10, 200 << 10} {
		for _, transport := range []exchange.Transport{exchange.HTTP, exchange.WebSocket} {
			all = append(all, &broken{transport: transport, sent: prompt(size, transport)})
		}
	}
	var group sync.WaitGroup
	for _, b := range all {
		group.Go(func() {
			if err := b.begin(t.Context(), address, token, 40); err != nil {
				t.Errorf("%s of %d bytes: %v", b.transport, len(b.sent), err)
			}
		})
	}
	group.Wait()
	waitFor(t, "the deltas are handed to the operating system", func() bool {
		answers := answersOnDisk(t, data)
		for _, b := range all {
			if !strings.HasPrefix(answers[string(b.sent)], string(b.received)) {
				return false
			}
		}
		return true
	})
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = process.Wait()

	serveProcess(t, data, upstream)
	s := &server{t: t, data: data}
	waitFor(t, "all are on record", func() bool { return strings.Count(s.command("record", "list", "--json"), `"id"`) == len(all) })
	var listed []struct{ ID string }
	if err := json.Unmarshal([]byte(s.command("record", "list", "--json")), &listed); err != nil {
		t.Fatal(err)
	}
	for _, row := range listed {
		var doc record.Document
		if err := json.Unmarshal([]byte(s.command("record", "show", "--json", row.ID)), &doc); err != nil {
			t.Fatal(err)
		}
		wantBroken(t, all, &doc)
	}
}

// wantBroken checks the record of an exchange that the kill interrupted.
func wantBroken(t *testing.T, all []*broken, doc *record.Document) {
	t.Helper()
	e := doc.Exchange
	var of *broken
	for _, b := range all {
		if b.transport == e.Transport && string(b.sent) == strings.TrimSuffix(doc.Request.Body, "\n") {
			of = b
		}
	}
	if of == nil {
		t.Errorf("a record over %s has a prompt of %d bytes that nobody sent", e.Transport, len(doc.Request.Body))
		return
	}
	name := fmt.Sprintf("%s of %d bytes", of.transport, len(of.sent))
	if doc.Response == nil || !strings.HasPrefix(doc.Response.Body, string(of.received)) {
		t.Errorf("%s: of the answer, %d bytes had come, and are not on record", name, len(of.received))
	}
	if e.Outcome != exchange.Interrupted || !strings.HasPrefix(e.Model, "gpt-5.1-codex") || e.ModelAsked != "gpt-5.1-codex" {
		t.Errorf("%s: %s, of the model %q, asked for %q", name, e.Outcome, e.Model, e.ModelAsked)
	}
	if least := int64(len(of.sent) / 5); e.Usage.State != exchange.UsageEstimated || e.Usage.Input < least || e.Usage.Output == 0 {
		t.Errorf("%s: usage is %+v", name, e.Usage)
	}
	if e.Cost.State != exchange.CostPriced || e.Cost.Nanos == 0 {
		t.Errorf("%s: cost is %+v", name, e.Cost)
	}
	if e.Ended.Before(e.Started) || e.DurationMicros != e.Ended.Sub(e.Started).Microseconds() || e.DurationMicros == 0 {
		t.Errorf("%s: from %v to %v, %d µs", name, e.Started, e.Ended, e.DurationMicros)
	}
}
