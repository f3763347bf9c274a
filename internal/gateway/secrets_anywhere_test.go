package gateway_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// madeUp makes a secret of some kind, and a line in which one stands.
func madeUp(r *rand.Rand) (secret, line string) {
	some := func(alphabet string, n int) string {
		out := make([]byte, n)
		for i := range out {
			out[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(out)
	}
	const upper, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	lower := strings.ToLower(upper)
	switch r.IntN(5) {
	case 0:
		secret = "AKIA" + some(upper+"234567", 16)
		return secret, "AWS_ACCESS_KEY_ID=" + secret
	case 1:
		secret = "glpat-" + some(upper+lower+digits, 20)
		return secret, "token: " + secret
	case 2:
		secret = "xoxb-" + some(digits, 12) + "-" + some(digits, 12) + "-" + some(upper+lower+digits, 24)
		return secret, `{"slack":"` + secret + `"}`
	case 3: // with what JSON and URLs escape
		secret = some(upper+lower+digits, 10) + "$" + some(digits+lower, 8)
		return secret, "DATABASE_URL=postgres://app:" + secret + "@db.internal/app?sslmode=require"
	}
	secret = some(upper+lower+digits, 24)
	return secret, "https://deploy:" + secret + "@git.example.com/app.git"
}

// inAnyPlace is a request in which a line stands in some of the places of one.
func inAnyPlace(r *rand.Rand, line string) []byte {
	text := func() string {
		switch r.IntN(4) {
		case 0:
			return "nothing here, \"é\" <&> \\ \u2028"
		case 1:
			inner, _ := json.Marshal(map[string]any{"output": "A=1\n" + line + "\nB=2", "exit_code": 0})
			return string(inner)
		case 2:
			return "$ base64 .env\n" + base64.StdEncoding.EncodeToString([]byte("FIRST=1\n"+line+"\nLAST=2\n"))
		}
		return "before\n" + line + "\nafter"
	}
	body, _ := json.Marshal(map[string]any{
		"model": "gpt-5.1-codex", "stream": true, "instructions": text(),
		"input": []any{
			map[string]any{"type": "message", "role": "user", "content": []any{map[string]any{"type": "input_text", "text": text()}}},
			map[string]any{"type": "function_call", "call_id": "c", "name": "shell", "arguments": text()},
			map[string]any{"type": "function_call_output", "call_id": "c", "output": text()},
			map[string]any{"type": "reasoning", "summary": []any{map[string]any{"type": "summary_text", "text": text()}}, "encrypted_content": "gAAAAAB"},
			map[string]any{"type": "of_next_year", "whatever": map[string]any{"deep": []any{text()}}},
			map[string]any{"type": "message", "role": "user", "content": "and " + line},
		},
	})
	return body
}

// TestNoSecretOfAnyRequestLeavesOrIsWrittenDown plants secrets in places of all
// sorts, and looks for them in all that upstream got and all that is on disk.
func TestNoSecretOfAnyRequestLeavesOrIsWrittenDown(t *testing.T) {
	f := newFixture(t, options{})
	r := rand.New(rand.NewPCG(7, 11))
	encoder := must(zstd.NewWriter(nil))
	const requests = 40
	var all []string
	for n := range requests {
		secret, line := madeUp(r)
		all = append(all, secret)
		body := inAnyPlace(r, line)
		request := f.request("POST", "/v1/responses", bytes.NewReader(body))
		if n%3 == 0 {
			request = f.request("POST", "/v1/responses", bytes.NewReader(encoder.EncodeAll(body, nil)))
			request.Header.Set("Content-Encoding", "zstd")
		}
		request.Header.Set("Session_id", fmt.Sprint("session", n/2))
		f.do(request)
		got := f.openai.Received()
		sent := got[len(got)-1].Body
		for _, trace := range []string{secret, base64.StdEncoding.EncodeToString([]byte("FIRST=1\n" + line + "\nLAST=2\n"))} {
			if bytes.Contains(sent, []byte(trace)) {
				t.Errorf("request %d: upstream got %.9s…", n, trace)
			}
		}
		// All bytes around the placeholders are the client's.
		rest := string(body)
		for _, piece := range regexp.MustCompile(`__SECRET_[0-9A-Za-z_]+?__`).Split(string(sent), -1) {
			i := strings.Index(rest, piece)
			if i < 0 {
				t.Fatalf("request %d: upstream got bytes that the client did not send: %.80s", n, piece)
			}
			rest = rest[i+len(piece):]
		}
		if rest != "" {
			t.Errorf("request %d: upstream did not get the end", n)
		}
	}
	f.exchanges(requests)
	for _, secret := range all {
		f.mustHoldNowhere(secret)
	}
}
