package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"codex-proxy/internal/awsdeploy/awsdeploytest"
	"codex-proxy/internal/standin"
)

// TestAWSCommands runs the commands for AWS as a person does, in an account that
// stands in for one. Each script has an installation of its own.
func TestAWSCommands(t *testing.T) {
	account := awsdeploytest.New(t)
	account.Stride = 100
	environment := standin.Environment(map[string]string{
		"S3": standin.S3(t), "STS": account.Address, "CLOUDFORMATION": account.Address,
		"SECRETS_MANAGER": account.Address, "CLOUDWATCH": account.Address, "CLOUDWATCH_LOGS": account.Address,
	})
	testscript.Run(t, testscript.Params{
		Dir: "testdata/aws", Cmds: scriptCommands,
		Setup: func(env *testscript.Env) error {
			for name, value := range environment {
				env.Setenv(name, value)
			}
			// As much of a program for arm64 as is looked at.
			program := make([]byte, 64)
			copy(program, "\x7fELF\x02\x01\x01")
			program[16], program[18], program[20], program[52] = 2, 183, 1, 64
			return os.WriteFile(filepath.Join(env.WorkDir, "codex-proxy-arm64"), program, 0o600)
		},
	})
}
