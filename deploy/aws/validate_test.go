package aws_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// TestTheValidatorFindsNothing runs the validator that the AWS CDK brings, offline,
// with every option of the template in use.
func TestTheValidatorFindsNothing(t *testing.T) {
	const directory = "testdata/validate"
	if _, err := os.Stat(directory + "/node_modules/aws-cdk-lib"); err != nil {
		t.Skipf("the validator is not installed (npm ci --prefix deploy/aws/%s): the template is checked by this package's assertions alone", directory)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the template is checked by this package's assertions alone")
	}
	parameters, err := json.Marshal(map[string]string{
		"CodeBucket": "codex-proxy-deploy-123456789012-eu-central-1", "CodeKey": "bootstrap/00.zip", "CodeSha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
		"KeySecretArn":           "arn:aws:secretsmanager:eu-central-1:123456789012:secret:codex-proxy/openai-key-AbCdEf",
		"ProvisionedConcurrency": "1", "MaxConcurrency": "100", "PublicUrl": "https://codex.example.com",
		"AlarmEmail": "alice@example.com", "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms",
		"DomainName": "codex.example.com", "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/0a1b", "HostedZoneId": "Z0123456789",
	})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), node, directory+"/validate.js", "template.yaml", string(parameters))
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("run the validator: %v", err)
	}
	var found []struct{ Severity, RuleID, Message string }
	if err := json.Unmarshal(output, &found); err != nil {
		t.Fatalf("read what the validator says: %v\n%s", err, output)
	}
	for _, finding := range found {
		switch {
		case finding.Severity == "INFO" || finding.Severity == "DEBUG": // advice such as "configure tags"
		case finding.RuleID == "W2509": // takes KeySecretArn for a password; it names one
		default:
			t.Errorf("%s %s: %s", finding.Severity, finding.RuleID, finding.Message)
		}
	}
}
