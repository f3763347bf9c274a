package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"codex-proxy/internal/s3"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/standin"
)

// amazon is stand-ins for DynamoDB and S3, on lines where things can go wrong,
// which the processes of the test use.
type amazon struct{ tables, bucket *standin.Line }

// useAmazon makes every codex-proxy of the test keep its state there.
func useAmazon(t *testing.T) amazon {
	t.Helper()
	a := amazon{standin.NewLine(t, standin.DynamoDB(t)), standin.NewLine(t, standin.S3(t, "archive"))}
	for name, value := range standin.Environment(map[string]string{"DYNAMODB": a.tables.Address, "S3": a.bucket.Address}) {
		t.Setenv(name, value)
	}
	t.Setenv("CODEX_PROXY_STORE", "dynamodb")
	t.Setenv("CODEX_PROXY_ARCHIVE", "s3://archive")
	return a
}

// archive is where the records are.
func (a amazon) archive() *s3.Archive {
	return s3.NewArchive(s3.Connect(standin.Config(a.bucket.Address)), s3.Location{Bucket: "archive"}, "")
}

func TestTheRealCLIWorksOnDynamoDBAndS3(t *testing.T) {
	useAmazon(t)
	p := newProxy(t, simulated.Options{}, "--create-tables")
	p.openai.Play(simulated.Say("from far away"))
	token := p.developer("alice@example.com")
	p.newCLI(overHTTP, token).run("hello").must(t, "from far away")
	if list := p.records(1); list[0].Outcome != "completed" || list[0].Usage.State != "exact" {
		t.Errorf("on record as %+v", list[0])
	}
	t.Setenv("OPENAI_API_KEY", organisationKey)
	if out := p.command("doctor", p.args[1], p.args[2]); !strings.Contains(out, "takes the key") || !strings.Contains(out, "1 exchange in 7 days") || strings.Contains(out, organisationKey) {
		t.Errorf("the doctor says:\n%s", out)
	}
	p.command("developer", "disable", "alice@example.com")
	if s := p.newCLI(overHTTP, token).run("again"); s.code == 0 || !strings.Contains(s.err, "access for alice@example.com is disabled") {
		t.Errorf("after disabling, codex exited with %d:\n%s", s.code, s.err)
	}
}

// TestNoExchangeIsLostWhenOneOfTwoReplicasIsKilled lets two servers over the same
// tables and bucket carry exchanges, and kills one in the middle.
func TestNoExchangeIsLostWhenOneOfTwoReplicasIsKilled(t *testing.T) {
	useAmazon(t)
	replicas := [2]*proxy{newProxy(t, simulated.Options{}, "--create-tables"), newProxy(t, simulated.Options{})}
	token := replicas[0].developer("alice@example.com")
	const workers, each = 4, 15
	var addresses [2]atomic.Pointer[string]
	listens := func(i int) { // a copy, as starting the replica again writes its own
		address := replicas[i].address
		addresses[i].Store(&address)
	}
	listens(0)
	listens(1)
	var whole atomic.Int64 // answers that a client has in full
	killed := make(chan struct{})
	var working sync.WaitGroup
	for worker := range workers {
		working.Go(func() {
			for n := range each {
				if worker == 0 && n == each/2 {
					close(killed)
				}
				if answered(*addresses[(worker+n)%2].Load(), token, fmt.Sprintf("question %d of %d", n, worker)) {
					whole.Add(1)
				}
			}
		})
	}
	<-killed
	if err := replicas[1].stop(syscall.SIGKILL); err == nil {
		t.Error("the replica was not killed")
	}
	replicas[1].start("127.0.0.1:0")
	listens(1)
	working.Wait()
	for _, p := range replicas {
		if err := p.stop(syscall.SIGTERM); err != nil { // settles what is in the spool
			t.Errorf("the replica exited with %v", err)
		}
	}

	var list []row
	if err := json.Unmarshal([]byte(replicas[0].command("record", "list", "--json", "--limit", "0")), &list); err != nil {
		t.Fatal(err)
	}
	completed, ids := int64(0), map[string]bool{}
	var tokens int64
	for _, r := range list {
		ids[r.ID] = true
		if r.Outcome == "completed" {
			completed++
		}
		tokens += r.Usage.Input + r.Usage.Output
	}
	if completed < whole.Load() || len(list) > workers*each || len(ids) != len(list) {
		t.Errorf("%d records of %d exchanges, %d completed; clients had %d answers whole of %d requests", len(list), len(ids), completed, whole.Load(), workers*each)
	}
	var usage struct {
		Records int
		Total   struct {
			Requests int
			Tokens   int64 `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(replicas[0].command("usage", "--json")), &usage); err != nil {
		t.Fatal(err)
	}
	if usage.Records != len(list) || usage.Total.Requests != len(list) || usage.Total.Tokens != tokens {
		t.Errorf("the ledger counts %+v, the archive has %d records with %d tokens", usage, len(list), tokens)
	}
	if whole.Load() < workers*each/2 {
		t.Errorf("only %d of %d requests were answered", whole.Load(), workers*each)
	}
}

// answered asks a question over HTTP, and tells whether the answer came whole.
func answered(address, token, question string) bool {
	body := fmt.Sprintf(`{"model":"gpt-5.1","stream":true,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":%q}]}]}`, question)
	response, text, err := post(address, token, body)
	return err == nil && response.StatusCode == http.StatusOK && bytes.Contains(text, []byte("response.completed"))
}

func post(address, token, body string) (*http.Response, []byte, error) {
	request, err := http.NewRequest("POST", "http://"+address+"/v1/responses", strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, text, err
}

// TestWhatFailsAtAWSIsNoVerdictAndLosesNothing takes DynamoDB away, and then S3.
func TestWhatFailsAtAWSIsNoVerdictAndLosesNothing(t *testing.T) {
	a := useAmazon(t)
	p := newProxy(t, simulated.Options{}, "--create-tables")
	token := p.developer("alice@example.com")
	if !answered(p.address, token, "at first") {
		t.Fatal("no answer at first")
	}
	for name, fault := range map[string]standin.Fault{"throttles": standin.Throttled, "is down": standin.Broken} {
		a.tables.FailAll(fault)
		response, text, err := post(p.address, token, `{"model":"gpt-5.1","input":"hello"}`)
		if err != nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("X-Codex-Proxy-Refusal") != "proxy_unavailable" {
			t.Errorf("while DynamoDB %s: %v %v %s, want 503", name, response, err, text)
		}
		a.tables.FailAll(standin.None)
	}
	a.bucket.FailAll(standin.Broken)
	if !answered(p.address, token, "while S3 is down") {
		t.Error("the archive is only needed later, yet there was no answer")
	}
	a.bucket.FailAll(standin.None)
	for _, r := range p.records(2) { // who asked while DynamoDB failed is not known
		if r.Outcome != "completed" {
			t.Errorf("on record: %+v", r)
		}
	}
}
