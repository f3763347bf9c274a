package aws_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/standin"
)

// actions are the IAM actions of calls of S3, which IAM names in its own way. All
// other services name an action as the call.
var actions = map[string]string{
	"GET": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject", "GET list-type": "s3:ListBucket",
	"POST uploads": "s3:PutObject", "PUT uploadId": "s3:PutObject", "POST uploadId": "s3:PutObject",
	"DELETE uploadId": "s3:AbortMultipartUpload",
}

// TestTheRoleMayDoWhatAServerDoesAndNoMore holds the role to the calls that
// internal/standin's own test sees a server make.
func TestTheRoleMayDoWhatAServerDoesAndNoMore(t *testing.T) {
	const index = "/index/"
	want := map[string][]string{
		// What a function of Lambda does by itself.
		"LogGroup.Arn":    {"logs:CreateLogStream", "logs:PutLogEvents"},
		"KeySecretArn":    named("secretsmanager:", standin.ServerCalls.Key),
		"TokensTable.Arn": named("dynamodb:", standin.ServerCalls.Tokens),
		"UsageTable.Arn":  named("dynamodb:", standin.ServerCalls.Usage),
		"${UsageTable.Arn}" + index + "by-quarter": {"dynamodb:Query"},
		"${UsageTable.Arn}" + index + "by-secrets": {"dynamodb:Query"},
		"Bucket.Arn":      {"s3:ListBucket"},
		"${Bucket.Arn}/*": nil,
	}
	for _, call := range slices.Concat(standin.ServerCalls.Archive, standin.ServerCalls.GivenUp) {
		action, known := actions[call]
		if !known {
			t.Errorf("which action is the call %q of S3?", call)
		}
		if action == "s3:DeleteObject" { // of what notes that an exchange has begun
			want["${Bucket.Arn}/open/*"] = []string{action}
			continue
		}
		if action != "s3:ListBucket" && !slices.Contains(want["${Bucket.Arn}/*"], action) {
			want["${Bucket.Arn}/*"] = append(want["${Bucket.Arn}/*"], action)
		}
	}
	slices.Sort(want["${Bucket.Arn}/*"])

	got := map[string][]string{}
	for _, s := range statements(t) {
		for _, resource := range list(s["Resource"]) {
			name := only(resource)
			for _, action := range list(s["Action"]) {
				got[name] = append(got[name], action.(string))
			}
			slices.Sort(got[name])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the role may do, by resource (-a server does +template):\n%s", diff)
	}
}

func named(service string, calls []string) (actions []string) {
	for _, call := range calls {
		actions = append(actions, service+call)
	}
	return actions
}

// only is the name that a resource is given by: {"Ref": name} and the like.
func only(resource any) string {
	reference, _ := resource.(tree)
	for _, name := range reference {
		text, _ := name.(string)
		return text
	}
	return "the text " + resource.(string)
}

// statements are those of the role's policies.
func statements(t *testing.T) (all []tree) {
	t.Helper()
	for _, policy := range list(at(parse(t), "Resources.Role.Properties.Policies")) {
		for _, statement := range list(at(policy, "PolicyDocument.Statement")) {
			all = append(all, statement.(tree))
		}
	}
	if len(all) == 0 {
		t.Fatal("the role has no statements")
	}
	return all
}

func TestTheRoleHasNoWildcardAndNoResourceOfOthers(t *testing.T) {
	for _, s := range statements(t) {
		if s["Effect"] != "Allow" || s["NotAction"] != nil || s["NotResource"] != nil {
			t.Errorf("the statement %v is not a plain Allow", s["Sid"])
		}
		for _, action := range list(s["Action"]) {
			if strings.Contains(action.(string), "*") {
				t.Errorf("the statement %v allows %s", s["Sid"], action)
			}
		}
		for _, resource := range list(s["Resource"]) {
			if name := strings.TrimSuffix(only(resource), "/*"); strings.Contains(name, "*") || strings.HasPrefix(name, "the text ") {
				t.Errorf("the statement %v is about %s, which is not a resource of the stack", s["Sid"], name)
			}
		}
	}
	for name, resource := range at(parse(t), "Resources").(tree) {
		if at(resource, "Properties.ManagedPolicyArns") != nil || (at(resource, "Type") == "AWS::IAM::Policy") {
			t.Errorf("%s gives permissions beside the role's statements", name)
		}
	}
}
