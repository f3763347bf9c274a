package onboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// document is a config.toml taken apart into statements, with where each stands.
// What lies between them is blank.
type document struct {
	text       []byte
	statements []statement
}

type kind uint8

const (
	comment kind = iota
	setting
	table
)

// statement is a comment on lines of its own, a setting or a table's header.
type statement struct {
	kind kind
	// start and end are the bytes of its whole lines, the last line ending too.
	start, end int
	// line is its first line, from 1.
	line int
	// path is the setting's or table's name from the top; of a comment, none.
	path []string
	// text is a comment's, from its number sign on.
	text string
}

func (s statement) isComment(mark string) bool {
	return s.kind == comment && strings.HasPrefix(s.text, mark)
}

// parse takes a document apart. Its errors say what is wrong in which line.
func parse(text []byte) (document, error) {
	var whole map[string]any
	if err := decode(text, &whole); err != nil {
		return document{}, err
	}
	doc := document{text: text}
	parser := unstable.Parser{KeepComments: true}
	parser.Reset(text)
	var under []string
	for parser.NextExpression() {
		node := parser.Expression()
		first, last := node.Raw, node.Raw
		s := statement{kind: comment}
		if node.Kind == unstable.Comment {
			s.text = string(node.Data)
		} else {
			s.kind = setting
			for key := node.Key(); key.Next(); {
				s.path = append(s.path, string(key.Node().Data))
				if node.Kind != unstable.KeyValue { // a header's own range is not told
					s.kind, last = table, key.Node().Raw
					if first.Length == 0 {
						first = last
					}
				}
			}
		}
		switch s.kind {
		case table:
			under = s.path
		case setting:
			s.path = append(append([]string{}, under...), s.path...)
		}
		s.start = bytes.LastIndexByte(text[:first.Offset], '\n') + 1
		s.end = len(text)
		if n := bytes.IndexByte(text[last.Offset+last.Length:], '\n'); n >= 0 {
			s.end = int(last.Offset+last.Length) + n + 1
		}
		s.line = bytes.Count(text[:s.start], []byte("\n")) + 1
		doc.statements = append(doc.statements, s)
	}
	return doc, parser.Error()
}

// Settings are what matters here of a config.toml.
type Settings struct {
	Model          string              `toml:"model"`
	ModelProvider  string              `toml:"model_provider"`
	OpenAIBaseURL  string              `toml:"openai_base_url"`
	Profile        string              `toml:"profile"`
	ModelProviders map[string]Upstream `toml:"model_providers"`
}

// Proxy is the provider that setup makes; it is zero when there is none.
func (s Settings) Proxy() Upstream { return s.ModelProviders[providerKey] }

// isBuiltIn tells whether Codex uses its own provider, whose table has a reserved key.
func (s Settings) isBuiltIn() bool { return s.ModelProvider == "" || s.ModelProvider == "openai" }

// chosen is the provider that Codex uses, whoever has written it.
func (s Settings) chosen() Upstream {
	if s.isBuiltIn() {
		return Upstream{Name: openAI, BaseURL: s.OpenAIBaseURL, SupportsWebSockets: true}
	}
	return s.ModelProviders[s.ModelProvider]
}

// Upstream is one of config.toml's providers.
type Upstream struct {
	Name               string `toml:"name"`
	BaseURL            string `toml:"base_url"`
	WireAPI            string `toml:"wire_api"`
	EnvKey             string `toml:"env_key"`
	SupportsWebSockets bool   `toml:"supports_websockets"`
	Auth               struct {
		Command string   `toml:"command"`
		Args    []string `toml:"args"`
	} `toml:"auth"`
}

// ReadSettings reads a config.toml. Its errors say what is wrong in which line.
func ReadSettings(config []byte) (Settings, error) {
	var s Settings
	err := decode(bytes.TrimPrefix(config, []byte(byteOrderMark)), &s)
	return s, err
}

// decode reads TOML, and says in which line it is none.
func decode(text []byte, into any) error {
	err := toml.Unmarshal(text, into)
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, _ := wrong.Position()
		return fmt.Errorf("line %d: %s", line, strings.TrimPrefix(wrong.Error(), "toml: "))
	}
	return err
}

// quote is text as a basic string of TOML, whose escapes JSON's are a part of.
func quote(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always can be
	return strings.TrimSuffix(out.String(), "\n")
}
