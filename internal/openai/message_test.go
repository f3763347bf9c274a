package openai_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/openai"
)

func TestAClearMessageIsReadAsEveryParserReadsIt(t *testing.T) {
	for text, want := range map[string]openai.Request{
		`{"type":"response.create","model":"gpt-5.1","generate":false,"stream_id":"main","input":[{"type":"x","Type":"y","model":"z"}]}`: {
			Type: "response.create", Model: "gpt-5.1", Warmup: true, StreamID: "main",
		},
		" \r\n\t" + `{"\u0074ype":"response\u002ecreate"} `: {Type: "response.create"},
		`{"type":"response.interrupt","response_id":"resp_1","mode":"discard_partial_items"}`: {
			Type: "response.interrupt", ResponseID: "resp_1",
		},
		`{"type":"tomorrow","typ":1,"typed":2,"mode":3,"text":"é\ud83d\ude00"}`: {Type: "tomorrow"},
	} {
		fields, err := openai.ReadMessage([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, openai.ReadRequest(fields)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestAMessageThatAnotherParserMayReadOtherwiseIsNotClear(t *testing.T) {
	const create = `{"type":"response.create"}`
	for name, text := range map[string]string{
		"nothing":                      "",
		"space":                        " \n",
		"words":                        "bye",
		"a text":                       `"response.create"`,
		"null":                         "null",
		"an array":                     "[" + create + "]",
		"a byte order mark":            "\ufeff" + create,
		"a no-break space":             "\u00a0" + create,
		"a line separator":             "\u2028" + create,
		"a NUL behind it":              create + "\x00",
		"two objects":                  create + create,
		"the beginning of an object":   `{"type":"response.create","input":"`,
		"brackets that do not match":   `{"type":"response.create","input":[}}`,
		"a comma too many":             `{"type":"response.create",}`,
		"a comment":                    `{"type":"response.create"/*,"type":"x"*/}`,
		"single quotes":                `{'type':'response.create'}`,
		"NaN":                          `{"type":"response.create","temperature":NaN}`,
		"a control character":          "{\"type\":\"response.create\",\"input\":\"\x01\"}",
		"no type":                      `{"model":"gpt-5.1"}`,
		"an empty type":                `{"type":""}`,
		"a type that is no text":       `{"type":["response.create"]}`,
		"the type twice":               `{"type":"response.create","type":"x"}`,
		"the type twice, one escaped":  `{"type":"x","\u0074ype":"response.create"}`,
		"the type twice, far apart":    `{"type":"x","input":"` + strings.Repeat("x", 1<<20) + `","type":"response.create"}`,
		"another spelling of type":     `{"Type":"response.create"}`,
		"type in two spellings":        `{"type":"x","TYPE":"response.create"}`,
		"type in an escaped spelling":  `{"type":"x","\u0054ype":"response.create"}`,
		"the model twice":              `{"type":"response.create","model":"a","model":"b"}`,
		"the model in two spellings":   `{"type":"response.create","model":"a","Model":"b"}`,
		"generate twice":               `{"type":"response.create","generate":true,"generate":false}`,
		"a type as long as an article": `{"type":"` + strings.Repeat("x", 100<<10) + `"}`,
		"too many levels":              `{"type":"x","input":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`,
	} {
		if _, err := openai.ReadMessage([]byte(text)); err == nil || errors.Is(err, openai.ErrNotUTF8) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"Latin-1":      "{\"type\":\"response.create\",\"input\":\"caf\xe9\"}",
		"UTF-16":       "{\x00\"\x00t\x00y\x00p\x00e\x00\"\x00:\x00\"\x00x\x00\"\x00}\x00\xff",
		"a surrogate":  "{\"type\":\"response.create\",\"input\":\"\xed\xa0\x80\"}",
		"overlong":     "{\"type\":\"response.create\",\"input\":\"\xc0\xaf\"}",
		"cut in a row": "{\"type\":\"response.create\",\"input\":\"\xe2\x82",
	} {
		if _, err := openai.ReadMessage([]byte(text)); !errors.Is(err, openai.ErrNotUTF8) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheHeadOfAnEventTellsWhichAnswerItBelongsTo(t *testing.T) {
	heads := openai.NewHeadReader()
	for _, c := range []struct {
		event string
		want  openai.EventHead
	}{
		{
			`{"type":"response.created","response":{"id":"resp_1","model":"gpt-5.1","previous_response_id":"resp_0"},"stream_id":"main"}`,
			openai.EventHead{Type: "response.created", ResponseID: "resp_1", Model: "gpt-5.1", PreviousResponseID: "resp_0", StreamID: "main"},
		},
		{
			`{"response":{"status":"completed","id":"resp_1","output":[{"type":"message","id":"msg_1"}]},"type":"response.completed"}`,
			openai.EventHead{Type: "response.completed", ResponseID: "resp_1"},
		},
		{`{"type":"response.output_text.delta","item_id":"msg_1","delta":"x"}`, openai.EventHead{Type: "response.output_text.delta"}},
		{`{"type":"response.interrupt.accepted","response_id":"resp_1"}`, openai.EventHead{Type: "response.interrupt.accepted", ResponseID: "resp_1"}},
		{`{"type":"response.steer.accepted","steer":{"id":"steer_1","previous_response_id":"resp_1"}}`, openai.EventHead{Type: "response.steer.accepted", ResponseID: "resp_1"}},
		{`{"type":"error","status":429,"error":{"code":"x","id":"resp_9"}}`, openai.EventHead{Type: "error", Status: 429}},
		{`{"type":"error","status":99}`, openai.EventHead{Type: "error"}},
		{`not JSON`, openai.EventHead{}},
		{``, openai.EventHead{}},
	} {
		if diff := cmp.Diff(c.want, heads.Read([]byte(c.event))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.event, diff)
		}
	}
}
