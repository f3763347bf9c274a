package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"net/url"
	"strings"
	"text/template"
)

//go:embed formula.rb.tmpl
var formulaText string

// formula is the Homebrew formula that installs the released archives of macOS
// and Linux from baseURL.
func formula(src source, baseURL string, archives map[target]artifact) ([]byte, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file" || strings.ContainsAny(baseURL, "\"\\#{}") {
		return nil, fmt.Errorf("%q is no address to download from: give --base-url such as %s", baseURL, exampleURL)
	}
	type download struct{ Name, SHA256 string }
	platforms := map[string]map[string]download{}
	for t, archive := range archives {
		if t.os == "windows" {
			continue
		}
		if platforms[t.os] == nil {
			platforms[t.os] = map[string]download{}
		}
		platforms[t.os][t.arch] = download{archive.name, archive.sha256}
	}
	var out bytes.Buffer
	err = template.Must(template.New("formula").Parse(formulaText)).Execute(&out, map[string]any{
		"Home": strings.TrimSuffix(baseURL, "/"), "Version": src.version, "Platforms": platforms,
	})
	if err != nil {
		return nil, fmt.Errorf("write the formula: %w", err)
	}
	return out.Bytes(), nil
}
