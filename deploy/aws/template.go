// Package aws holds the CloudFormation template of the proxy on AWS, and the
// names of what the template makes.
package aws

import _ "embed"

// Template is the CloudFormation template, in YAML. docs/aws.md says how to use it
// without 'codex-proxy aws deploy'.
//
//go:embed template.yaml
var Template string

// TokensTable is the name of the table of developers and tokens of an
// installation.
func TokensTable(name string) string { return name + "-tokens" }

// UsageTable is the name of an installation's table of usage.
func UsageTable(name string) string { return name + "-usage" }

// Bucket is the name of the bucket that keeps an installation's records. It holds
// the account's number, as names of buckets are the whole world's.
func Bucket(name, account, region string) string { return name + "-archive-" + account + "-" + region }

// LogGroup is the name of an installation's log.
func LogGroup(name string) string { return "/aws/lambda/" + name }
