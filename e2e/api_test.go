package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// described is the API, held to its own description: each answer must be one that the
// description has, of the shape that it says.
type described struct {
	t         *testing.T
	address   string
	paths     map[string]map[string]any
	compiler  *jsonschema.Compiler
	exercised map[string]bool
}

// describe asks a server for the description of its API.
func describe(t *testing.T, address string) *described {
	t.Helper()
	d := &described{t: t, address: address, compiler: jsonschema.NewCompiler(), exercised: map[string]bool{}}
	response, err := http.Get("http://" + address + "/api/v1/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var document map[string]any
	if err := yaml.NewDecoder(response.Body).Decode(&document); err != nil {
		t.Fatalf("the description: %v", err)
	}
	// The numbers of the description must be those of JSON.
	raw, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err == nil {
		err = d.compiler.AddResource("openapi.json", plain)
	}
	if err == nil {
		var paths struct{ Paths map[string]map[string]any }
		err = json.Unmarshal(raw, &paths)
		d.paths = paths.Paths
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// schemaOf is what the description says of an answer; nil where it is no JSON.
func (d *described) schemaOf(path, method string, status int, mediaType string) *jsonschema.Schema {
	d.t.Helper()
	escaped := strings.NewReplacer("~", "~0", "/", "~1")
	pointer := "#/paths/" + escaped.Replace(path) + "/" + method + "/responses/" + strconv.Itoa(status)
	responses, _ := d.paths[path][method].(map[string]any)["responses"].(map[string]any)
	answer, found := responses[strconv.Itoa(status)].(map[string]any)
	if !found {
		d.t.Errorf("%s %s answers %d, of which the description knows nothing", method, path, status)
		return nil
	}
	if elsewhere, is := answer["$ref"].(string); is {
		pointer = elsewhere
	} else if kinds, _ := answer["content"].(map[string]any); kinds[mediaType] == nil {
		d.t.Errorf("%s %s answers %d as %s, of which the description knows nothing", method, path, status, mediaType)
		return nil
	}
	if !strings.HasSuffix(mediaType, "json") {
		return nil
	}
	schema, err := d.compiler.Compile("openapi.json" + pointer + "/content/" + escaped.Replace(mediaType) + "/schema")
	if err != nil {
		d.t.Fatalf("what is said of %s %s: %v", method, path, err)
	}
	return schema
}

// call calls a route of the description, whose parameters in braces are given in their
// order, and checks the answer. It returns its status and its body.
func (d *described) call(credential, method, route, body string, parameters ...string) (int, []byte) {
	d.t.Helper()
	path, query, _ := strings.Cut(route, "?")
	d.exercised[strings.ToLower(method)+" "+path] = true
	at := 0
	address := regexp.MustCompile(`\{\w+\}`).ReplaceAllStringFunc(route, func(string) string { at++; return parameters[at-1] })
	request, err := http.NewRequestWithContext(d.t.Context(), method, "http://"+d.address+"/api/v1"+address, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+credential)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	schema := d.schemaOf(path, strings.ToLower(method), response.StatusCode, mediaType)
	if schema == nil {
		return response.StatusCode, answer
	}
	for line := range bytes.Lines(answer) {
		told, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err == nil {
			err = schema.Validate(told)
		}
		if err != nil {
			d.t.Errorf("%s %s?%s: %v", method, path, query, err)
		}
	}
	return response.StatusCode, answer
}

// left are the routes that the description has and nothing has called.
func (d *described) left() (routes []string) {
	for path, methods := range d.paths {
		for method := range methods {
			if !d.exercised[method+" "+path] {
				routes = append(routes, method+" "+path)
			}
		}
	}
	slices.Sort(routes)
	return routes
}

// credential makes one for the API.
func (d demo) credentialFor(t *testing.T, name, role string) string {
	t.Helper()
	var made struct{ Credential string }
	out, err := exec.CommandContext(t.Context(), binary, "console", "token", "add", name, "--role", role, "--json", "--data", d.data).Output()
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil {
		t.Fatalf("make a credential: %v", err)
	}
	return made.Credential
}

// read reads JSON.
func read[T any](t *testing.T, raw []byte) (value T) {
	t.Helper()
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Fatalf("%v in %.300s", err, raw)
	}
	return value
}

// TestTheAPIIsAsItsDescriptionSays calls every route over the demo's data, as each role.
func TestTheAPIIsAsItsDescriptionSays(t *testing.T) {
	d := startDemo(t)
	api := describe(t, d.address)
	admin, auditor, finance := d.credentialFor(t, "admin-api", "admin"), d.credentialFor(t, "auditor-api", "auditor"), d.credentialFor(t, "finance-api", "finance")
	const alice = "alice@example.com"
	get := func(route string, parameters ...string) []byte {
		t.Helper()
		status, body := api.call(auditor, http.MethodGet, route, "", parameters...)
		if status != http.StatusOK {
			t.Errorf("GET %s: %d %.300s", route, status, body)
		}
		return body
	}
	post := func(route, body string, parameters ...string) []byte {
		t.Helper()
		status, answer := api.call(admin, http.MethodPost, route, body, parameters...)
		if status != http.StatusOK {
			t.Errorf("POST %s: %d %.300s", route, status, answer)
		}
		return answer
	}

	for _, route := range []string{
		"/overview?range=30d", "/overview?by=developer&range=today", "/usage?range=30d&by=developer", "/usage?by=session", "/live", "/findings?range=30d",
		"/developers?order=cost", "/health", "/teams", "/secret-rules", "/prices", "/openapi.yaml",
	} {
		get(route)
	}

	// What somebody wrote is told for a reason.
	type sessions struct {
		Sessions []struct{ Session, Developer string }
	}
	session := read[sessions](t, get("/sessions?developer="+alice)).Sessions[0]
	type records struct {
		Records []struct{ ID, Session string }
		Before  *string
	}
	listed := read[records](t, get("/records?developer="+alice))
	for _, route := range []string{"/sessions/{id}?developer=" + alice, "/records/{id}", "/records/{id}/body?side=request", "/records/{id}/archived"} {
		id := listed.Records[0].ID
		if strings.HasPrefix(route, "/sessions") {
			id = session.Session
		}
		if status, body := api.call(auditor, http.MethodGet, route, "", id); status != http.StatusForbidden || !bytes.Contains(body, []byte(`"reason_needed"`)) {
			t.Errorf("%s without a reason: %d %.300s", route, status, body)
		}
	}
	ask := `{"developer": "` + alice + `", "reason": "the ticket 4711 about a slow answer"}`
	if status, _ := api.call(finance, http.MethodPost, "/access", ask); status != http.StatusForbidden {
		t.Errorf("finance asks to read: %d", status)
	}
	reading := read[struct{ ID, State string }](t, func() []byte { _, body := api.call(auditor, http.MethodPost, "/access", ask); return body }())
	if reading.State != "granted" {
		t.Errorf("the auditor's wish is %s", reading.State)
	}
	get("/access?developer=" + alice)
	for _, decide := range []string{"/access/{id}/approve", "/access/{id}/decline"} {
		if status, _ := api.call(admin, http.MethodPost, decide, "", reading.ID); status != http.StatusConflict {
			t.Errorf("deciding what is decided: %d", status)
		}
	}
	turns := read[struct{ Turns []json.RawMessage }](t, get("/sessions/{id}?developer="+alice, session.Session))
	if len(turns.Turns) == 0 {
		t.Error("the session has no turns")
	}
	if listed.Before != nil {
		get("/records?developer=" + alice + "&before=" + *listed.Before)
	}
	for _, one := range listed.Records[:min(len(listed.Records), 20)] {
		get("/records/{id}", one.ID)
	}
	get("/records/{id}/body?side=response", listed.Records[0].ID)
	get("/records/{id}/archived", listed.Records[0].ID)
	if status, body := api.call(auditor, http.MethodPost, "/records/search", `{"text": "the", "developer": "`+alice+`"}`); status != http.StatusOK || !bytes.Contains(body, []byte(`{"hit":`)) || !bytes.Contains(body, []byte(`"end":`)) {
		t.Errorf("a search: %d %.300s", status, body)
	}
	if status, body := api.call(auditor, http.MethodPost, "/records/origin", `{"text": "error", "developer": "`+alice+`"}`); status != http.StatusOK {
		t.Errorf("who said it: %d %.300s", status, body)
	}

	// What an administrator does.
	type findings struct {
		Findings []struct{ Fingerprint string }
	}
	secret := read[findings](t, get("/findings?range=30d")).Findings[0].Fingerprint
	get("/findings/{id}", secret)
	post("/findings/{id}/mark", `{"as": "rotated", "note": "replaced"}`, secret)
	get("/findings/{id}", secret)
	type fresh struct{ ID, Token string }
	first := read[fresh](t, post("/developers/{id}/tokens", `{"label": "a second laptop"}`, alice))
	second := read[fresh](t, post("/tokens/{id}/rotate", "", first.ID))
	post("/tokens/{id}/revoke", "", first.ID)
	if status, _ := api.call(admin, http.MethodPost, "/tokens/{id}/rotate", "", first.ID); status != http.StatusConflict {
		t.Errorf("rotating what is revoked: %d", status)
	}
	if body := get("/developers/{id}", alice); !bytes.Contains(body, []byte(`"a second laptop"`)) {
		t.Errorf("alice's tokens: %s", body)
	}
	if status, body := api.call(second.Token, http.MethodGet, "/usage", ""); status != http.StatusOK || !bytes.Contains(body, []byte(`"requests"`)) {
		t.Errorf("alice's own usage: %d %.300s", status, body)
	}
	if status, _ := api.call(second.Token, http.MethodGet, "/sessions/{id}", "", session.Session); status != http.StatusOK {
		t.Errorf("alice's own session: %d", status)
	}
	if status, _ := api.call(second.Token, http.MethodGet, "/developers", ""); status != http.StatusForbidden {
		t.Errorf("alice lists developers: %d", status)
	}
	post("/developers/{id}/disable", "", alice)
	if status, _ := api.call(second.Token, http.MethodGet, "/usage", ""); status != http.StatusUnauthorized {
		t.Errorf("alice, disabled: %d", status)
	}
	post("/developers/{id}/enable", "", alice)
	if status, _ := api.call(admin, http.MethodPost, "/live/{id}/stop", "", "nothing"); status != http.StatusNotFound {
		t.Errorf("stopping what does not run: %d", status)
	}

	// What does not change by who may not change it.
	for _, route := range slices.Sorted(maps.Keys(api.paths)) {
		if api.paths[route]["post"] == nil || strings.HasPrefix(route, "/access") || strings.HasPrefix(route, "/records") {
			continue // which an auditor may
		}
		if status, body := api.call(auditor, http.MethodPost, route, "", alice); status != http.StatusForbidden {
			t.Errorf("an auditor's POST of %s: %d %.300s", route, status, body)
		}
	}
	for _, route := range []string{"/usage?by=planet", "/records?from=yesterday"} {
		if status, _ := api.call(auditor, http.MethodGet, route, ""); status != http.StatusBadRequest {
			t.Errorf("GET %s: %d", route, status)
		}
	}
	if routes := api.left(); len(routes) > 0 {
		t.Errorf("nothing has called %v", routes)
	}
}
