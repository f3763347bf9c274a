package awsdeploytest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	template "codex-proxy/deploy/aws"
)

// Stack is a stack of CloudFormation.
type Stack struct {
	ID, Name   string
	Status     string
	Parameters map[string]string

	events  []event
	coming  []event
	outputs map[string]string
}

// event is something that happens to a resource of a stack, or to the stack.
type event struct {
	resource, status, reason string
	// then is done when it happens.
	then func()
}

// changeSet is one of CloudFormation.
type changeSet struct {
	id         string
	stack      *Stack
	parameters map[string]string
	changes    []change
	looked     bool
}

type change struct{ action, resource, kind, replacement string }

// Stack returns the stack of a name; nil where there is none.
func (a *AWS) Stack(name string) *Stack {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.find(name)
}

// Fail lets a resource fail in the next operation that makes or changes it.
func (a *AWS) Fail(resource, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing[resource] = reason
}

// Exists tells of resources that are there, such as those of a stack that was
// deleted.
func (a *AWS) Exists(resources ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range resources {
		a.existing[r] = true
	}
}

func (a *AWS) find(name string) *Stack {
	for _, s := range slices.Backward(a.stacks) {
		if s.ID == name || s.Name == name && s.Status != "DELETE_COMPLETE" {
			return s
		}
	}
	return nil
}

func missing(name string) *refusal {
	return &refusal{"ValidationError", "Stack with id " + name + " does not exist"}
}

func (a *AWS) describeStacks(name string) (any, *refusal) {
	s := a.find(name)
	if s == nil {
		return nil, missing(name)
	}
	type pair struct{ ParameterKey, ParameterValue, OutputKey, OutputValue string }
	var parameters, outputs []pair
	for _, key := range slices.Sorted(maps.Keys(s.Parameters)) {
		parameters = append(parameters, pair{ParameterKey: key, ParameterValue: s.Parameters[key]})
	}
	for _, key := range slices.Sorted(maps.Keys(s.outputs)) {
		outputs = append(outputs, pair{OutputKey: key, OutputValue: s.outputs[key]})
	}
	type member struct {
		StackId, StackName, StackStatus, CreationTime string
		Parameters                                    []pair `xml:"Parameters>member"`
		Outputs                                       []pair `xml:"Outputs>member"`
	}
	return struct {
		Stacks []member `xml:"Stacks>member"`
	}{[]member{{s.ID, s.Name, s.Status, "2026-03-01T09:00:00Z", parameters, outputs}}}, nil
}

// describeEvents lets events happen and tells those that have, from new to
// old. A stack's status changes with the events of its own.
func (a *AWS) describeEvents(name string) (any, *refusal) {
	s := a.find(name)
	if s == nil {
		return nil, missing(name)
	}
	for i := 0; i < a.Stride && len(s.coming) > 0; i++ {
		a.happen(s)
	}
	type member struct {
		EventId, StackId, StackName, LogicalResourceId, PhysicalResourceId, ResourceStatus, ResourceStatusReason, Timestamp string
	}
	var events []member
	for i, e := range slices.Backward(s.events) {
		physical := "physical-" + e.resource
		if e.resource == s.Name {
			physical = s.ID
		}
		events = append(events, member{strconv.Itoa(i), s.ID, s.Name, e.resource, physical, e.status, e.reason, "2026-03-01T09:00:00Z"})
	}
	return struct {
		StackEvents []member `xml:"StackEvents>member"`
	}{events}, nil
}

func (a *AWS) happen(s *Stack) {
	e := s.coming[0]
	s.coming = s.coming[1:]
	s.events = append(s.events, e)
	if e.resource == s.Name {
		s.Status = e.status
	}
	if e.then != nil {
		e.then()
	}
}

func (a *AWS) deleteStack(name string) *refusal {
	s := a.find(name)
	if s == nil {
		return nil // as CloudFormation does
	}
	s.coming = []event{{resource: s.Name, status: "DELETE_IN_PROGRESS", reason: "User Initiated"}, {resource: "Function", status: "DELETE_COMPLETE"}, {resource: s.Name, status: "DELETE_COMPLETE"}}
	if s.Status == "REVIEW_IN_PROGRESS" {
		s.Status, s.coming = "DELETE_COMPLETE", nil
	}
	return nil
}

