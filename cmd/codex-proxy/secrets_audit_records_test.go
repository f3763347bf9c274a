package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/sqlite"
)

// hole stands in an expected text where a placeholder must be.
const hole = "\u2b1a"

var placeholders = regexp.MustCompile(`__SECRET_[A-Za-z0-9_]+_[A-Z2-7]{16}__`)

// secret is a credential, and a text that gives it away.
type secret struct{ value, text string }

func (s secret) want() string { return strings.ReplaceAll(s.text, s.value, hole) }

func randomWord(r *rand.Rand, n int) string {
	const letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
	word := make([]byte, n)
	for i := range word {
		word[i] = letters[r.IntN(len(letters))]
	}
	return string(word)
}

func randomSecret(r *rand.Rand) secret {
	value := randomWord(r, 7) + fmt.Sprint(r.IntN(90)+10) + "-" + randomWord(r, 9) + "_x4"
	switch r.IntN(3) {
	case 0:
		return secret{value, "DB=postgres://app:" + value + "@db.internal/app"}
	case 1:
		value = "glpat-" + randomWord(r, 20)
		return secret{value, "a token, " + value + " it is"}
	}
	return secret{value, "DB_PASSWORD=" + value}
}

func quoted(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // of a string it never fails
	return strings.TrimSpace(out.String())
}

// side is one body, and what a purge must make of it.
type side struct{ body, want string }

// wrapped is a text in which a secret stands, in one of the ways of tools.
func wrapped(r *rand.Rand, s secret) side {
	switch r.IntN(4) {
	case 0: // JSON inside a string
		return side{`{"output":` + quoted(s.text+"\n\"é\" <&>\u2028") + `,"n":1}`, `{"output":` + quoted(s.want()+"\n\"é\" <&>\u2028") + `,"n":1}`}
	case 1:
		return side{"$ cat .env | base64\n" + base64.StdEncoding.EncodeToString([]byte("A=1\n"+s.text+"\nB=2\n")) + "\n$", "$ cat .env | base64\n" + hole + "\n$"}
	case 2:
		return side{"A=1\n" + s.text + "\nB=\"2\"\n", "A=1\n" + s.want() + "\nB=\"2\"\n"}
	}
	return side{"\x1b[1m" + s.text + "\n\x1b[0m\\ C:\\x \"", "\x1b[1m" + s.want() + "\n\x1b[0m\\ C:\\x \""}
}

func randomRequest(r *rand.Rand, s secret) side {
	w := wrapped(r, s)
	make := func(text string) string {
		return "{ \"model\":\"gpt-5.1\", \"input\" : [{\"role\":\"user\",\"content\":\"hello\"},\n" +
			`{"type":"function_call_output","call_id":"c","output":` + quoted(text) + `},{"type":"reasoning","encrypted_content":"gAAA"}],"stream":true}`
	}
	switch r.IntN(4) {
	case 0: // cut off: no JSON
		return side{strings.TrimSuffix(make(s.text), `"}],"stream":true}`), strings.TrimSuffix(make(s.want()), `"}],"stream":true}`)}
	case 1: // neither JSON nor text
		return side{"\xff\x00--form\r\n\r\n" + s.text + "\r\n\xfe", "\xff\x00--form\r\n\r\n" + s.want() + "\r\n\xfe"}
	}
	return side{make(w.body), make(w.want)}
}

// randomAnswer streams a text in which a secret stands, cut anywhere.
func randomAnswer(r *rand.Rand, s secret, frames bool) side {
	before, after, _ := strings.Cut("It says: "+s.text+"\nDone.", s.value)
	var got, want strings.Builder
	event := func(out *strings.Builder, kind, rest string) {
		data := `{"type":"` + kind + `","item_id":"m","output_index":0` + rest + `}`
		if frames {
			out.WriteString(data + "\n")
		} else {
			out.WriteString("event: " + kind + "\ndata: " + data + "\n\n")
		}
	}
	delta := func(out *strings.Builder, text string) {
		event(out, "response.output_text.delta", `,"content_index":0,"delta":`+quoted(text))
	}
	event(&got, "response.created", `,"response":{"id":"resp_1"}`)
	event(&want, "response.created", `,"response":{"id":"resp_1"}`)
	// The text with a mark in the place of each byte of the secret but the first.
	text := before + hole + strings.Repeat("\x00", len(s.value)-1) + after
	for plain, rest := before+s.value+after, text; plain != ""; {
		n := min(1+r.IntN(9), len(plain))
		piece := ""
		for left := n; left > 0; left-- {
			size := 1
			if strings.HasPrefix(rest, hole) {
				size = len(hole)
			}
			if rest[0] != 0 {
				piece += rest[:size]
			}
			rest = rest[size:]
		}
		delta(&got, plain[:n])
		delta(&want, piece)
		plain = plain[n:]
	}
	item := func(text string) string {
		return `,"item":{"type":"message","content":[{"text":` + quoted(text) + `}]}`
	}
	event(&got, "response.output_item.done", item(before+s.value+after))
	event(&want, "response.output_item.done", item(before+hole+after))
	return side{got.String(), want.String()}
}

