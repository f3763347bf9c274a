package endpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, text string) (List, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "endpoints.txt")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(name)
}

func expect(t *testing.T, list List, allowed bool, requests ...string) {
	t.Helper()
	for _, request := range requests {
		method, path, _ := strings.Cut(request, " ")
		if list.Allows(method, path) != allowed {
			t.Errorf("%s: allowed %t, want %t", request, !allowed, allowed)
		}
	}
}

func TestCodexAndTheLibrariesMayAskAModelAndNothingElse(t *testing.T) {
	for _, setting := range []string{"", "codex"} {
		list, err := Load(setting)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, list, true,
			"POST /responses", "GET /responses", "HEAD /responses", "POST /responses/compact", "POST /responses/input_tokens",
			"GET /models", "GET /models/gpt-5.1-codex", "GET /models/ft:gpt-4.1:org::abc", "POST /chat/completions",
			"POST /completions", "POST /embeddings", "POST /moderations", "POST /alpha/search", "POST /images/generations",
			"POST /images/edits", "POST /audio/transcriptions", "POST /audio/speech")
		expect(t, list, false,
			// what is stored is everybody's
			"GET /responses/resp_1", "DELETE /responses/resp_1", "POST /responses/resp_1/cancel", "GET /responses/resp_1/input_items",
			"GET /conversations/conv_1", "POST /conversations", "GET /chat/completions", "GET /chat/completions/c_1", "GET /files",
			"POST /files", "DELETE /files/file-1", "GET /files/file-1/content", "POST /uploads", "GET /vector_stores", "POST /batches",
			"GET /batches/b_1", "POST /evals", "GET /fine_tuning/jobs", "POST /fine_tuning/jobs", "GET /containers", "POST /videos",
			"POST /threads", "POST /assistants", "DELETE /models/ft:gpt-4.1:org::abc",
			// credentials, and what spends by itself
			"POST /realtime/client_secrets", "POST /realtime/sessions", "POST /realtime/calls", "GET /realtime", "POST /chatkit/sessions",
			"GET /organization/usage", "POST /organization/admin_api_keys", "POST /audio/translations", "POST /images/variations",
			// other spellings are other paths
			"POST /Responses", "POST /RESPONSES", "POST /responses/", "POST //responses", "POST /v1/responses", "POST responses",
			"POST /responsesx", "POST /respons%65s", "POST /responses?x", "POST ", "POST /", "GET /models/", "GET /models/a/b", "GET /models//",
			// other methods are other endpoints
			"post /responses", "Post /responses", "PUT /responses", "DELETE /responses", "OPTIONS /responses", "PATCH /responses",
			"HEAD /models", "POST /models", "OPTIONS *", "PURGE /models", "TRACE /responses", "TRACK /responses", "CONNECT /responses")
	}
}

func TestAllOpensEverythingButWhatShowsTheKey(t *testing.T) {
	list, err := Load("all")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, list, true, "POST /responses", "DELETE /files/file-1", "PURGE /anything/at-all", "OPTIONS /responses", "GET /")
	expect(t, list, false, "TRACE /responses", "TRACK /models", "CONNECT /models", "trace /models", "Track /models")
}

func TestAFileOpensWhatItLists(t *testing.T) {
	list, err := load(t, "\ufeff# what we use\r\n\r\nPOST /v1/responses # Codex\r\nGET,DELETE\t/responses/{response_id}\r\nGET /files/*/content\n")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, list, true, "POST /responses", "GET /responses/resp_1", "DELETE /responses/resp_1", "GET /files/f/content")
	expect(t, list, false, "GET /responses", "GET /models", "POST /responses/resp_1", "GET /responses/", "GET /responses/a/b",
		"GET /files/f", "GET /files//content", "TRACE /responses")

	list, err = load(t, "include codex\nGET /files\n")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, list, true, "POST /responses", "GET /models/gpt-5", "GET /files")
	expect(t, list, false, "DELETE /files/f", "POST /files")
}

func TestAFileThatIsNotUnderstoodIsAnErrorWithItsLine(t *testing.T) {
	for text, says := range map[string]string{
		"":                                 "opens nothing",
		"# nothing\n\n":                    "opens nothing",
		"POST /responses\nGET":             `line 2: "GET" is not METHOD`,
		"/responses":                       "line 1",
		"include all":                      `"include" is no method`,
		"include codex files":              "line 1",
		"POST /a /b":                       "line 1",
		"post /responses":                  `"post" is no method`,
		"POST, GET /responses":             "line 1",
		"POST,,GET /responses":             `"" is no method`,
		"* /responses":                     `"*" is no method`,
		"\n\nTRACE /responses":             "line 3: TRACE cannot be opened",
		"GET,TRACK /responses":             "TRACK cannot be opened",
		"CONNECT /responses":               "CONNECT cannot be opened",
		"POST responses":                   "does not begin with a slash",
		"POST https://api.openai.com/v1/x": "does not begin with a slash",
		"POST /responses/":                 "cannot be matched",
		"POST //responses":                 "cannot be matched",
		"POST /":                           "cannot be matched",
		"POST /v1/":                        "cannot be matched",
		"POST /responses?x=1":              "cannot be matched",
		"POST /respons%65s":                "cannot be matched",
		"POST /files/*.txt":                "cannot be matched",
		"POST /files/**":                   "cannot be matched",
		"POST /files/{id":                  "cannot be matched",
		"POST /files/{}":                   "cannot be matched",
		"POST /files/a{id}":                "cannot be matched",
		"POST /a/../b":                     "cannot be matched",
		"POST /a/./b":                      "cannot be matched",
		"POST /a;b":                        "cannot be matched",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "endpoints.txt") {
			t.Errorf("%q: %v; want an error that names the file and says %q", text, err, says)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), `"codex", "all" or a file`) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestEveryRowOfTheTableSaysWhatItsRequestsAre holds the table to what others ask
// of it.
func TestEveryRowOfTheTableSaysWhatItsRequestsAre(t *testing.T) {
	for _, row := range Codex() {
		for _, method := range row.Methods {
			if got := Of(method, row.Path); got.Body != row.Body || got.Spends != row.Spends || got.WebSocket != row.WebSocket {
				t.Errorf("%s %s is looked up as %+v", method, row.Path, got)
			}
			if (method == "POST") != (row.Body == BodyJSON || row.Body == BodyForm) {
				t.Errorf("%s %s has the body %d", method, row.Path, row.Body)
			}
		}
	}
	if got := Of("POST", "/files"); got.Body != BodyUnknown || got.Spends {
		t.Errorf("an endpoint that is not in the table is looked up as %+v", got)
	}
}

// TestTheDocumentNamesEveryEndpoint holds docs/endpoints.md to the table.
func TestTheDocumentNamesEveryEndpoint(t *testing.T) {
	text, err := os.ReadFile("../../../docs/endpoints.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range Codex() {
		for _, method := range row.Methods {
			want := "| `" + method + " " + strings.ReplaceAll(row.Path, "*", "ID") + "` |"
			if !strings.Contains(string(text), want) {
				t.Errorf("docs/endpoints.md has no row %s", want)
			}
		}
	}
}
