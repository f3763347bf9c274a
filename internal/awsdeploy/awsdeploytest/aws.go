// Package awsdeploytest stands in, for tests, for the services of AWS that a
// deployment talks to beside S3 and DynamoDB: STS, CloudFormation, Secrets Manager,
// CloudWatch and its logs. It speaks their protocols to the real SDK on loopback.
//
// It works only when it is asked: every reading of a stack's events lets one more
// of them happen (or as many as Stride is). So a test sees each state, and nothing
// depends on time.
package awsdeploytest

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Account is the number of the account, the same as internal/standin's.
const Account = "123456789012"

// AWS is an account in a region.
type AWS struct {
	// Address is where it answers.
	Address string
	// Stride is how many events happen at each reading.
	Stride int

	mu      sync.Mutex
	calls   []string
	expired func(call string) bool
	stacks  []*Stack
	sets    map[string]*changeSet
	// failing are the resources that cannot be made in the next operation.
	failing map[string]string
	// Existing are the names of resources that are there and belong to no stack.
	existing map[string]bool
	secrets  map[string]*secret
	alarms   []Alarm
	lines    []string
}

// New starts an empty account, which lives as long as the test.
func New(t testing.TB) *AWS {
	t.Helper()
	a := &AWS{
		Stride: 1,
		sets:   map[string]*changeSet{}, failing: map[string]string{}, existing: map[string]bool{}, secrets: map[string]*secret{},
		expired: func(string) bool { return false },
	}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.Address = server.URL
	return a
}

// Expire makes the credentials expire whenever expired says so of a call.
func (a *AWS) Expire(expired func(call string) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expired = expired
}

// Calls returns which calls were made, in their order, each once for those that
// came together.
func (a *AWS) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// ServeHTTP answers as the services do, each in its own protocol.
func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if service, call, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		a.note(call)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		var asked map[string]any
		_ = json.NewDecoder(r.Body).Decode(&asked) // a call without arguments has none
		answer, code := any(nil), "ExpiredTokenException"
		switch {
		case a.expired(call):
		case service == "secretsmanager":
			answer, code = a.secretsManager(call, asked)
		case strings.HasPrefix(service, "Logs_"):
			answer, code = a.logLines(), ""
		default:
			code = "UnknownOperationException"
		}
		if code != "" {
			w.WriteHeader(http.StatusBadRequest)
			answer = map[string]string{"__type": code, "message": "no"}
		}
		_ = json.NewEncoder(w).Encode(answer)
		return
	}
	if call, ok := strings.CutPrefix(r.URL.Path, "/service/GraniteServiceVersion20100801/operation/"); ok {
		a.note(call)
		w.Header().Set("Content-Type", "application/cbor")
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		_, _ = w.Write(a.alarmsCBOR())
		return
	}
	call := r.FormValue("Action")
	a.note(call)
	w.Header().Set("Content-Type", "text/xml")
	answer, refused := any(nil), &refusal{Code: "ExpiredToken", Message: "The security token included in the request is expired"}
	if !a.expired(call) {
		answer, refused = a.query(call, r)
	}
	if refused != nil {
		w.WriteHeader(http.StatusBadRequest)
		_ = xml.NewEncoder(w).Encode(struct {
			XMLName xml.Name `xml:"ErrorResponse"`
			Error   *refusal
		}{Error: refused})
		return
	}
	_ = xml.NewEncoder(w).EncodeElement(struct{ Result any }{named{call + "Result", answer}}, xml.StartElement{Name: xml.Name{Local: call + "Response"}})
}

// note notes a call, once for those that follow each other.
func (a *AWS) note(call string) {
	if n := len(a.calls); n == 0 || a.calls[n-1] != call {
		a.calls = append(a.calls, call)
	}
}

// refusal is an error of the query protocol.
type refusal struct{ Code, Message string }

// named is a value under an element's name that is known only now.
type named struct {
	name  string
	value any
}

// MarshalXML implements xml.Marshaler.
func (n named) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	if n.value == nil {
		n.value = struct{}{}
	}
	return e.EncodeElement(n.value, xml.StartElement{Name: xml.Name{Local: n.name}})
}

// query answers STS and CloudFormation.
func (a *AWS) query(call string, r *http.Request) (any, *refusal) {
	switch call {
	case "GetCallerIdentity":
		return struct{ Account, Arn, UserId string }{Account, "arn:aws:iam::" + Account + ":user/alice", "AIDAEXAMPLE"}, nil
	case "DescribeStacks":
		return a.describeStacks(r.FormValue("StackName"))
	case "DescribeStackEvents":
		return a.describeEvents(r.FormValue("StackName"))
	case "DeleteStack":
		return nil, a.deleteStack(r.FormValue("StackName"))
	case "CreateChangeSet":
		return a.createChangeSet(r)
	case "DescribeChangeSet":
		return a.describeChangeSet(r.FormValue("ChangeSetName"))
	case "DeleteChangeSet":
		delete(a.sets, r.FormValue("ChangeSetName"))
		return nil, nil
	case "ExecuteChangeSet":
		return nil, a.execute(r.FormValue("ChangeSetName"))
	}
	return nil, &refusal{"InvalidAction", "no action " + call}
}
