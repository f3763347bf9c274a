package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/lambda/lambdatest"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/standin"
)

// function is the real program as the platform starts it: without arguments, behind
// a Function URL, on the stand-ins for DynamoDB, S3 and Secrets Manager.
type function struct {
	*proxy
	front   *lambdatest.Front
	secrets *standin.Secrets
	amazon
	upstream string
}

func newFunction(t *testing.T, options simulated.Options, change func(*lambdatest.Front)) *function {
	t.Helper()
	if codex == "" {
		t.Skip("the Codex CLI is not installed: run scripts/test.sh, or name it in CODEX_CLI")
	}
	f := &function{amazon: useAmazon(t), secrets: standin.SecretsManager(t), front: lambdatest.New()}
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f.secrets.Address)
	f.secrets.Set("openai-key", organisationKey)
	api := dynamodb.Connect(standin.Config(f.tables.Address))
	for _, err := range []error{
		dynamodb.CreateTable(t.Context(), api, dynamodb.TokensTable(dynamodb.DefaultTokensTable)),
		dynamodb.CreateTable(t.Context(), api, dynamodb.UsageTable(dynamodb.DefaultUsageTable)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(f.front)
	}
	options.Key, options.Keep, options.KeepBody = organisationKey, 200, 4<<20
	openai := simulated.New(options)
	upstream := httptest.NewServer(openai)
	f.proxy = &proxy{t: t, openai: openai, data: t.TempDir(), log: &output{}, scheme: "http", address: strings.TrimPrefix(f.front.URL(), "http://")}
	t.Cleanup(func() {
		f.kill()
		f.front.Close()
		openai.Close()
		upstream.Close()
		if t.Failed() {
			t.Logf("the function's log:\n%s", f.log)
		}
	})
	f.upstream = upstream.URL + "/v1"
	f.boot()
	return f
}

