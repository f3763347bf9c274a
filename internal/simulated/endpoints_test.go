package simulated_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"image/png"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"codex-proxy/internal/simulated"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestModelsAreListedAndDescribed(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	list := whole(t, do(t, "GET", url+"/v1/models", ""))
	if gjson.Get(list, "object").Str != "list" || !gjson.Get(list, `data.#(id=="gpt-5.1-codex")`).Exists() {
		t.Errorf("the list is %s", list)
	}
	if got := gjson.Get(whole(t, do(t, "GET", url+"/v1/models/gpt-5.1-codex", "")), "object").Str; got != "model" {
		t.Errorf("the description is a %q", got)
	}
}

func TestChatCompletions(t *testing.T) {
	sim, url := serve(t, simulated.Options{})
	sim.Play(simulated.Say("one two"), simulated.Say("one two"), simulated.Say("one two"), simulated.Status(429))
	const messages = `"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]`

	document := whole(t, post(t, url+"/v1/chat/completions", `{`+messages+`}`))
	if gjson.Get(document, "choices.0.message.content").Str != "one two" || !gjson.Get(document, "usage.prompt_tokens").Exists() {
		t.Errorf("the document is %s", document)
	}

	for options, want := range map[string]bool{``: false, `,"stream_options":{"include_usage":true}`: true} {
		events := allEvents(t, post(t, url+"/v1/chat/completions", `{"stream":true,`+messages+options+`}`))
		if last := events[len(events)-1]; last.data != "[DONE]" {
			t.Errorf("the stream ends with %q", last.data)
		}
		text, usage := "", false
		for _, event := range events {
			text += event.get("choices.0.delta.content").Str
			usage = usage || event.get("usage.total_tokens").Exists()
		}
		if text != "one two" || usage != want {
			t.Errorf("the text is %q, usage %t, want %t", text, usage, want)
		}
	}

	if got := post(t, url+"/v1/chat/completions", `{`+messages+`}`).StatusCode; got != http.StatusTooManyRequests {
		t.Errorf("status %d", got)
	}
}

func TestEmbeddingsDependOnTheTextAlone(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	list := whole(t, post(t, url+"/v1/embeddings", `{"model":"text-embedding-3-small","input":["a","b","a"]}`))
	a, b, c := gjson.Get(list, "data.0.embedding"), gjson.Get(list, "data.1.embedding"), gjson.Get(list, "data.2.embedding")
	if len(a.Array()) != 1536 || a.Raw == b.Raw || a.Raw != c.Raw {
		t.Errorf("%d dimensions; equal texts equal: %t, others: %t", len(a.Array()), a.Raw == c.Raw, a.Raw == b.Raw)
	}
}

func TestAnImageIsAPNG(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	document := whole(t, post(t, url+"/v1/images/generations", `{"model":"gpt-image-1","prompt":"a cat"}`))
	data, err := base64.StdEncoding.DecodeString(gjson.Get(document, "data.0.b64_json").Str)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
}

func TestAnUploadIsCounted(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	field, err := writer.CreateFormFile("file", "notes.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(field, strings.Repeat("x", 12345)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writer.WriteField("purpose", "user_data"), writer.Close()); err != nil {
		t.Fatal(err)
	}
	made := whole(t, do(t, "POST", url+"/v1/files", form.String(), "Content-Type", writer.FormDataContentType()))
	got := []string{gjson.Get(made, "bytes").Raw, gjson.Get(made, "filename").Str, gjson.Get(made, "purpose").Str}
	if diff := cmp.Diff([]string{"12345", "notes.txt", "user_data"}, got); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
}

