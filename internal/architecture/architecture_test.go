// Package architecture holds the tests of the tree's own shape.
package architecture

import (
	"os/exec"
	"strings"
	"testing"
)

// module is the prefix of the project's own packages.
const module = "codex-proxy/internal/"

// adapters wrap one real thing each; domain packages must not know them, nor
// they each other.
var adapters = map[string]bool{
	"sqlite": true, "dynamodb": true, "disk": true, "s3": true, "secretsmanager": true,
	"oldtable": true, "parquet": true, "metrics": true, "simulated": true, "upstream": true,
}

// allowed are the imports between the project's packages that are not for
// everybody: exchange, openai and terminal may be imported by all.
var allowed = map[string][]string{
	"admission":                 {"developer", "refusal"},
	"lambda":                    {"refusal"},
	"gateway":                   {"admission", "contentcoding", "developer", "gateway/keymask", "memory", "policy/endpoint", "record", "redaction", "refusal", "secrets", "upstream"},
	"redaction":                 {"secrets"},
	"sqlite":                    {"developer", "ledger", "onboard/invite", "redaction", "console"},
	"dynamodb":                  {"developer", "ledger", "onboard/invite", "redaction", "console"},
	"roster":                    {"developer"},
	"onboard/invite":            {"attempts", "developer"},
	"onboard/invite/invitetest": {"developer"},
	"oldtable":                  {"developer"},
	"signin":                    {"developer", "refusal"},
	"disk":                      {"record"},
	"s3":                        {"record"},
	"conversation":              {"record"},
	"console":                   {"attempts", "console/access", "console/figure", "console/visit", "developer", "ledger", "refusal", "signin"},
	"console/visit":             {"console/access"},
	"console/figure":            {"conversation", "ledger"},
	"console/replay":            {"console/access", "console/figure", "console/visit", "conversation", "ledger", "record"},
	"console/numbers":           {"console/access", "console/figure", "console/visit", "ledger"},
}

// TestImportsRunInOneDirection keeps cmd as the only place that knows adapters
// and domain both: cmd → adapters → domain, and gateway alone knows the steps of
// an exchange.
func TestImportsRunInOneDirection(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}}: {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		from, imports, _ := strings.Cut(strings.TrimSpace(line), ": ")
		from = strings.TrimPrefix(from, module)
		top, _, nested := strings.Cut(from, "/")
		for path := range strings.FieldsSeq(imports) {
			to, ours := strings.CutPrefix(path, module)
			if !ours || to == "exchange" || to == "openai" || to == "terminal" {
				continue
			}
			if nested && (to == top || strings.HasPrefix(to, top+"/")) {
				continue // a suite of tests beside its package
			}
			permitted := false
			for _, name := range allowed[from] {
				permitted = permitted || name == to
			}
			if !permitted {
				t.Errorf("%s imports %s; ARCHITECTURE.md says who may", from, to)
			}
			if adapters[from] && adapters[to] {
				t.Errorf("the adapter %s imports the adapter %s", from, to)
			}
		}
	}
}
