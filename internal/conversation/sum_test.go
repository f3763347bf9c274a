package conversation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhatIsSaidAgainHasTheSameSum holds an answer as it was streamed to the same
// answer as the next request sends it back, without ids and states.
func TestWhatIsSaidAgainHasTheSameSum(t *testing.T) {
	answer := ReadResponse([]byte(`data: {"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning","status":"completed","summary":[{"type":"summary_text","text":"Hm."}],"encrypted_content":"gAAA"}}

data: {"type":"response.output_item.done","output_index":1,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[]}]}}

data: {"type":"response.output_item.done","output_index":2,"item":{"id":"fc_1","type":"function_call","status":"completed","call_id":"c1","name":"shell","arguments":"{\"cmd\":\"ls\"}"}}

data: {"type":"response.completed","response":{}}

`))
	request := ReadRequest([]byte(`{"previous_response_id":"resp_1","input":[{"type":"reasoning","summary":[],"encrypted_content":"gAAA"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]},
		{"type":"function_call","call_id":"c1","name":"shell","arguments":"{\"cmd\":\"ls\"}"},{"type":"function_call","call_id":"c2","name":"shell","arguments":"{\"cmd\":\"ls -a\"}"},
		{"type":"function_call_output","call_id":"c1","output":"a"},{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]},{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,AAAB"}]}]}`))
	if request.Previous != "resp_1" {
		t.Errorf("it goes on from %q", request.Previous)
	}
	for i, entry := range answer {
		if entry.Sum != request.Entries[i].Sum {
			t.Errorf("%q has another sum when it is sent back as %q", entry.Text, request.Entries[i].Text)
		}
	}
	seen := map[Sum]bool{}
	var places []string
	for _, entry := range request.Entries {
		if seen[entry.Sum] {
			t.Errorf("%q has the sum of another", entry.Text)
		}
		seen[entry.Sum] = true
		places = append(places, entry.Place)
	}
	if diff := cmp.Diff([]string{"input[0]", "input[1]", "input[2]", "input[3]", "input[4]", "input[5]", "input[6]"}, places); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Image{{Media: "image/png", Base64: "AAAA"}}, request.Entries[5].Images); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	// The output's tool is known only where its call stands beside it.
	alone := ReadRequest([]byte(`{"input":[{"type":"function_call_output","call_id":"c1","output":"a"}]}`)).Entries[0]
	if alone.Sum != request.Entries[4].Sum {
		t.Error("an output has another sum without its call")
	}
}

func TestAnAnswersIDIsFoundWhateverItsForm(t *testing.T) {
	for body, want := range map[string]string{
		"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n":   "resp_1",
		`{"type":"codex.rate_limits"}` + "\n" + `{"type":"response.created","response":{"id":"resp_2"}}` + "\n": "resp_2",
		`{"id":"resp_3","object":"response"}`: "resp_3",
		`{"error":{"message":"no"}}`:          "",
		"no JSON":                             "",
	} {
		if got := AnswerID([]byte(body)); got != want {
			t.Errorf("%q has the id %q, want %q", body, got, want)
		}
	}
}
