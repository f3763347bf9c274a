package awsdeploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"codex-proxy/internal/terminal"
)

// patience is how many looks at a stack may fail one after the other.
const patience = 5

// followLimit bounds the wait for the end of one operation; CloudFront takes half an
// hour at times.
const followLimit = 2 * time.Hour

var errTooLong = fmt.Errorf("CloudFormation has not come to an end within %s", followLimit)

// follow tells what happens to a stack, named by its id, to the end of the operation
// that is under way, and returns what it is then. before are the events that were
// there before it began; where there are some, its first sign is waited for.
func (c *Cloud) follow(ctx context.Context, id string, before map[string]bool) (*stack, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, followLimit, errTooLong)
	defer cancel()
	told := maps.Clone(before)
	if told == nil {
		told = map[string]bool{}
	}
	for looks, failed := 0, 0; ; looks++ {
		// A state that was read before the first sign may be the one from before.
		begun := len(before) == 0 || len(told) > len(before)
		s, err := c.look(ctx, id, told)
		switch {
		case err == nil && (s == nil || begun && !s.isBusy() && !s.isDraft()):
			return s, nil
		case err == nil:
			failed = 0
		default:
			failed++
			if credentialsLost(err) || ctx.Err() != nil || failed == patience {
				return nil, fmt.Errorf("%w. CloudFormation goes on by itself: run the same command again to follow it", err)
			}
		}
		if err := c.wait(ctx, looks); err != nil {
			return nil, fmt.Errorf("stopped waiting (%w). CloudFormation goes on by itself: run the same command again to follow it", err)
		}
	}
}

// look tells what has happened since the last look. The stack is asked for first:
// when that says that all is over, all events are there.
func (c *Cloud) look(ctx context.Context, id string, told map[string]bool) (*stack, error) {
	s, err := c.describe(ctx, id)
	if err != nil {
		return nil, err
	}
	events, err := c.events(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if event := aws.ToString(e.EventId); !told[event] {
			told[event] = true
			c.say(eventLine(e))
		}
	}
	return s, nil
}

// eventIDs are the events of the stack's last operation, or a mark that there are
// none.
func (c *Cloud) eventIDs(ctx context.Context, id string) (map[string]bool, error) {
	events, err := c.events(ctx, id)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{"": true}
	for _, e := range events {
		ids[aws.ToString(e.EventId)] = true
	}
	return ids, nil
}

func eventLine(e types.StackEvent) string {
	line := fmt.Sprintf("  %s  %-28s %s", aws.ToTime(e.Timestamp).UTC().Format(time.TimeOnly), e.ResourceStatus, aws.ToString(e.LogicalResourceId))
	if reason := aws.ToString(e.ResourceStatusReason); reason != "" && strings.Contains(string(e.ResourceStatus), "FAILED") {
		line += ": " + reason
	}
	return terminal.Safe(line)
}

// events are those of the stack's last operation, from old to new.
func (c *Cloud) events(ctx context.Context, id string) (all []types.StackEvent, err error) {
	pages := cloudformation.NewDescribeStackEventsPaginator(c.stacks, &cloudformation.DescribeStackEventsInput{StackName: &id})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the stack's events: %w", explain(err))
		}
		for _, e := range page.StackEvents { // from new to old
			all = append(all, e)
			if begins(e) {
				slices.Reverse(all)
				return all, nil
			}
		}
	}
	slices.Reverse(all)
	return all, nil
}

// begins tells whether an operation begins with an event: what CloudFormation does
// to the stack itself of somebody's will, and not to roll back.
func begins(e types.StackEvent) bool {
	status := string(e.ResourceStatus)
	return aws.ToString(e.PhysicalResourceId) == aws.ToString(e.StackId) &&
		strings.HasSuffix(status, "_IN_PROGRESS") && !strings.Contains(status, "ROLLBACK") && !strings.Contains(status, "CLEANUP")
}

// failures are the reasons why the stack's last operation failed, each with the
// resource it is about; without those that only follow from another.
func (c *Cloud) failures(ctx context.Context, id string) (reasons []string, err error) {
	events, err := c.events(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		reason := aws.ToString(e.ResourceStatusReason)
		if !strings.HasSuffix(string(e.ResourceStatus), "_FAILED") || strings.Contains(reason, "cancelled") ||
			aws.ToString(e.PhysicalResourceId) == aws.ToString(e.StackId) {
			continue
		}
		reasons = append(reasons, terminal.Safe(aws.ToString(e.LogicalResourceId)+": "+reason)+advice(reason))
	}
	return reasons, nil
}

// advice says what to do about a reason that is met often.
func advice(reason string) string {
	switch {
	case strings.Contains(reason, "already exists"):
		return " (something of this name is there and belongs to no stack or to another: choose another --name, or remove it)"
	case strings.Contains(reason, "ReservedConcurrentExecution"):
		return " (the account has too few concurrent executions left: lower --set MaxConcurrency, or have the quota raised)"
	case strings.Contains(reason, "not authorized"):
		return " (the credentials lack a permission: docs/aws.md lists what a deployment needs)"
	}
	return ""
}

var errNoStack = errors.New("there is no such installation in this account and region: check --name and --region, or make it with 'codex-proxy aws deploy'")
