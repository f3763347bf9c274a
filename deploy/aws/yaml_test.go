package aws_test

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"codex-proxy/deploy/aws"
)

// tree is a part of the template. CloudFormation's functions stand in it by their
// long names: !Ref X is {"Ref": "X"}, !Sub X is {"Fn::Sub": "X"}.
type tree = map[string]any

// parse reads the template.
func parse(t *testing.T) tree {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(aws.Template), &document); err != nil {
		t.Fatalf("read the template: %v", err)
	}
	return plain(t, document.Content[0]).(tree)
}

// plain turns a node of YAML into maps, lists and scalars.
func plain(t *testing.T, n *yaml.Node) any {
	t.Helper()
	tag := n.Tag
	var value any
	switch n.Kind {
	case yaml.MappingNode:
		m := tree{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(t, n.Content[i+1])
		}
		value = m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, plain(t, item))
		}
		value = list
	case yaml.ScalarNode:
		if strings.HasPrefix(tag, "!!") {
			if err := n.Decode(&value); err != nil {
				t.Fatalf("line %d: %v", n.Line, err)
			}
		} else {
			value = n.Value
		}
	default: // CloudFormation knows neither anchors nor aliases
		t.Fatalf("line %d: YAML that CloudFormation does not read", n.Line)
	}
	if n.Anchor != "" {
		t.Fatalf("line %d: an anchor, which CloudFormation does not read", n.Line)
	}
	switch {
	case strings.HasPrefix(tag, "!!"):
		return value
	case tag == "!Ref", tag == "!Condition":
		return tree{strings.TrimPrefix(tag, "!"): value}
	default:
		return tree{"Fn::" + strings.TrimPrefix(tag, "!"): value}
	}
}

// at is what stands at a path such as "Resources.Bucket.Type"; numbers are
// positions in lists. It is nil where there is nothing.
func at(in any, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		switch here := in.(type) {
		case tree:
			in = here[step]
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(here) {
				return nil
			}
			in = here[i]
		default:
			return nil
		}
	}
	return in
}

// list is a value as a list: CloudFormation takes one for a list of one.
func list(value any) []any {
	if all, ok := value.([]any); ok {
		return all
	}
	return []any{value}
}