// kept is a record that was made, and what a purge must leave of it.
type kept struct {
	exchange          exchange.Exchange
	request, response side
	uri, header, err  side
	decoded           bool
}

func zipped(text string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text)) // into memory
	_ = w.Close()
	return out.Bytes()
}

// keepRecords takes records with secrets through the spool, as the proxy does.
func keepRecords(t *testing.T, data string, r *rand.Rand, n int) (all []kept, planted []secret) {
	t.Helper()
	settings := &Settings{Data: data}
	if err := settings.initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.OpenLedger(t.Context(), settings.ledgerFile())
	if err != nil {
		t.Fatal(err)
	}
	archive, err := disk.NewArchive(settings.archiveDirectory())
	if err != nil {
		t.Fatal(err)
	}
	spool, err := record.OpenSpool(settings.spoolDirectory(), record.Options{Archive: archive, Ledger: store.Add, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Date(2026, 2, 16, 9, 0, 0, 0, time.UTC)
	for i := range n {
		e := asked(began.Add(time.Duration(i)*time.Hour).Format(time.RFC3339), []string{"alice@example.com", "bob@example.com"}[r.IntN(2)], "gpt-5.1-codex", used(1000, 0, 10, 0))
		frames := r.IntN(3) == 0
		if frames {
			e.Transport = exchange.WebSocket
		}
		s := randomSecret(r)
		planted = append(planted, s)
		k := kept{request: side{`{"input":"hello"}`, `{"input":"hello"}`}, uri: side{"/v1/responses?q=1;b", "/v1/responses?q=1;b"}}
		place := r.IntN(6)
		if place <= 1 {
			k.request = randomRequest(r, s)
		}
		k.response = randomAnswer(r, secret{"nothing", "nothing"}, frames)
		k.response.want = k.response.body
		switch place {
		case 1, 2: // 1: also what the request had, where nothing tells
			k.response = randomAnswer(r, s, frames)
		case 3:
			text := "Bearer of postgres://u:" + s.value + "@h/x"
			k.header, planted[i].text = side{text, strings.ReplaceAll(text, s.value, hole)}, text
		case 4:
			text := "postgres://u:" + s.value + "@h/x"
			k.uri = side{"/v1/responses?next=" + text, "/v1/responses?next=" + strings.ReplaceAll(text, s.value, hole)}
		case 5:
			body := func(value string) string {
				return `{"error":{"message":"bad: postgres://u:` + value + `@h/x"}}` + "\n"
			}
			k.response = side{body(s.value), body(hole)}
			k.err = side{"bad: postgres://u:" + s.value + "@h/x", "bad: postgres://u:" + hole + "@h/x"}
			e.Status, e.Outcome, e.Error, e.ErrorOrigin = 400, exchange.Failed, k.err.body, exchange.OriginOpenAI
		}
		request := record.Message{Method: e.Method, URI: k.uri.body, Header: http.Header{"User-Agent": {"codex"}}}
		if k.header.body != "" {
			request.Header["X-Note"] = []string{"first", k.header.body}
		}
		body := []byte(k.request.body)
		if k.decoded = place == 0 && r.IntN(2) == 0; k.decoded {
			request.Header["Content-Encoding"] = []string{"gzip"}
			body = zipped(k.request.body)
		}
		if frames {
			request.Framing = "websocket"
		}
		w, err := spool.Open(t.Context(), e, request, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteRequest(body); err != nil {
			t.Fatal(err)
		}
		w.Answer(e.Status, http.Header{"X-Request-Id": {"req_1"}})
		if err := w.WriteResponse([]byte(k.response.body)); err != nil {
			t.Fatal(err)
		}
		w.Close(e)
		k.exchange = e
		all = append(all, k)
	}
	if err := spool.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return all, planted
}
