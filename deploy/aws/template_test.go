package aws_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"codex-proxy/deploy/aws"
	"codex-proxy/internal/dynamodb"
)

// expect checks what stands at paths of the template.
func expect(t *testing.T, template tree, want map[string]any) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if diff := cmp.Diff(want[path], at(template, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func ref(name string) tree      { return tree{"Ref": name} }
func sub(text string) tree      { return tree{"Fn::Sub": text} }
func attribute(of string) tree  { return tree{"Fn::GetAtt": of} }
func choice(parts ...any) tree  { return tree{"Fn::If": parts} }
func unless(name, v string) any { return choice(name, ref(v), ref("AWS::NoValue")) }

func TestTheFunctionIsWhatTheBinaryNeeds(t *testing.T) {
	const properties = "Resources.Function.Properties."
	expect(t, parse(t), map[string]any{
		properties + "Runtime":                      "provided.al2023",
		properties + "Architectures":                []any{"arm64"},
		properties + "Handler":                      "bootstrap",
		properties + "MemorySize":                   ref("MemorySize"),
		"Parameters.MemorySize.Default":             256,
		properties + "Timeout":                      ref("Timeout"),
		"Parameters.Timeout.Default":                900,
		properties + "LoggingConfig.LogGroup":       ref("LogGroup"),
		properties + "ReservedConcurrentExecutions": unless("BoundsConcurrency", "MaxConcurrency"),
		properties + "Environment.Variables": tree{
			"CODEX_PROXY_STORE": "dynamodb", "CODEX_PROXY_TABLE_PREFIX": ref("Name"),
			"CODEX_PROXY_ARCHIVE": sub("s3://${Bucket}"), "CODEX_PROXY_KEY_SECRET": ref("KeySecretArn"),
			"CODEX_PROXY_UPSTREAM": ref("Upstream"), "CODEX_PROXY_PUBLIC_URL": unless("HasPublicUrl", "PublicUrl"),
			"CODEX_PROXY_DATA": "/tmp/codex-proxy", "CODEX_PROXY_AUDIT": "required", "CODEX_PROXY_WEBSOCKET": "off",
			"CODEX_PROXY_LOG_FORMAT": "json",
		},
	})
}

func TestAnAnswerStreamsFromTheAliasToEverybody(t *testing.T) {
	expect(t, parse(t), map[string]any{
		"Resources.Alias.Properties": tree{
			"Name": "live", "FunctionName": ref("Function"), "FunctionVersion": attribute("Version.Version"),
			"ProvisionedConcurrencyConfig": choice("KeepsInstances", tree{"ProvisionedConcurrentExecutions": ref("ProvisionedConcurrency")}, ref("AWS::NoValue")),
		},
		"Parameters.ProvisionedConcurrency.Default": 0,
		"Resources.Url.Properties": tree{
			"TargetFunctionArn": ref("Function"), "Qualifier": "live", "AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM",
		},
		"Resources.Url.DependsOn": "Alias", // Qualifier is a plain text, which orders nothing
		"Resources.UrlPermission.Properties": tree{
			"FunctionName": ref("Alias"), "Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE",
		},
		"Resources.InvokePermission.Properties": tree{
			"FunctionName": ref("Alias"), "Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": true,
		},
	})
}

// TestAVersionIsPublishedOfEveryChange: a version whose properties stay the same
// is not made anew, and the alias would go on with the function as it was.
func TestAVersionIsPublishedOfEveryChange(t *testing.T) {
	template := parse(t)
	version := references(at(template, "Resources.Version.Properties"))
	function := references(at(template, "Resources.Function.Properties"))
	for _, always := range []string{
		"AWS::NoValue", "Name", "CodeBucket", "Role.Arn", "LogGroup", "Bucket",
		"CodeKey",        // CodeSha256 says it better
		"MaxConcurrency", // of the function, not of its versions
	} {
		delete(function, always)
	}
	for name := range function {
		if !version[name] {
			t.Errorf("the function depends on %s, and the version does not", name)
		}
	}
	if !version["CodeSha256"] {
		t.Error("the version does not depend on the code")
	}
}

// TestADescriptionOfAVersionIsShortEnough adds up the longest parts of it.
func TestADescriptionOfAVersionIsShortEnough(t *testing.T) {
	template := parse(t)
	longest := 64 + len("-AbCdEf") + len(" 10240 MB 900 s ") + 1
	for _, name := range []string{"Upstream", "PublicUrl"} {
		length, _ := at(template, "Parameters."+name+".MaxLength").(int)
		longest += length
	}
	if pattern, _ := at(template, "Parameters.KeySecretArn.AllowedPattern").(string); longest > 256 || !strings.Contains(pattern, "{1,64}-") {
		t.Errorf("a version's description may be %d characters long, want 256 at most", longest)
	}
}

// references are the names that a part of the template refers to.
func references(part any) map[string]bool {
	found := map[string]bool{}
	var walk func(any)
	walk = func(part any) {
		switch part := part.(type) {
		case []any:
			for _, item := range part {
				walk(item)
			}
		case tree:
			for key, value := range part {
				text, _ := value.(string)
				switch key {
				case "Ref", "Fn::GetAtt":
					found[text] = true
				case "Fn::Sub":
					for _, piece := range strings.Split(text, "${")[1:] {
						name, _, _ := strings.Cut(piece, "}")
						found[name] = true
					}
				default:
					walk(value)
				}
			}
		}
	}
	walk(part)
	return found
}

func TestTheTablesAreThoseThatTheProxyMakes(t *testing.T) {
	template := parse(t)
	for resource, definition := range map[string]*sdk.CreateTableInput{
		"TokensTable": dynamodb.TokensTable(aws.TokensTable("codex-proxy")),
		"UsageTable":  dynamodb.UsageTable(aws.UsageTable("codex-proxy")),
	} {
		want := tree{"TableName": *definition.TableName, "BillingMode": string(definition.BillingMode)}
		attributes := []any{}
		for _, a := range definition.AttributeDefinitions {
			attributes = append(attributes, tree{"AttributeName": *a.AttributeName, "AttributeType": string(a.AttributeType)})
		}
		want["AttributeDefinitions"], want["KeySchema"] = attributes, schema(definition.KeySchema)
		if len(definition.LocalSecondaryIndexes) > 0 {
			indexes := []any{}
			for _, i := range definition.LocalSecondaryIndexes {
				included := []any{}
				for _, name := range i.Projection.NonKeyAttributes {
					included = append(included, name)
				}
				indexes = append(indexes, tree{
					"IndexName": *i.IndexName, "KeySchema": schema(i.KeySchema),
					"Projection": tree{"ProjectionType": string(i.Projection.ProjectionType), "NonKeyAttributes": included},
				})
			}
			want["LocalSecondaryIndexes"] = indexes
		}
		got := maps.Clone(at(template, "Resources."+resource+".Properties").(tree))
		// What a definition cannot say is checked below.
		for _, more := range []string{"TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification"} {
			delete(got, more)
		}
		name, _ := at(got, "TableName.Fn::Sub").(string)
		got["TableName"] = strings.ReplaceAll(name, "${Name}", "codex-proxy")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-made by the proxy +template):\n%s", resource, diff)
		}
	}
}

