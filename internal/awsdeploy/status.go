package awsdeploy

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	template "codex-proxy/deploy/aws"
)

// Status is how an installation does.
type Status struct {
	// Stack is CloudFormation's word for the stack's state.
	Stack   string            `json:"stack"`
	Good    bool              `json:"good"`
	Outputs map[string]string `json:"outputs"`
	Alarms  []Alarm           `json:"alarms"`
	// Errors are the last lines of the log that tell of one, from old to new.
	Errors []LogLine `json:"errors"`
}

// Alarm is one alarm and whether it rings.
type Alarm struct {
	Name  string    `json:"name"`
	State string    `json:"state"`
	Since time.Time `json:"since"`
	Means string    `json:"means"`
}

// LogLine is a line of the function's log.
type LogLine struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

const (
	// lookBack is how far back errors are looked for, and atMost how many are kept.
	lookBack = 24 * time.Hour
	atMost   = 20
	// failurePattern finds the proxy's own errors, and what Lambda writes of a
	// function that failed, in its words.
	failurePattern = `?"\"level\":\"ERROR\"" ?"Task timed out" ?"Runtime exited" ?"panic:" ?"Runtime.ExitError"`
)

// Status looks at the installation as it is now.
func (c *Cloud) Status(ctx context.Context, name string, now time.Time) (Status, error) {
	s, err := c.describe(ctx, name)
	if err != nil {
		return Status{}, err
	}
	if s == nil || s.isDraft() {
		return Status{}, errNoStack
	}
	status := Status{Stack: s.status, Good: s.isGood() || s.status == "UPDATE_ROLLBACK_COMPLETE", Outputs: s.outputs, Alarms: []Alarm{}, Errors: []LogLine{}}
	pages := cloudwatch.NewDescribeAlarmsPaginator(c.alarms, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String(name + "-")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return Status{}, fmt.Errorf("read the alarms: %w", explain(err))
		}
		for _, a := range page.MetricAlarms {
			status.Alarms = append(status.Alarms, Alarm{
				Name: aws.ToString(a.AlarmName), State: string(a.StateValue),
				Since: aws.ToTime(a.StateUpdatedTimestamp), Means: aws.ToString(a.AlarmDescription),
			})
		}
	}
	status.Errors, err = c.lastErrors(ctx, template.LogGroup(name), now)
	return status, err
}

// lastErrors reads the last errors from a log.
func (c *Cloud) lastErrors(ctx context.Context, group string, now time.Time) ([]LogLine, error) {
	lines := []LogLine{}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(c.logs, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: &group, StartTime: aws.Int64(now.Add(-lookBack).UnixMilli()), FilterPattern: aws.String(failurePattern),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if is(err, "ResourceNotFoundException") {
			return lines, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the log %s: %w", group, explain(err))
		}
		for _, e := range page.Events {
			lines = append(lines, LogLine{Time: time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC(), Text: aws.ToString(e.Message)})
		}
		lines = lines[max(0, len(lines)-atMost):]
	}
	return lines, nil
}
