// Package aws holds the CloudFormation template of the proxy on AWS, and the
// names of what the template makes.
package aws

import (
	_ "embed"
	"iter"
	"strings"
)

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

// Parameter is a parameter of the template.
type Parameter struct{ Name, Default, Description string }

// Resource is a resource of the template.
type Resource struct {
	Name, Type string
	// Optional tells that it is made on a condition only.
	Optional bool
}

// Parameters returns the template's parameters in their order.
func Parameters() (all []Parameter) {
	for name, lines := range section("Parameters") {
		all = append(all, Parameter{Name: name, Default: strings.Trim(lines["Default"], `"`), Description: lines["Description"]})
	}
	return all
}

// Resources returns the template's resources in their order.
func Resources() (all []Resource) {
	for name, lines := range section("Resources") {
		all = append(all, Resource{Name: name, Type: lines["Type"], Optional: lines["Condition"] != ""})
	}
	return all
}

// section yields what a section of the template defines, each by its name with its
// plain attributes. It reads the template by its indentation, which a test holds to
// a reader of YAML, so that the binary needs none.
func section(name string) iter.Seq2[string, map[string]string] {
	return func(yield func(string, map[string]string) bool) {
		_, rest, _ := strings.Cut(Template, "\n"+name+":\n")
		defined, attributes := "", map[string]string{}
		for line := range strings.Lines(rest) {
			text := strings.TrimSpace(line)
			key, value, _ := strings.Cut(text, ":")
			switch indent := len(line) - len(strings.TrimLeft(line, " ")); {
			case text == "" || strings.HasPrefix(text, "#"):
			case indent == 0: // the next section
				yield(defined, attributes)
				return
			case indent == 2:
				if defined != "" && !yield(defined, attributes) {
					return
				}
				defined, attributes = key, map[string]string{}
			case indent == 4:
				attributes[key] = strings.TrimSpace(value)
			}
		}
	}
}
