// Package oracle compares this project's secret rules with those of gitleaks.
// It is a module of its own, so that gitleaks and all that it needs stay out of
// the program.
package oracle

import (
	"fmt"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"codex-proxy/internal/secrets"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"
)

// draw writes a text that matches the expression.
func draw(r *rand.Rand, b *strings.Builder, re *syntax.Regexp) {
	repeat := func(least, most int) {
		if most < 0 || most > least+40 {
			most = least + 20
		}
		for range least + r.IntN(most-least+1) {
			draw(r, b, re.Sub[0])
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			b.WriteRune(c)
		}
	case syntax.OpCharClass:
		var choices []rune
		for i := 0; i < len(re.Rune); i += 2 {
			for c := max(re.Rune[i], ' '); c <= min(re.Rune[i+1], '~'); c++ {
				choices = append(choices, c)
			}
		}
		if len(choices) == 0 {
			choices = []rune{re.Rune[0]}
		}
		if alnum := slices.DeleteFunc(slices.Clone(choices), func(c rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", c)
		}); len(alnum) > 20 {
			choices = alnum
		}
		b.WriteRune(choices[r.IntN(len(choices))])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte("abcdefghij0123456789"[r.IntN(20)])
	case syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEmptyMatch, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			draw(r, b, sub)
		}
	case syntax.OpAlternate:
		draw(r, b, re.Sub[r.IntN(len(re.Sub))])
	case syntax.OpStar:
		repeat(0, 3)
	case syntax.OpPlus:
		repeat(1, 20)
	case syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpRepeat:
		repeat(re.Min, re.Max)
	}
}

// secret returns the part of an expression that is the secret: its first group.
func secret(re *syntax.Regexp) *syntax.Regexp {
	if re.Op == syntax.OpCapture {
		return re.Sub[0]
	}
	for _, sub := range re.Sub {
		if found := secret(sub); found != sub || sub.Op == syntax.OpCapture {
			return found
		}
	}
	return re
}

// TestWhatGitleaksFindsIsFound draws texts from the expressions of gitleaks'
// rules and asks that what gitleaks finds in them is found here. The few rules
// that are left out by choice are named.
func TestWhatGitleaksFindsIsFound(t *testing.T) {
	detector, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	scanner, err := secrets.New(secrets.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	total, both := 0, 0
	var missed []string
	for id, rule := range detector.Config.Rules {
		if rule.Regex == nil {
			continue
		}
		// Without the flag that folds case: tokens are written as documented.
		source := strings.NewReplacer("(?i)", "", "(?i:", "(?:").Replace(rule.Regex.String())
		expression, err := syntax.Parse(source, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		expression = secret(expression)
		seen, found, example := 0, 0, ""
		for range 200 {
			if seen == 10 {
				break
			}
			var b strings.Builder
			draw(r, &b, expression)
			text := b.String()
			if len(rule.Keywords) > 0 && !strings.Contains(strings.ToLower(text), rule.Keywords[0]) {
				text = strings.ToUpper(rule.Keywords[0]) + "_API_KEY=\"" + text + "\""
			}
			text = "x=1\n" + text + "\n"
			theirs := detector.DetectString(text)
			theirs = slices.DeleteFunc(theirs, func(f report.Finding) bool { return f.RuleID != id })
			if len(theirs) == 0 {
				continue
			}
			seen++
			at := strings.Index(text, theirs[0].Secret)
			if slices.ContainsFunc(scanner.Scan([]byte(text), nil), func(f secrets.Finding) bool { return f.Start < at+len(theirs[0].Secret) && f.End > at }) {
				found++
			} else {
				example = text
			}
		}
		total += seen
		both += found
		if found < seen {
			missed = append(missed, fmt.Sprintf("%s: %d of %d, %.160q", id, found, seen, example))
		}
	}
	slices.Sort(missed)
	for _, m := range missed {
		t.Log(m)
	}
	rate := float64(both) / float64(total)
	t.Logf("%d of %d that gitleaks finds (%.3f)", both, total, rate)
	if rate < 0.9 {
		t.Errorf("%.3f of what gitleaks finds is found, want 0.9", rate)
	}
}
