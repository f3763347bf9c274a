package awsdeploy_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/awsdeploy"
	"codex-proxy/internal/awsdeploy/awsdeploytest"
	"codex-proxy/internal/standin"
)

// fixture is an account and somebody who deploys to it.
type fixture struct {
	*testing.T
	aws   *awsdeploytest.AWS
	cloud *awsdeploy.Cloud
	said  []string
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, aws: awsdeploytest.New(t)}
	f.cloud = f.connect(standin.Config(f.aws.Address))
	return f
}

func (f *fixture) connect(config aws.Config) *awsdeploy.Cloud {
	f.Helper()
	cloud, err := awsdeploy.Connect(f.Context(), config, func(line string) { f.said = append(f.said, line) })
	if err != nil {
		f.Fatal(err)
	}
	cloud.Hurry()
	return cloud
}

// parameters are those of a first deployment.
func parameters(more ...string) map[string]string {
	p := map[string]string{
		"Name": "team-a", "CodeBucket": "team-a-deploy", "CodeKey": "bootstrap/1.zip", "CodeSha256": "one",
		"KeySecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:team-a/openai-key-AbCdEf",
	}
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return p
}

func (f *fixture) plan(parameters map[string]string) *awsdeploy.Plan {
	f.Helper()
	plan, err := f.cloud.Plan(f.Context(), "team-a", parameters)
	if err != nil {
		f.Fatal(err)
	}
	return plan
}

func (f *fixture) deploy(parameters map[string]string) map[string]string {
	f.Helper()
	outputs, err := f.plan(parameters).Execute(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return outputs
}

// heard tells whether something was said.
func (f *fixture) heard(part string) bool {
	return slices.ContainsFunc(f.said, func(line string) bool { return strings.Contains(line, part) })
}

func (f *fixture) wantHeard(parts ...string) {
	f.Helper()
	for _, part := range parts {
		if !f.heard(part) {
			f.Errorf("nothing was said of %q; said was:\n%s", part, strings.Join(f.said, "\n"))
		}
	}
}

// wantError checks that an error speaks of all parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, want it to say %q", err, part)
		}
	}
}

func TestAnInstallationIsMadeAndItsAddressKnown(t *testing.T) {
	f := newFixture(t)
	plan := f.plan(parameters())
	if !plan.New || !slices.Contains(plan.Changes, awsdeploy.Change{Action: "Add", Resource: "Function", Type: "AWS::Lambda::Function"}) {
		t.Errorf("the plan is %+v, want a new stack with a function", plan)
	}
	outputs, err := plan.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if outputs["Url"] != "https://abcdefgh.lambda-url.eu-central-1.on.aws/" {
		t.Errorf("the outputs are %v", outputs)
	}
	f.wantHeard("09:00:00  CREATE_IN_PROGRESS           team-a", "CREATE_COMPLETE              Function", "CREATE_COMPLETE              team-a")
}

func TestDeployingAgainChangesNothing(t *testing.T) {
	f := newFixture(t)
	first := f.deploy(parameters())
	plan := f.plan(parameters())
	if plan.New || len(plan.Changes) > 0 {
		t.Errorf("the second plan is %+v, want no changes", plan)
	}
	again, err := plan.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("outputs (-first +again):\n%s", diff)
	}
}

func TestAParameterThatIsNotGivenStaysAsItIs(t *testing.T) {
	f := newFixture(t)
	f.deploy(parameters("AlarmEmail", "alice@example.com", "MemorySize", "512"))
	f.said = nil
	f.deploy(parameters("CodeSha256", "two", "MemorySize", "1024"))
	f.wantHeard("UPDATE_COMPLETE              Version")
	stack := f.aws.Stack("team-a")
	if got := stack.Parameters; got["AlarmEmail"] != "alice@example.com" || got["MemorySize"] != "1024" || got["CodeSha256"] != "two" || got["RecordDays"] != "90" {
		t.Errorf("the stack's parameters are %v", got)
	}
	if f.heard("CREATE") {
		t.Error("events of the operation before are told again")
	}
}

func TestAPlanThatIsDiscardedLeavesNothing(t *testing.T) {
	f := newFixture(t)
	if err := f.plan(parameters()).Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	if stack := f.aws.Stack("team-a"); stack != nil {
		t.Errorf("a stack is left in the state %s", stack.Status)
	}
	f.deploy(parameters())
	if err := f.plan(parameters("MemorySize", "512")).Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.aws.Stack("team-a").Parameters["MemorySize"]; got != "256" {
		t.Errorf("the memory is %s MB after a discarded plan, want 256", got)
	}
}

