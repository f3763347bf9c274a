package main

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	gocmp "github.com/google/go-cmp/cmp"
)

// TestTheREADMENamesEveryCommand holds the README's table to the commands that there
// are, in both directions.
func TestTheREADMENamesEveryCommand(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Vars{"data": defaultData})
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	defaults := map[string]string{} // "usage" is "usage report"
	for _, leaf := range parser.Model.Leaves(true) {
		there = append(there, fullName(leaf))
		if leaf.Parent.DefaultCmd == leaf {
			defaults[fullName(leaf.Parent)] = fullName(leaf)
		}
	}
	named := rows(namedCommands(t), func(name string) string { return cmp.Or(defaults[name], name) })
	slices.Sort(there)
	slices.Sort(named)
	if diff := gocmp.Diff(there, named); diff != "" {
		t.Errorf("commands that there are (-) and that the README's table names (+):\n%s", diff)
	}
}

// fullName is a command with those it is below.
func fullName(node *kong.Node) string {
	if node.Parent == nil || node.Parent.Type == kong.ApplicationNode {
		return node.Name
	}
	return fullName(node.Parent) + " " + node.Name
}

// namedCommands reads the first column of the README's table of commands, where
// "developer add|list FILE" names two.
func namedCommands(t *testing.T) (all []string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n| command | |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	code := regexp.MustCompile("`[^`]+`")
	argument := regexp.MustCompile(`^(\[|--|[A-Z])`)
	for row := range strings.Lines(table) {
		cell := strings.Split(strings.ReplaceAll(row, `\|`, "/"), "|")[1]
		for _, text := range code.FindAllString(cell, -1) {
			names := []string{""}
			for word := range strings.FieldsSeq(strings.Trim(text, "`")) {
				if argument.MatchString(word) {
					break
				}
				var longer []string
				for _, name := range names {
					for choice := range strings.SplitSeq(word, "/") {
						longer = append(longer, strings.TrimSpace(name+" "+choice))
					}
				}
				names = longer
			}
			if names[0] != "" {
				all = append(all, names...)
			}
		}
	}
	return all
}