func schema(elements []types.KeySchemaElement) []any {
	keys := []any{}
	for _, e := range elements {
		keys = append(keys, tree{"AttributeName": *e.AttributeName, "KeyType": string(e.KeyType)})
	}
	return keys
}

func TestWhatIsKeptOutlivesTheStack(t *testing.T) {
	template := parse(t)
	for _, resource := range []string{"TokensTable", "UsageTable", "Bucket"} {
		expect(t, template, map[string]any{
			"Resources." + resource + ".DeletionPolicy":      "Retain",
			"Resources." + resource + ".UpdateReplacePolicy": "Retain",
		})
	}
	for _, table := range []string{"TokensTable", "UsageTable"} {
		expect(t, template, map[string]any{
			"Resources." + table + ".Properties.PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled": true,
			// Not "unencrypted": with the key that AWS owns, which is what a table has at least.
			"Resources." + table + ".Properties.SSESpecification": tree{"SSEEnabled": false},
		})
	}
	expect(t, template, map[string]any{
		"Resources.TokensTable.Properties.TimeToLiveSpecification": tree{"AttributeName": "expires_at", "Enabled": true},
	})
}

func TestTheArchiveIsEncryptedPrivateAndCleaned(t *testing.T) {
	const properties = "Resources.Bucket.Properties."
	expect(t, parse(t), map[string]any{
		properties + "BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.SSEAlgorithm": "AES256",
		properties + "PublicAccessBlockConfiguration": tree{
			"BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
		},
		properties + "OwnershipControls.Rules": []any{tree{"ObjectOwnership": "BucketOwnerEnforced"}},
		properties + "LifecycleConfiguration.Rules": []any{
			tree{"Id": "what an upload has left behind", "Status": "Enabled", "AbortIncompleteMultipartUpload": tree{"DaysAfterInitiation": 1}},
			choice("ExpiresRecords", tree{"Id": "records", "Status": "Enabled", "ExpirationInDays": ref("RecordDays")}, ref("AWS::NoValue")),
		},
		"Parameters.RecordDays.Default": 90,
		// Versions would keep what a purge takes out.
		properties + "VersioningConfiguration": nil,
		"Resources.BucketPolicy.Properties.PolicyDocument.Statement": []any{tree{
			"Sid": "OnlyOverTLS", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
			"Resource":  []any{attribute("Bucket.Arn"), sub("${Bucket.Arn}/*")},
			"Condition": tree{"Bool": tree{"aws:SecureTransport": "false"}},
		}},
	})
}

