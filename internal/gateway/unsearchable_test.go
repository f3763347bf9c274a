package gateway_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/gateway"
)

// witness is an upstream that notes all that it gets of a request.
type witness struct{ got bytes.Buffer }

func (o *witness) start(t *testing.T) *httptest.Server {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		o.got.Write(body)
		_ = r.Write(&o.got) // the line and the header
		fmt.Fprint(&o.got, r.Trailer)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	}))
	return server
}

func wide(text string, order binary.AppendByteOrder, size int, mark bool) []byte {
	var out []byte
	if mark {
		text = "\ufeff" + text
	}
	if size == 4 {
		for _, r := range text {
			out = order.AppendUint32(out, uint32(r))
		}
		return out
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return out
}

func zipped(text []byte, head gzip.Header) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Header = head
	_, _ = w.Write(text)
	_ = w.Close()
	return out.Bytes()
}

func skipped(text string) []byte {
	return append(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 0x184D2A50), uint32(len(text))), text...)
}

// attempted is one way to get a secret past the search.
type attempted struct {
	name, path, kind string
	codings          []string
	body             []byte
	header, trailer  http.Header
	reason           string // of the refusal; none if it leaves without the secret
}

func attempts() []attempted {
	plain := string(mention(planted, 0))
	clean := []byte(mention("nothing", 0))
	coded := must(zstd.NewWriter(nil)).EncodeAll([]byte(plain), nil)
	cleanCoded := must(zstd.NewWriter(nil)).EncodeAll(clean, nil)
	const unchecked = "secrets_unchecked"
	all := []attempted{
		{name: "gzip twice", codings: []string{"gzip", "gzip"}, body: zipped(zipped([]byte(plain), gzip.Header{}), gzip.Header{}), reason: unchecked},
		{name: "gzip twice in one line", codings: []string{"gzip, gzip"}, body: zipped(zipped([]byte(plain), gzip.Header{}), gzip.Header{}), reason: unchecked},
		{name: "identity and gzip", codings: []string{"identity", "gzip"}, body: zipped([]byte(plain), gzip.Header{}), reason: unchecked},
		{name: "gzip and identity", codings: []string{"gzip", "identity"}, body: zipped([]byte(plain), gzip.Header{}), reason: unchecked},
		{name: "nothing and gzip", codings: []string{"", "gzip"}, body: zipped([]byte(plain), gzip.Header{}), reason: unchecked},
		{name: "nothing", codings: []string{""}, body: zipped([]byte(plain), gzip.Header{}), reason: unchecked},
		{name: "identity that is gzip", codings: []string{"identity"}, body: zipped([]byte(plain), gzip.Header{}), reason: unchecked},
		{name: "gzip unsaid", body: zipped([]byte(plain), gzip.Header{}), reason: unchecked},
		{name: "zstd unsaid", body: coded, reason: unchecked},
		{name: "gzip said to be zstd", codings: []string{"zstd"}, body: zipped([]byte(plain), gzip.Header{}), reason: unchecked},
		{name: "br", codings: []string{"br"}, body: []byte(plain), reason: unchecked},
		{name: "gzip", codings: []string{"GZIP "}, body: zipped([]byte(plain), gzip.Header{})},
		{name: "gzip's name", codings: []string{"gzip"}, body: zipped(clean, gzip.Header{Name: planted})},
		{name: "gzip's comment", codings: []string{"x-gzip"}, body: zipped(clean, gzip.Header{Comment: planted})},
		{name: "gzip's extra", codings: []string{"gzip"}, body: zipped(clean, gzip.Header{Extra: []byte(planted)})},
		{name: "a name in a second gzip", codings: []string{"gzip"}, body: append(zipped(clean, gzip.Header{}), zipped(nil, gzip.Header{Name: planted})...)},
		{name: "a frame that zstd skips", codings: []string{"zstd"}, body: append(skipped(planted), cleanCoded...)},
		{name: "a frame that zstd skips at the end", codings: []string{"zstd"}, body: append(bytes.Clone(cleanCoded), skipped(planted)...)},
		{name: "a BOM", body: []byte("\ufeff" + plain), reason: unchecked},
		{name: "a NUL behind", body: []byte(plain + "\x00"), reason: unchecked},
		{name: "two documents", body: []byte("{}" + plain), reason: unchecked},
		{name: "a broken one", body: []byte(strings.TrimSuffix(plain, "}")), reason: unchecked},
		{name: "a form's text", kind: "application/x-www-form-urlencoded", body: []byte("input=" + planted), reason: unchecked},
		{name: "JSON as a form's text", kind: "application/x-www-form-urlencoded", body: []byte(plain)},
		{name: "no UTF-8", body: []byte(strings.Replace(plain, planted, "\xff"+planted, 1)), reason: unchecked},
		{name: "NaN", body: []byte(`{"input":"` + planted + `","temperature":NaN}`), reason: unchecked},
		{name: "deep", body: []byte(`{"input":` + strings.Repeat("[", 1000) + `"` + planted + `"` + strings.Repeat("]", 1000) + `}`), reason: unchecked},
		{name: "in the path", path: "/v1/models/" + planted, reason: "secret_blocked"},
		{name: "in the path, percent-encoded", path: "/v1/models/" + strings.Replace(planted, "K", "%4B", 1), reason: "bad_path"},
		{name: "in the query", path: "/v1/responses?x=" + planted, body: clean},
		{name: "a trailer", body: clean, trailer: http.Header{"X-A": {planted}}},
		{name: "a form's trailer", path: "/v1/files", kind: "multipart/form-data; boundary=x", body: []byte("--x--"), trailer: http.Header{"X-A": {planted}}},
		{name: "a form where none is taken", kind: "multipart/form-data; boundary=x", body: []byte("--x\r\n\r\n" + planted + "\r\n--x--"), reason: unchecked},
		{name: "a form that is none", path: "/v1/conversations", kind: "multipart/form-data; boundary=x", body: []byte(plain)},
	}
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		for _, size := range []int{2, 4} {
			for _, mark := range []bool{true, false} {
				for _, kind := range []string{"application/json", fmt.Sprintf("application/json; charset=utf-%d%se", 8*size, name[:1])} {
					all = append(all, attempted{name: fmt.Sprint("UTF ", size, name, mark, kind), kind: kind, body: wide(plain, order, size, mark), reason: unchecked})
				}
			}
		}
	}
	for _, path := range []string{
		"/v1/responses", "/v1/responses/compact", "/v1/conversations", "/v1/conversations/c/items", "/v1/threads/t/messages", "/v1/embeddings", "/v1/batches", "/v1/assistants",
		"/v1/alpha/search", "/v1/memories/trace_summarize", "/v1/v1/responses", "/v1/moderations", "/v1/images/generations", "/v1/audio/speech",
		"/v1/images/edits", "/v1/files", "/v1/uploads", "/v1/of-next-year", "/responses",
	} {
		for _, kind := range []string{"image/png", "application/octet-stream", "audio/wav", "text/plain", "", "no type;;"} {
			all = append(all, attempted{name: path + " as " + kind, path: path, kind: kind, body: []byte(plain)})
		}
	}
	for _, name := range []string{"Accept", "Accept-Encoding", "Content-Type", "Accept-Language", "X-Anything", "Openai-Beta", "Idempotency-Key"} {
		all = append(all, attempted{name: "the header " + name, body: clean, header: http.Header{name: {"text/html; a=" + planted}}})
	}
	for _, in := range []string{
		`{"type":"message","content":[{"type":"input_image","image_url":"https://x.example.com/a?token=%s"}]}`,
		`{"type":"message","content":[{"type":"input_image","image_url":"https://bob:%s@x.example.com/a"}]}`,
		`{"type":"message","content":[{"type":"input_file","file_url":"https://x.example.com/a?k=%s"}]}`,
		`{"type":"message","content":[{"type":"input_file","file_name":"%s"}]}`,
		`{"type":"message","status":"%s"}`, `{"type":"%s"}`, `{"name":"%s"}`, `{"namespace":"%s"}`, `{"filename":"%s"}`, `{"phase":"%s"}`, `{"some_id":"%s"}`, `{"role":"%s"}`,
		`{"type":"additional_tools","tools":[{"type":"mcp","headers":{"Authorization":"Bearer %s"}}]}`,
		`{"type":"mcp","authorization":"%s"}`, `{"type":"mcp","server_url":"https://x.example.com/%s/sse"}`, `{"%s":1}`,
		`{"type":"function","parameters":{"properties":{"a":{"default":"%s"}}}}`, `{"type":"compaction","note":"%s"}`,
	} {
		item := strings.ReplaceAll(in, "%s", planted)
		all = append(all,
			attempted{name: in, body: []byte(`{"model":"m","input":[` + item + `]}`)},
			attempted{name: "tool " + in, body: []byte(`{"model":"m","tools":[` + item + `],"input":"x"}`)})
	}
	return all
}

