package main

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/rogpeppe/go-internal/testscript"

	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/standin"
)

// amazon is stand-ins for what AWS offers, which the commands of scripts use.
type amazon struct {
	tables, bucket string
	secrets        *standin.Secrets
}

func newAmazon(t *testing.T) amazon {
	t.Helper()
	return amazon{standin.DynamoDB(t), standin.S3(t, "archive"), standin.SecretsManager(t)}
}

// setup gives a script tables and a prefix of the bucket of its own.
func (a amazon) setup(t *testing.T) func(env *testscript.Env) error {
	return func(env *testscript.Env) error {
		prefix := "test-" + strings.ToLower(rand.Text())
		for name, value := range standin.Environment(map[string]string{"DYNAMODB": a.tables, "S3": a.bucket, "SECRETS_MANAGER": a.secrets.Address}) {
			env.Setenv(name, value)
		}
		env.Setenv("CODEX_PROXY_STORE", "dynamodb")
		env.Setenv("CODEX_PROXY_TABLE_PREFIX", prefix)
		env.Setenv("CODEX_PROXY_ARCHIVE", "s3://archive/"+prefix)
		api := dynamodb.Connect(standin.Config(a.tables))
		for _, table := range []struct {
			name   string
			define func(string) *sdk.CreateTableInput
		}{{prefix + "-tokens", dynamodb.TokensTable}, {prefix + "-usage", dynamodb.UsageTable}} {
			if err := dynamodb.CreateTable(t.Context(), api, table.define(table.name)); err != nil {
				return fmt.Errorf("make the table %s: %w", table.name, err)
			}
		}
		return scriptSetup(env)
	}
}

// TestCommandsOnDynamoDBAndS3 runs the same sessions as TestCommands, and some
// that are about these stores.
func TestCommandsOnDynamoDBAndS3(t *testing.T) {
	a := newAmazon(t)
	shared := []string{"developer", "developer_import", "developer_sync", "invite", "team", "token", "token_import", "secrets_scan", "console_ask", "session"}
	var files []string
	for _, name := range shared {
		files = append(files, filepath.Join("testdata", "script", name+".txtar"))
	}
	own, err := filepath.Glob(filepath.Join("testdata", "stores", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Files: append(files, own...), Cmds: scriptCommands, Setup: a.setup(t), Condition: storeIs("dynamodb")})
}

// storeIs is the condition by which scripts say what is so with one store only:
// [sqlite] or [dynamodb].
func storeIs(store string) func(string) (bool, error) {
	return func(condition string) (bool, error) { return condition == store, nil }
}