func TestEchoGivesTheBytesBack(t *testing.T) {
	sim, url := serve(t, simulated.Options{Keep: 1})
	body := string(simulated.Bytes(100_001))
	sum := sha256.Sum256([]byte(body))
	for _, query := range []string{"", "?chunk=1000", "?chunk=7777&trailer=1", "?length=1", "?status=418"} {
		t.Run(query, func(t *testing.T) {
			answer := do(t, "POST", url+"/v1/echo"+query, body, "Content-Type", "application/x-odd", "Content-Encoding", "br")
			if got := whole(t, answer); got != body {
				t.Errorf("%d bytes came back, and not the same", len(got))
			}
			if answer.Header.Get("Content-Type") != "application/x-odd" || answer.Header.Get("Content-Encoding") != "br" {
				t.Errorf("header %v", answer.Header)
			}
			if got := answer.Trailer.Get("X-Body-Sha256"); strings.Contains(query, "trailer") && got != hex.EncodeToString(sum[:]) {
				t.Errorf("the trailer is %q", got)
			}
			if strings.Contains(query, "status") != (answer.StatusCode == http.StatusTeapot) {
				t.Errorf("status %d", answer.StatusCode)
			}
			if strings.Contains(query, "length") != (answer.ContentLength == int64(len(body))) {
				t.Errorf("content length %d", answer.ContentLength)
			}
		})
	}
	if got := sim.Received()[0]; got.BodySHA256 != hex.EncodeToString(sum[:]) || got.BodyBytes != int64(len(body)) {
		t.Errorf("received %d bytes with hash %s", got.BodyBytes, got.BodySHA256)
	}
}

func TestBytesAreTheSameEachTimeAndCanBeCut(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	if got := whole(t, do(t, "GET", url+"/v1/bytes?n=12345&chunk=100", "")); got != string(simulated.Bytes(12345)) {
		t.Errorf("%d bytes, and not the same", len(got))
	}
	data, err := io.ReadAll(do(t, "GET", url+"/v1/bytes?n=12345&cut=1000", "").Body)
	if len(data) != 1000 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, then %v", len(data), err)
	}
}

func TestWhatWasReceivedIsKeptWithinItsBounds(t *testing.T) {
	sim, url := serve(t, simulated.Options{Keep: 2, KeepBody: 10})
	for _, path := range []string{"/v1/a?x=1;y", "/v1/b", "/v1//c%2F"} {
		whole(t, do(t, "PUT", url+path, strings.Repeat("x", 50), "X-Test", path))
	}
	var got []string
	for _, received := range sim.Received() {
		got = append(got, received.Method+" "+received.URI+" "+received.Header.Get("X-Test")+" "+string(received.Body))
		if received.BodyBytes != 50 || received.Host == "" || received.Proto != "HTTP/1.1" {
			t.Errorf("received %+v", received)
		}
	}
	want := []string{"PUT /v1/b /v1/b xxxxxxxxxx", "PUT /v1//c%2F /v1//c%2F xxxxxxxxxx"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
}

func TestOverHTTP2ACutResetsTheStream(t *testing.T) {
	sim := simulated.New(simulated.Options{Keep: 1})
	server := httptest.NewUnstartedServer(sim)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	sim.Play(simulated.Cut("never to be heard", 3))

	answer, err := server.Client().Post(server.URL+"/v1/responses", "application/json", strings.NewReader(streamed))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	events, err := readEvents(answer.Body)

	if len(events) != 3 || err == nil {
		t.Errorf("%d events, then %v", len(events), err)
	}
	if got := sim.Received()[0].Proto; got != "HTTP/2.0" {
		t.Errorf("the protocol is %q", got)
	}
}

func TestARequestsTrailerIsKept(t *testing.T) {
	sim, url := serve(t, simulated.Options{Keep: 1})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/echo", io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	request.Trailer = http.Header{"X-Sum": {"42"}}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := sim.Received()[0]; got.Trailer.Get("X-Sum") != "42" || got.ContentLength != -1 {
		t.Errorf("trailer %v, content length %d", got.Trailer, got.ContentLength)
	}
}

func TestARequestThatBreaksOffIsKeptAsIncomplete(t *testing.T) {
	sim, url := serve(t, simulated.Options{Keep: 1})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /v1/echo HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	await(t, sim, func(received simulated.Received) bool {
		return received.Incomplete && string(received.Body) == "half"
	})
}