// boot starts an instance with a disk of its own.
func (f *function) boot() {
	f.t.Helper()
	f.process = exec.Command(binary)
	f.process.Dir = f.t.TempDir()
	f.process.Env = append(os.Environ(),
		"AWS_LAMBDA_RUNTIME_API="+f.front.API(), "AWS_LAMBDA_FUNCTION_NAME=codex-proxy", "LAMBDA_TASK_ROOT="+f.process.Dir,
		"CODEX_PROXY_DATA="+f.t.TempDir(), "CODEX_PROXY_KEY_SECRET=openai-key", "CODEX_PROXY_LOG_FORMAT=json",
		"CODEX_PROXY_UPSTREAM="+f.upstream)
	f.process.Stdout, f.process.Stderr = f.log, f.log
	if err := f.process.Start(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *function) kill() {
	if f.process != nil && f.process.ProcessState == nil {
		_ = f.process.Process.Kill()
		_ = f.process.Wait()
		f.eventually("the instance is gone", func() bool { return f.front.Waiting() == 0 })
	}
}

func TestTheRealCLIWorksThroughAFunction(t *testing.T) {
	for _, coded := range []bool{false, true} {
		t.Run(fmt.Sprintf("bodies in base64: %t", coded), func(t *testing.T) {
			f := newFunction(t, simulated.Options{}, func(front *lambdatest.Front) { front.Base64 = coded })
			token := f.developer("alice@example.com")
			f.openai.Play(simulated.Say("out of a function"))
			// With WebSockets on, the proxy answers 426, and Codex goes on over HTTP.
			f.newCLI(overWebSocket, token).run("hello").must(t, "out of a function")
			list := f.records(2)
			if list[0].Refusal != "websocket_unavailable" || list[0].Status != http.StatusUpgradeRequired || list[1].Outcome != "completed" || list[1].Usage.State != "exact" {
				t.Errorf("on record as %+v", list)
			}
			var usage struct {
				Total struct{ Requests, Refused int }
			}
			if err := json.Unmarshal([]byte(f.command("usage", "--json")), &usage); err != nil || usage.Total.Requests != 1 || usage.Total.Refused != 1 {
				t.Errorf("the ledger counts %+v, %v", usage, err)
			}
			f.command("developer", "disable", "alice@example.com")
			if s := f.newCLI(overHTTP, token).run("again"); s.code == 0 || !strings.Contains(s.err, "access for alice@example.com is disabled") {
				t.Errorf("after disabling, codex exited with %d:\n%s", s.code, s.err)
			}
			if log := f.log.String(); !strings.Contains(log, `"Refusals":1`) || strings.Contains(log, token) || strings.Contains(log, organisationKey) {
				t.Error("the log lacks the metric of refusals, or holds a credential")
			}
		})
	}
}

// TestARecordIsInTheBucketBeforeTheAnswerEnds reads the archive as soon as the
// answer has come to its end.
func TestARecordIsInTheBucketBeforeTheAnswerEnds(t *testing.T) {
	f := newFunction(t, simulated.Options{}, nil)
	token := f.developer("alice@example.com")
	for n := range 3 {
		if !answered(f.address, token, fmt.Sprint("question ", n)) {
			t.Fatal("no answer")
		}
		f.kill() // whatever runs after the answer is lost
		var list []row
		if err := json.Unmarshal([]byte(f.command("record", "list", "--json", "--limit", "0")), &list); err != nil || len(list) != n+1 {
			t.Fatalf("%d records after answer %d, %v", len(list), n+1, err)
		}
		var usage struct{ Records int }
		if err := json.Unmarshal([]byte(f.command("usage", "--json")), &usage); err != nil || usage.Records != n+1 {
			t.Errorf("the ledger counts %d, %v", usage.Records, err)
		}
		f.boot()
	}
}

func TestEventsStreamThroughAFunctionAsTheyAreWritten(t *testing.T) {
	f := newFunction(t, simulated.Options{}, nil)
	token := f.developer("alice@example.com")
	f.openai.Play(simulated.Answer{Text: "one two three four five six", Fault: simulated.Fault{Between: 100 * time.Millisecond}})
	request, err := http.NewRequestWithContext(t.Context(), "POST", f.front.URL()+"/v1/responses", strings.NewReader(`{"model":"gpt-5.1","stream":true,"input":"count"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 64<<10)
	n, err := response.Body.Read(first)
	if err != nil || bytes.Contains(first[:n], []byte("response.completed")) {
		t.Errorf("the first piece has %d bytes, %v", n, err)
	}
	// Upstream is still writing when the first piece is here.
	if all := f.openai.Received(); len(all) != 1 || all[0].Finished {
		t.Errorf("upstream was done before the first piece came: %+v", len(all))
	}
	if rest, err := io.ReadAll(response.Body); err != nil || !bytes.Contains(rest, []byte("response.completed")) {
		t.Errorf("the rest has %d bytes, %v", len(rest), err)
	}
}

func TestAnAnswerThatTakesTooLongIsEndedAndOnRecord(t *testing.T) {
	f := newFunction(t, simulated.Options{}, func(front *lambdatest.Front) { front.Timeout = 8 * time.Second })
	token := f.developer("alice@example.com")
	f.openai.Play(simulated.Stall("thinking", 5))
	if _, _, err := post(f.address, token, `{"model":"gpt-5.1","stream":true,"input":"think"}`); err == nil {
		t.Error("the answer ended as if it were whole")
	}
	if list := f.records(1); list[0].Outcome != "interrupted" || list[0].Usage.State != "estimated" {
		t.Errorf("on record as %+v", list)
	}
	if !answered(f.address, token, "and then") {
		t.Error("the next request got no answer")
	}
}

// TestWhatAFunctionLeftOpenIsNotForgotten kills an instance in the middle of an
// answer; internal/s3 tests what closes it, a quarter of an hour later.
func TestWhatAFunctionLeftOpenIsNotForgotten(t *testing.T) {
	f := newFunction(t, simulated.Options{}, nil)
	token := f.developer("alice@example.com")
	f.openai.Play(simulated.Stall("thinking", 5))
	go func() { _, _, _ = post(f.address, token, `{"model":"gpt-5.1","stream":true,"input":"think"}`) }() // ends with the front
	if err := f.openai.Await(t.Context(), func(all []simulated.Received) bool { return len(all) == 1 }); err != nil {
		t.Fatal(err)
	}
	_ = f.process.Process.Signal(syscall.SIGKILL)
	_ = f.process.Wait()
	noted := 0
	archive := f.archive()
	for _, err := range archive.List(t.Context(), "open/") {
		if err != nil {
			t.Fatal(err)
		}
		noted++
	}
	if noted != 1 {
		t.Errorf("%d exchanges are noted as begun, want 1", noted)
	}
}

func TestAFunctionWithoutItsKeySaysSoAndRecovers(t *testing.T) {
	f := newFunction(t, simulated.Options{}, nil)
	token := f.developer("alice@example.com")
	if !answered(f.address, token, "at first") {
		t.Fatal("no answer at first")
	}
	f.kill()
	f.secrets.Set("openai-key", "")
	f.boot()
	response, text, err := post(f.address, token, `{"model":"gpt-5.1","input":"hello"}`)
	if err != nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("X-Codex-Proxy-Refusal") != "proxy_unavailable" {
		t.Errorf("without the key: %v %v %s", response, err, text)
	}
	f.secrets.Set("openai-key", organisationKey)
	if !answered(f.address, token, "with the key") {
		t.Error("with the key there is no answer")
	}
	f.tables.FailAll(standin.Broken)
	if response, _, err := post(f.address, token, `{"model":"gpt-5.1","input":"hello"}`); err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without the tables: %v %v", response, err)
	}
	f.tables.FailAll(standin.None)
	f.bucket.FailAll(standin.Broken)
	if response, _, err := post(f.address, token, `{"model":"gpt-5.1","input":"hello"}`); err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without the bucket: %v %v", response, err)
	}
	f.bucket.FailAll(standin.None)
	if !answered(f.address, token, "with all of them") {
		t.Error("with all of them there is no answer")
	}
}

// TestTheConsoleWorksAsAFunction looks at an exchange of the real CLI in a browser, on
// tables and a bucket, one request an invocation.
func TestTheConsoleWorksAsAFunction(t *testing.T) {
	f := newFunction(t, simulated.Options{}, nil)
	token := f.developer("alice@example.com")
	f.openai.Play(simulated.Say("out of a function"))
	f.newCLI(overHTTP, token).run("The question is about functions.").must(t, "out of a function")
	f.records(1)
	b := newBrowser(t, f.address)
	b.signIn(f.administrator())
	for path, shows := range map[string]string{
		"/console/overview": "Requests\n1", "/console/live": "Nothing runs just now", "/console/sessions": "alice@example.com", "/console/records": "completed",
		"/console/findings": "No such secret", "/console/developers": "1 developer", "/console/developers/alice@example.com": "codex_exec/", "/console/access": "Nobody has read",
		"/console/settings": "Rules for secrets",
	} {
		b.open(path)
		if text := b.text(); !strings.Contains(text, shows) {
			t.Errorf("%s does not show %q:\n%s", path, shows, text)
		}
	}
	b.forgives403()
	b.openSession("alice@example.com", reasonBox)
	b.giveReason("the ticket 4711 about functions", ".replay.session")
	if text := b.text(); !strings.Contains(text, "The question is about functions.") || !strings.Contains(text, "out of a function") {
		t.Errorf("the session shows:\n%s", text)
	}
	b.open("/console/records/search")
	b.do(chromedp.SendKeys("input[name=text]", "about functions", chromedp.ByQuery))
	b.press(".filter button", ".progress.ended")
	if text := b.text(); !strings.Contains(text, "All was searched.") || !strings.Contains(text, "about functions") {
		t.Errorf("the search shows:\n%s", text)
	}
	b.signOut()
	b.open("/console/overview")
	b.do(chromedp.WaitReady("input[name=credential]", chromedp.ByQuery))
}