// TestNoWayRoundTheSearch tries each way with a fresh conversation.
func TestNoWayRoundTheSearch(t *testing.T) {
	upstream := &witness{}
	f := newFixture(t, options{upstream: upstream.start(t), endpoints: "all"})
	n, unknown := 0, 0
	for _, a := range attempts() {
		upstream.got.Reset()
		path := a.path
		if path == "" {
			path = "/v1/responses"
		}
		body := io.Reader(bytes.NewReader(a.body))
		if a.trailer != nil {
			body = &oddReader{body}
		}
		r := f.request("POST", path, body)
		r.Header.Set("Session-Id", fmt.Sprint("s", n))
		r.Header["Content-Type"] = []string{a.kind}
		if a.kind == "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for name, values := range a.header {
			r.Header[name] = values
		}
		if a.codings != nil {
			r.Header["Content-Encoding"] = a.codings
		}
		r.Trailer = a.trailer
		response, answer := f.do(r)
		if n++; a.reason == "bad_path" {
			unknown++ // whose it was is not asked
		}
		if got := response.Header.Get("X-Codex-Proxy-Refusal"); got != a.reason {
			t.Errorf("%s: %s, refusal %q, want %q: %s", a.name, response.Status, got, a.reason, answer)
		}
		seen := upstream.got.Bytes()
		if a.reason != "" && len(seen) > 0 {
			t.Errorf("%s: upstream got a request that was refused", a.name)
		}
		if bytes.Contains(seen, []byte(planted)) || bytes.Contains(seen, []byte(base64.StdEncoding.EncodeToString([]byte(planted)))) || bytes.Contains(answer, []byte(planted)) {
			t.Errorf("%s: the secret left: %q", a.name, seen)
		}
	}
	f.exchanges(n - unknown)
	f.mustHoldNowhere(planted)
}

