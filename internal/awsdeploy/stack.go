package awsdeploy

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// stack is what CloudFormation says of an installation's stack.
type stack struct {
	id, status string
	parameters map[string]string
	outputs    map[string]string
}

// isBusy tells whether CloudFormation is at work on it.
func (s *stack) isBusy() bool {
	return strings.HasSuffix(s.status, "_IN_PROGRESS") && !s.isDraft()
}

// isDraft tells whether it is but a name with a change set that was not carried out.
func (s *stack) isDraft() bool { return s.status == string(types.StackStatusReviewInProgress) }

// isGood tells whether what was last done to it succeeded.
func (s *stack) isGood() bool {
	return strings.HasSuffix(s.status, "_COMPLETE") && !strings.Contains(s.status, "ROLLBACK")
}

// isStillborn tells whether it can only be deleted, as its creation, or its
// deletion, failed.
func (s *stack) isStillborn() bool {
	switch types.StackStatus(s.status) {
	case types.StackStatusRollbackComplete, types.StackStatusRollbackFailed, types.StackStatusCreateFailed, types.StackStatusDeleteFailed:
		return true
	}
	return false
}

// describe looks at a stack, by name or id; nil when there is none.
func (c *Cloud) describe(ctx context.Context, name string) (*stack, error) {
	out, err := c.stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if is(err, "ValidationError") && strings.Contains(err.Error(), "does not exist") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the stack %s: %w", name, explain(err))
	}
	if len(out.Stacks) == 0 || out.Stacks[0].StackStatus == types.StackStatusDeleteComplete && !strings.HasPrefix(name, "arn:") {
		return nil, nil
	}
	found := out.Stacks[0]
	s := &stack{id: aws.ToString(found.StackId), status: string(found.StackStatus), parameters: map[string]string{}, outputs: map[string]string{}}
	for _, p := range found.Parameters {
		s.parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	for _, o := range found.Outputs {
		s.outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return s, nil
}

// Exists tells whether an installation has a stack that can be compared with the
// template.
func (c *Cloud) Exists(ctx context.Context, name string) (bool, error) {
	s, err := c.describe(ctx, name)
	return s != nil && !s.isDraft() && !s.isStillborn(), err
}

// settle brings the stack to where it can be changed, and returns it, or nil where
// it is to be made: what is under way is waited for, and what is left of a creation
// that failed is removed. The tables and the archive stay in any case.
func (c *Cloud) settle(ctx context.Context, name string) (*stack, error) {
	for removed := false; ; {
		s, err := c.describe(ctx, name)
		if err != nil || s == nil || s.isDraft() {
			return nil, err
		}
		switch {
		case s.isBusy():
			c.say("CloudFormation is at work on this stack already (" + s.status + "); waiting for it.")
			if _, err := c.follow(ctx, s.id, nil); err != nil {
				return nil, err
			}
		case s.isStillborn() && !removed:
			c.say("An earlier attempt has left the stack as " + s.status + ":")
			failures, err := c.failures(ctx, s.id)
			if err != nil {
				return nil, err
			}
			for _, failure := range failures {
				c.say("  " + failure)
			}
			c.say("It cannot be changed, so it is removed and made anew. Tables and records stay.")
			if err := c.remove(ctx, s); err != nil {
				return nil, err
			}
			removed = true
		case s.isStillborn():
			return nil, fmt.Errorf("the stack %s is %s again: look at its events in the CloudFormation console", name, s.status)
		case s.status == string(types.StackStatusUpdateRollbackFailed):
			return nil, fmt.Errorf("the stack %s is %s, which takes a decision: see in the CloudFormation console which resource it cannot put back, mend that, and run 'aws cloudformation continue-update-rollback --stack-name %s'", name, s.status, name)
		default:
			return s, nil
		}
	}
}

// remove deletes a stack and waits until it is gone.
func (c *Cloud) remove(ctx context.Context, s *stack) error {
	var before map[string]bool
	if !s.isBusy() {
		var err error
		if before, err = c.eventIDs(ctx, s.id); err != nil {
			return err
		}
		if _, err := c.stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.id}); err != nil {
			return fmt.Errorf("delete the stack: %w", explain(err))
		}
	}
	after, err := c.follow(ctx, s.id, before)
	if err != nil {
		return err
	}
	if after != nil && after.status != string(types.StackStatusDeleteComplete) {
		return c.failed(ctx, after, "the stack is not deleted")
	}
	return nil
}

// failed is the error of an operation that ended badly, with the reasons.
func (c *Cloud) failed(ctx context.Context, s *stack, what string) error {
	failures, err := c.failures(ctx, s.id)
	if err != nil {
		return err
	}
	if len(failures) == 0 {
		failures = []string{"CloudFormation gives no reason; look at the stack's events in its console"}
	}
	return fmt.Errorf("%s (%s):\n  %s", what, s.status, strings.Join(failures, "\n  "))
}