func (a *AWS) createChangeSet(r *http.Request) (any, *refusal) {
	name, kind := r.FormValue("StackName"), r.FormValue("ChangeSetType")
	s := a.find(name)
	isNew := s == nil || s.Status == "REVIEW_IN_PROGRESS"
	if isNew != (kind == "CREATE") {
		return nil, &refusal{"ValidationError", "Stack " + name + " cannot take a change set of the type " + kind}
	}
	if !isNew && (!strings.HasSuffix(s.Status, "_COMPLETE") || s.Status == "ROLLBACK_COMPLETE") {
		return nil, &refusal{"ValidationError", "Stack:" + s.ID + " is in " + s.Status + " state and can not be updated."}
	}
	before := map[string]string{}
	if s == nil {
		s = &Stack{ID: fmt.Sprintf("arn:aws:cloudformation:eu-central-1:%s:stack/%s/%d", Account, name, len(a.stacks)), Name: name, Status: "REVIEW_IN_PROGRESS"}
		s.events = []event{{resource: name, status: "REVIEW_IN_PROGRESS", reason: "User Initiated"}}
		a.stacks = append(a.stacks, s)
	} else if !isNew {
		before = s.Parameters
	}
	set := &changeSet{id: "arn:aws:cloudformation:eu-central-1:" + Account + ":changeSet/" + r.FormValue("ChangeSetName"), stack: s, parameters: map[string]string{}}
	for _, p := range template.Parameters() {
		set.parameters[p.Name] = p.Default
	}
	for i := 1; r.Form.Has(fmt.Sprintf("Parameters.member.%d.ParameterKey", i)); i++ {
		member := fmt.Sprintf("Parameters.member.%d.", i)
		key := r.FormValue(member + "ParameterKey")
		set.parameters[key] = r.FormValue(member + "ParameterValue")
		if r.FormValue(member+"UsePreviousValue") == "true" {
			set.parameters[key] = before[key]
		}
	}
	for _, required := range []string{"CodeBucket", "CodeKey", "CodeSha256", "KeySecretArn"} {
		if set.parameters[required] == "" {
			return nil, &refusal{"ValidationError", "Parameters: [" + required + "] must have values"}
		}
	}
	switch {
	case isNew:
		for _, resource := range template.Resources() {
			if resource.Optional {
				continue
			}
			action := "Add"
			if a.existing[resource.Name] && r.FormValue("ImportExistingResources") == "true" {
				action = "Import"
			}
			set.changes = append(set.changes, change{action, resource.Name, resource.Type, ""})
		}
	case !maps.Equal(before, set.parameters):
		set.changes = []change{
			{"Modify", "Function", "AWS::Lambda::Function", "False"}, {"Modify", "Version", "AWS::Lambda::Version", "True"}, {"Modify", "Alias", "AWS::Lambda::Alias", "False"},
		}
	}
	a.sets[set.id] = set
	return struct{ Id, StackId string }{set.id, s.ID}, nil
}

func (a *AWS) describeChangeSet(id string) (any, *refusal) {
	set := a.sets[id]
	if set == nil {
		return nil, &refusal{"ChangeSetNotFound", "ChangeSet [" + id + "] does not exist"}
	}
	type resourceChange struct{ Action, LogicalResourceId, ResourceType, Replacement string }
	type member struct {
		Type           string
		ResourceChange resourceChange
	}
	answer := struct {
		ChangeSetId, StackId, Status, StatusReason string
		Changes                                    []member `xml:"Changes>member"`
	}{ChangeSetId: set.id, StackId: set.stack.ID, Status: "CREATE_IN_PROGRESS"}
	switch {
	case !set.looked:
		set.looked = true
	case len(set.changes) == 0:
		answer.Status, answer.StatusReason = "FAILED", "The submitted information didn't contain changes. Submit different information to create a change set."
	default:
		answer.Status = "CREATE_COMPLETE"
		for _, c := range set.changes {
			answer.Changes = append(answer.Changes, member{"Resource", resourceChange{c.action, c.resource, c.kind, c.replacement}})
		}
	}
	return answer, nil
}

// execute lets the changes come, one resource after the other, up to the first that
// fails.
func (a *AWS) execute(id string) *refusal {
	set := a.sets[id]
	if set == nil {
		return &refusal{"ChangeSetNotFound", "ChangeSet [" + id + "] does not exist"}
	}
	s, verb := set.stack, "UPDATE"
	if s.Status == "REVIEW_IN_PROGRESS" {
		verb = "CREATE"
	}
	s.coming = []event{{resource: s.Name, status: verb + "_IN_PROGRESS", reason: "User Initiated"}}
	for _, c := range set.changes {
		s.coming = append(s.coming, event{resource: c.resource, status: verb + "_IN_PROGRESS"})
		if reason, fails := a.failing[c.resource]; fails {
			delete(a.failing, c.resource)
			rollback := map[string]string{"CREATE": "ROLLBACK", "UPDATE": "UPDATE_ROLLBACK"}[verb]
			s.coming = append(s.coming,
				event{resource: c.resource, status: verb + "_FAILED", reason: reason}, event{resource: "Alias", status: verb + "_FAILED", reason: "Resource creation cancelled"},
				event{resource: s.Name, status: rollback + "_IN_PROGRESS", reason: "The following resource(s) failed: [" + c.resource + "]."},
				event{resource: s.Name, status: rollback + "_COMPLETE"})
			return nil
		}
		s.coming = append(s.coming, event{resource: c.resource, status: verb + "_COMPLETE"})
	}
	s.coming = append(s.coming, event{resource: s.Name, status: verb + "_COMPLETE", then: func() {
		s.Parameters = set.parameters
		s.outputs = map[string]string{"Url": "https://abcdefgh.lambda-url.eu-central-1.on.aws/", "TokensTable": s.Name + "-tokens", "UsageTable": s.Name + "-usage", "Archive": "s3://" + s.Name + "-archive", "LogGroup": "/aws/lambda/" + s.Name}
	}})
	return nil
}