// TestNoMessageRoundTheSearch sends over a WebSocket what is no JSON in UTF-8.
func TestNoMessageRoundTheSearch(t *testing.T) {
	f := newFixture(t, options{})
	plain := string(turn(planted, 0))
	for _, message := range []string{"\ufeff" + plain, plain + "{}", strings.TrimSuffix(plain, "}"), plain + "\x00", string(wide(plain, binary.LittleEndian, 2, false))} {
		c := f.dial()
		_ = c.Write(t.Context(), websocket.MessageText, []byte(message))
		_, answer, err := c.Read(t.Context())
		if said := string(answer); strings.Contains(said, planted) || err == nil && !strings.Contains(said, "error") {
			t.Errorf("%.20q is answered with %s, %v", message, answer, err)
		}
		_ = c.CloseNow()
	}
	for _, got := range f.openai.Received() {
		if len(got.Body) > 0 { // the upgrade has none
			t.Errorf("upstream got %q", got.Body)
		}
	}
}

// TestAPathsSecretIsInNoLog, whoever sends it.
func TestAPathsSecretIsInNoLog(t *testing.T) {
	f := newFixture(t, options{})
	f.setEnabled("alice@example.com", false)
	for _, token := range []string{"", f.token, "codexproxy_nobody"} {
		r := f.request("GET", "/v1/models/"+planted+"?k="+planted, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("X-Anything", planted)
		if response, _ := f.do(r); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s", response.Status)
		}
	}
	f.exchanges(1)
	f.mustHoldNowhere(planted)
}

// TestACleanCodedBodyGoesOnAsItCame, unless it has room for words beside what it means.
func TestACleanCodedBodyGoesOnAsItCame(t *testing.T) {
	f := newFixture(t, options{})
	clean := mention("nothing", 0)
	large := mention(strings.Repeat("some text, and some more. ", 30_000), 0)
	encoder := must(zstd.NewWriter(nil, zstd.WithEncoderCRC(false)))
	var stream bytes.Buffer
	w := must(zstd.NewWriter(&stream))
	_, _ = w.Write(large)
	_ = w.Flush()
	_, _ = w.Write([]byte(" "))
	_ = w.Close()
	for i, c := range []struct {
		coding string
		body   []byte
		coded  bool
	}{
		{"gzip", zipped(clean, gzip.Header{}), true},
		{"zstd", encoder.EncodeAll(clean, nil), true},
		{"zstd", encoder.EncodeAll(large, nil), true},
		{"zstd", stream.Bytes(), true},
		{"gzip", zipped(clean, gzip.Header{Name: "request.json"}), false},
	} {
		r := f.request("POST", "/v1/responses", bytes.NewReader(c.body))
		r.Header.Set("Content-Encoding", c.coding)
		f.do(r)
		got := f.openai.Received()[i]
		if (got.Header.Get("Content-Encoding") == c.coding) != c.coded || c.coded && !bytes.Equal(got.Body, c.body) && !json.Valid(got.Body) {
			t.Errorf("%d: upstream got %v", i, got.Header)
		}
	}
}

// TestAnAnswerThatIsTooLargeToBeHeldComesWholeAndIsLogged.
func TestAnAnswerThatIsTooLargeToBeHeldComesWholeAndIsLogged(t *testing.T) {
	for _, kind := range []string{"application/json", "text/event-stream"} {
		server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", kind)
			fmt.Fprintf(w, `data: {"type":"x","text":"%s%s"}`+"\n\n"+`data: {"type":"x","text":"%[1]s"}`+"\n\n", placeholders.Find(body), strings.Repeat("-", 100_000))
		}))
		f := newFixture(t, options{upstream: server, limits: func(l *gateway.Limits) { l.Search = 32 << 10 }})
		_, answer := f.do(f.request("POST", "/v1/responses", bytes.NewReader(turn(planted, 0))))
		f.exchanges(1)
		if len(answer) < 100_000 || strings.Contains(string(answer), planted) != (kind == "text/event-stream") || !placeholders.Match(answer) {
			t.Errorf("%s: the client got %d bytes", kind, len(answer))
		}
		if !strings.Contains(f.log.String(), "too large to be held") {
			t.Errorf("%s: nobody is told", kind)
		}
	}
}