func TestACreationThatFailsIsExplainedAndThenMadeAnew(t *testing.T) {
	f := newFixture(t)
	f.aws.Fail("Bucket", "team-a-archive-123456789012-eu-central-1 already exists")
	_, err := f.plan(parameters()).Execute(t.Context())
	wantError(t, err, "could not be made", "ROLLBACK_COMPLETE", "Bucket: team-a-archive-123456789012-eu-central-1 already exists", "choose another --name")
	if strings.Contains(err.Error(), "cancelled") {
		t.Errorf("the error names what only followed: %v", err)
	}

	f.said = nil
	f.deploy(parameters())
	f.wantHeard("has left the stack as ROLLBACK_COMPLETE", "Bucket: team-a-archive", "removed and made anew", "DELETE_COMPLETE", "CREATE_COMPLETE              team-a")
}

func TestAChangeThatFailsLeavesTheInstallationAsItWas(t *testing.T) {
	f := newFixture(t)
	f.deploy(parameters())
	f.aws.Fail("Function", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value")
	_, err := f.plan(parameters("MaxConcurrency", "900")).Execute(t.Context())
	wantError(t, err, "is as it was before", "UPDATE_ROLLBACK_COMPLETE", "have the quota raised")
	f.deploy(parameters("MaxConcurrency", "10"))
	if got := f.aws.Stack("team-a").Parameters["MaxConcurrency"]; got != "10" {
		t.Errorf("MaxConcurrency is %s after another try, want 10", got)
	}
}

func TestWhatARemovedInstallationHasLeftIsTakenOver(t *testing.T) {
	f := newFixture(t)
	f.aws.Exists("TokensTable", "UsageTable", "Bucket")
	var imported []string
	for _, change := range f.plan(parameters()).Changes {
		if change.Action == "Import" {
			imported = append(imported, change.Resource)
		}
	}
	if diff := cmp.Diff([]string{"TokensTable", "UsageTable", "Bucket"}, imported); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
}

func TestLostCredentialsAreSaidAndTheNextRunFollowsOn(t *testing.T) {
	f := newFixture(t)
	looks := 0
	f.aws.Expire(func(call string) bool {
		if call == "DescribeStackEvents" {
			looks++
		}
		return looks > 4
	})
	_, err := f.plan(parameters()).Execute(t.Context())
	wantError(t, err, "sign in again", "CloudFormation goes on by itself", "run the same command again")

	f.aws.Expire(func(string) bool { return false })
	f.said = nil
	plan := f.plan(parameters())
	f.wantHeard("at work on this stack already (CREATE_IN_PROGRESS)", "CREATE_COMPLETE              team-a")
	if len(plan.Changes) > 0 {
		t.Errorf("after the first run's creation is complete, the plan changes %v", plan.Changes)
	}
}

func TestARunThatIsInterruptedIsFollowedByTheNext(t *testing.T) {
	f := newFixture(t)
	plan := f.plan(parameters())
	ctx, interrupt := context.WithCancel(t.Context())
	executed := false
	f.aws.Expire(func(call string) bool {
		executed = executed || call == "ExecuteChangeSet"
		if executed && call == "DescribeStackEvents" {
			interrupt()
		}
		return false
	})
	_, err := plan.Execute(ctx)
	wantError(t, err, "canceled", "run the same command again")
	f.aws.Expire(func(string) bool { return false })
	if outputs := f.deploy(parameters()); outputs["Url"] == "" {
		t.Errorf("the outputs are %v", outputs)
	}
}

func TestCredentialsThatAreMissingOrUnknownAreSaidToBe(t *testing.T) {
	f := newFixture(t)
	say := func(string) {}
	config := standin.Config(f.aws.Address)
	f.aws.Expire(func(string) bool { return true })
	_, err := awsdeploy.Connect(t.Context(), config, say)
	wantError(t, err, "sign in again")
	config.Credentials = nil
	_, err = awsdeploy.Connect(t.Context(), config, say)
	wantError(t, err, "no AWS credentials", "aws sso login")
	config.Region = ""
	_, err = awsdeploy.Connect(t.Context(), config, say)
	wantError(t, err, "--region")
}

func TestAParameterThatTheTemplateDoesNotHaveIsRefused(t *testing.T) {
	f := newFixture(t)
	_, err := f.cloud.Plan(t.Context(), "team-a", parameters("Memory", "512"))
	wantError(t, err, `no parameter "Memory"`, "MemorySize")
	if f.aws.Stack("team-a") != nil {
		t.Error("a stack was made nevertheless")
	}
}