func TestNamesAreThoseOfThePackage(t *testing.T) {
	template := parse(t)
	named := strings.NewReplacer("${Name}", "team-a", "${AWS::AccountId}", "123456789012", "${AWS::Region}", "eu-central-1")
	for path, want := range map[string]string{
		"TokensTable.Properties.TableName": aws.TokensTable("team-a"),
		"UsageTable.Properties.TableName":  aws.UsageTable("team-a"),
		"Bucket.Properties.BucketName":     aws.Bucket("team-a", "123456789012", "eu-central-1"),
		"LogGroup.Properties.LogGroupName": aws.LogGroup("team-a"),
	} {
		text, _ := at(template, "Resources."+path+".Fn::Sub").(string)
		if got := named.Replace(text); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestAlarmsSayWhatTheyMeanAndWhomTheyTell(t *testing.T) {
	template := parse(t)
	tells := choice("TellsSomebody", []any{choice("HasTopic", ref("AlarmTopicArn"), ref("Topic"))}, ref("AWS::NoValue"))
	for name, want := range map[string]struct {
		namespace, metric, dimension string
		seconds                      int
		threshold                    any
	}{
		"ThrottleAlarm": {"AWS/Lambda", "Throttles", "FunctionName", 60, 1},
		"ErrorAlarm":    {"AWS/Lambda", "Errors", "FunctionName", 300, 3},
		"RefusalsAlarm": {"codex-proxy", "Refusals", "Function", 300, ref("RefusalAlarm")},
		"UnpricedAlarm": {"codex-proxy", "UnpricedExchanges", "Function", 3600, 1},
	} {
		properties := "Resources." + name + ".Properties."
		expect(t, template, map[string]any{
			properties + "Namespace": want.namespace, properties + "MetricName": want.metric,
			properties + "Dimensions": []any{tree{"Name": want.dimension, "Value": ref("Function")}},
			properties + "Period":     want.seconds, properties + "Threshold": want.threshold,
			properties + "Statistic": "Sum", properties + "EvaluationPeriods": 1,
			properties + "ComparisonOperator": "GreaterThanOrEqualToThreshold", properties + "TreatMissingData": "notBreaching",
			properties + "AlarmActions": tells, properties + "OKActions": tells,
		})
	}
}

func TestEveryParameterIsDescribedAndUsed(t *testing.T) {
	template := parse(t)
	used := references([]any{at(template, "Resources"), at(template, "Conditions"), at(template, "Outputs")})
	for name, parameter := range at(template, "Parameters").(tree) {
		if description, _ := at(parameter, "Description").(string); !strings.HasSuffix(description, ".") {
			t.Errorf("the parameter %s is not described", name)
		}
		if !used[name] {
			t.Errorf("the parameter %s is not used", name)
		}
	}
}

// TestTheTemplateFitsIntoOneCall: a longer one would have to lie in a bucket first.
func TestTheTemplateFitsIntoOneCall(t *testing.T) {
	if len(aws.Template) > 51_200 {
		t.Errorf("the template has %d bytes, and CloudFormation takes 51,200 in a call", len(aws.Template))
	}
}

func TestThePackageReadsItsTemplateAsYAMLDoes(t *testing.T) {
	template := parse(t)
	parameters, resources := at(template, "Parameters").(tree), at(template, "Resources").(tree)
	for _, p := range aws.Parameters() {
		value := ""
		if standard := at(parameters, p.Name+".Default"); standard != nil {
			value = fmt.Sprint(standard)
		}
		expect(t, parameters, map[string]any{p.Name + ".Description": p.Description})
		if p.Default != value {
			t.Errorf("the default of %s is read as %q, want %q", p.Name, p.Default, value)
		}
	}
	for _, r := range aws.Resources() {
		expect(t, resources, map[string]any{r.Name + ".Type": r.Type})
		if r.Optional != (at(resources, r.Name+".Condition") != nil) {
			t.Errorf("%s is read as optional: %t", r.Name, r.Optional)
		}
	}
	if len(aws.Parameters()) != len(parameters) || len(aws.Resources()) != len(resources) {
		t.Errorf("%d parameters and %d resources are read, want %d and %d", len(aws.Parameters()), len(aws.Resources()), len(parameters), len(resources))
	}
}
