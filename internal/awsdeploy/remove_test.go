package awsdeploy_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	sdkdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	sdks3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"codex-proxy/internal/awsdeploy"
	"codex-proxy/internal/awsdeploy/awsdeploytest"
	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/s3"
	"codex-proxy/internal/standin"
)

const archive = "team-a-archive-" + standin.Account + "-eu-central-1"

// withStores is a fixture that has an S3 and a DynamoDB, too.
func withStores(t *testing.T) (f *fixture, objects *sdks3.Client, tables *sdkdynamodb.Client) {
	objectsAt, tablesAt := standin.S3(t, archive), standin.DynamoDB(t)
	f = newFixture(t)
	for name, value := range standin.Environment(map[string]string{
		"S3": objectsAt, "DYNAMODB": tablesAt, "STS": f.aws.Address, "CLOUDFORMATION": f.aws.Address,
		"SECRETS_MANAGER": f.aws.Address, "CLOUDWATCH": f.aws.Address, "CLOUDWATCH_LOGS": f.aws.Address,
	}) {
		t.Setenv(name, value)
	}
	loaded, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.cloud = f.connect(loaded)
	return f, s3.Connect(standin.Config(objectsAt)), dynamodb.Connect(standin.Config(tablesAt))
}

func TestAProgramIsUploadedOnceIntoABucketOfItsOwn(t *testing.T) {
	f, objects, _ := withStores(t)
	code, err := awsdeploy.ReadCode(write(t, "codex-proxy", elf(arm64)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.cloud.Upload(t.Context(), "team-a", code); err != nil {
			t.Fatal(err)
		}
	}
	f.wantHeard("Made the bucket team-a-deploy-123456789012-eu-central-1", "uploaded already")
	bucket, key := f.cloud.Account.CodeBucket("team-a"), code.Key()
	head, err := objects.HeadObject(t.Context(), &sdks3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	if *head.ContentLength != int64(code.Size()) {
		t.Errorf("the object has %d bytes, want %d", *head.ContentLength, code.Size())
	}
}

func TestTheSettingsOfAFunctionAreFoundAgain(t *testing.T) {
	f, _, _ := withStores(t)
	wantSettings := func(want string) {
		t.Helper()
		if settings, err := f.cloud.Settings(t.Context(), "team-a"); err != nil || string(settings) != want {
			t.Errorf("the settings are %q, %v; want %q", settings, err, want)
		}
	}
	wantSettings("") // there is no installation
	for _, settings := range []string{"", "[secrets]\n"} {
		var content []byte
		if settings != "" {
			content = []byte(settings)
		}
		code, err := awsdeploy.ReadCode(write(t, "codex-proxy", elf(arm64)), content)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.cloud.Upload(t.Context(), "team-a", code); err != nil {
			t.Fatal(err)
		}
		f.store("sk-first")
		f.deploy(parameters("CodeBucket", f.cloud.Account.CodeBucket("team-a"), "CodeKey", code.Key()))
		wantSettings(settings)
	}
	if _, err := awsdeploy.ReadCode(write(t, "function.zip", zipped(t, "bootstrap", elf(arm64))), []byte("x")); !errors.Is(err, awsdeploy.ErrZip) {
		t.Errorf("settings beside a zip: %v", err)
	}
}

func TestABucketOfAnotherAccountIsNotUsed(t *testing.T) {
	f, _, _ := withStores(t)
	code, err := awsdeploy.ReadCode(write(t, "codex-proxy", elf(arm64)), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.cloud.OwnerIs("somebody-else")
	wantError(t, f.cloud.Upload(t.Context(), "team-a", code), "must belong to the account somebody-else")
}

func TestDestroyingKeepsDataUntilToldOtherwise(t *testing.T) {
	f, objects, tables := withStores(t)
	ctx := t.Context()
	f.store("sk-first")
	f.deploy(parameters())
	for _, definition := range []*sdkdynamodb.CreateTableInput{dynamodb.TokensTable("team-a-tokens"), dynamodb.UsageTable("team-a-usage")} {
		if err := dynamodb.CreateTable(ctx, tables, definition); err != nil {
			t.Fatal(err)
		}
	}
	bucket := archive
	for _, key := range []string{"2026/03/01/alice/1.json.zst", "2026/03/02/alice/2.json.zst"} {
		if _, err := objects.PutObject(ctx, &sdks3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader([]byte("record"))}); err != nil {
			t.Fatal(err)
		}
	}

	wantError(t, f.cloud.DeleteData(ctx, "team-a"), "stack is still there")
	if err := f.cloud.Destroy(ctx, "team-a"); err != nil {
		t.Fatal(err)
	}
	if f.aws.Stack("team-a") != nil {
		t.Error("the stack is still there")
	}
	if left := tableNames(t, tables); len(left) != 2 || f.aws.Leaving("team-a/openai-key") {
		t.Errorf("after the stack is destroyed there are the tables %v, and the secret leaves: %t", left, f.aws.Leaving("team-a/openai-key"))
	}

	for range 2 { // the second finds nothing left
		if err := f.cloud.DeleteData(ctx, "team-a"); err != nil {
			t.Fatal(err)
		}
	}
	if left := tableNames(t, tables); len(left) > 0 || !f.aws.Leaving("team-a/openai-key") {
		t.Errorf("after the data is deleted there are the tables %v, and the secret leaves: %t", left, f.aws.Leaving("team-a/openai-key"))
	}
	buckets, err := objects.ListBuckets(ctx, &sdks3.ListBucketsInput{})
	if err != nil || len(buckets.Buckets) > 0 {
		t.Errorf("after the data is deleted there are %d buckets, %v", len(buckets.Buckets), err)
	}
	if err := f.cloud.Destroy(ctx, "team-a"); err != nil {
		t.Errorf("destroying what is gone: %v", err)
	}
}

func tableNames(t *testing.T, tables *sdkdynamodb.Client) []string {
	t.Helper()
	out, err := tables.ListTables(t.Context(), &sdkdynamodb.ListTablesInput{})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out.TableNames)
	return out.TableNames
}

func TestStatusTellsOfTheStackTheAlarmsAndTheLastErrors(t *testing.T) {
	f := newFixture(t)
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	_, err := f.cloud.Status(t.Context(), "team-a", now)
	wantError(t, err, "no such installation", "aws deploy")

	f.deploy(parameters())
	f.aws.Ring(awsdeploytest.Alarm{Name: "team-a-errors", State: "ALARM", Means: "The function failed."})
	f.aws.Log(`{"level":"ERROR","msg":"ledger cannot be written"}`)
	status, err := f.cloud.Status(t.Context(), "team-a", now)
	if err != nil {
		t.Fatal(err)
	}
	if !status.Good || status.Stack != "CREATE_COMPLETE" || !strings.HasPrefix(status.Outputs["Url"], "https://") {
		t.Errorf("the status is %+v", status)
	}
	if len(status.Alarms) != 1 || status.Alarms[0].State != "ALARM" || status.Alarms[0].Since.Hour() != 9 {
		t.Errorf("the alarms are %+v", status.Alarms)
	}
	if len(status.Errors) != 1 || !strings.Contains(status.Errors[0].Text, "ledger cannot be written") {
		t.Errorf("the last errors are %+v", status.Errors)
	}
}
