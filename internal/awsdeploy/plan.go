package awsdeploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	template "codex-proxy/deploy/aws"
)

// Plan is what a deployment would change in a stack: a change set that waits to be
// carried out.
type Plan struct {
	// New tells that the stack is to be made.
	New     bool
	Changes []Change

	cloud     *Cloud
	name      string
	changeSet string
	stack     string
}

// Change is what would happen to one resource.
type Change struct {
	// Action is Add, Modify, Remove or Import.
	Action   string
	Resource string
	Type     string
	// Replaced tells that the resource is made anew.
	Replaced bool
}

// Plan compares the installation with the template and the parameters. A parameter
// that is not among them stays as it is, or has the template's default. What has
// the name of one of the template's tables or of its bucket is taken over, such as
// what an installation has left that was removed.
func (c *Cloud) Plan(ctx context.Context, name string, parameters map[string]string) (*Plan, error) {
	if err := CheckParameters(parameters); err != nil {
		return nil, err
	}
	s, err := c.settle(ctx, name)
	if err != nil {
		return nil, err
	}
	p := &Plan{cloud: c, name: name, New: s == nil}
	in := &cloudformation.CreateChangeSetInput{
		StackName: &name, ChangeSetName: aws.String("codex-proxy-" + strconv.FormatInt(time.Now().UnixNano(), 36)),
		ChangeSetType: types.ChangeSetTypeUpdate, TemplateBody: &template.Template, Parameters: changed(s, parameters),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam}, ImportExistingResources: aws.Bool(true),
	}
	if p.New {
		in.ChangeSetType = types.ChangeSetTypeCreate
	}
	out, err := c.stacks.CreateChangeSet(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("compare the stack %s with the template: %w", name, explain(err))
	}
	p.changeSet, p.stack = aws.ToString(out.Id), aws.ToString(out.StackId)
	return p, p.read(ctx)
}

// changed are the parameters of a change: those that are given, and for the others
// what the stack has.
func changed(s *stack, given map[string]string) (parameters []types.Parameter) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		parameters = append(parameters, types.Parameter{ParameterKey: &name, ParameterValue: aws.String(given[name])})
	}
	if s == nil {
		return parameters
	}
	known := template.Parameters()
	for _, name := range slices.Sorted(maps.Keys(s.parameters)) {
		_, isGiven := given[name]
		if isKnown := slices.ContainsFunc(known, func(p template.Parameter) bool { return p.Name == name }); isKnown && !isGiven {
			parameters = append(parameters, types.Parameter{ParameterKey: &name, UsePreviousValue: aws.Bool(true)})
		}
	}
	return parameters
}

// planLimit bounds the wait for a change set.
const planLimit = 5 * time.Minute

var errNoChangeSet = fmt.Errorf("CloudFormation has not compared the stack with the template within %s: try again", planLimit)

// read waits for the change set and reads what it would change.
func (p *Plan) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, planLimit, errNoChangeSet)
	defer cancel()
	for looks := 0; ; looks++ {
		out, err := p.cloud.stacks.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: &p.changeSet})
		if err != nil {
			return fmt.Errorf("read what would change: %w", explain(err))
		}
		switch out.Status {
		case types.ChangeSetStatusCreateComplete:
			return p.readChanges(ctx)
		case types.ChangeSetStatusFailed:
			reason := aws.ToString(out.StatusReason)
			discard := p.Discard(ctx) // says nothing that the reason does not say better
			if strings.Contains(reason, "didn't contain changes") || strings.Contains(reason, "No updates are to be performed") {
				return discard
			}
			return fmt.Errorf("CloudFormation refuses the change: %s%s", reason, advice(reason))
		}
		if err := p.cloud.wait(ctx, looks); err != nil {
			return err
		}
	}
}

func (p *Plan) readChanges(ctx context.Context) error {
	pages := cloudformation.NewDescribeChangeSetPaginator(p.cloud.stacks, &cloudformation.DescribeChangeSetInput{ChangeSetName: &p.changeSet})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read what would change: %w", explain(err))
		}
		for _, change := range page.Changes {
			if r := change.ResourceChange; r != nil {
				p.Changes = append(p.Changes, Change{
					Action: string(r.Action), Resource: aws.ToString(r.LogicalResourceId), Type: aws.ToString(r.ResourceType),
					Replaced: r.Replacement == types.ReplacementTrue,
				})
			}
		}
	}
	return nil
}

// Discard gives the plan up, with the empty stack that CloudFormation makes for one
// of a new stack.
func (p *Plan) Discard(ctx context.Context) error {
	if p.New {
		if _, err := p.cloud.stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &p.stack}); err != nil {
			return fmt.Errorf("give up the plan for the stack %s: %w", p.name, explain(err))
		}
		return nil
	}
	if _, err := p.cloud.stacks.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: &p.changeSet}); err != nil {
		return fmt.Errorf("give up the plan for the stack %s: %w", p.name, explain(err))
	}
	return nil
}

// Execute carries the plan out, tells what happens, and returns the stack's outputs.
// A plan without changes is done already.
func (p *Plan) Execute(ctx context.Context) (outputs map[string]string, err error) {
	c := p.cloud
	if len(p.Changes) > 0 {
		before, err := c.eventIDs(ctx, p.stack)
		if err != nil {
			return nil, err
		}
		if _, err := c.stacks.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{ChangeSetName: &p.changeSet}); err != nil {
			return nil, fmt.Errorf("change the stack %s: %w", p.name, explain(err))
		}
		s, err := c.follow(ctx, p.stack, before)
		switch {
		case err != nil:
			return nil, err
		case s == nil:
			return nil, fmt.Errorf("the stack %s has been deleted meanwhile", p.name)
		case !s.isGood() && p.New:
			return nil, c.failed(ctx, s, "the stack "+p.name+" could not be made; running this again removes what is left of it and makes it anew")
		case !s.isGood():
			return nil, c.failed(ctx, s, "the stack "+p.name+" could not be changed and is as it was before")
		}
	}
	s, err := c.describe(ctx, p.name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, errNoStack
	}
	return s.outputs, nil
}

// Region is the region that the plan is for.
func (p *Plan) Region() string { return p.cloud.Account.Region }
