package onboard

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Provider is how Codex is to reach the proxy.
type Provider struct {
	// Name is what Codex calls it. It searches the web and compacts sessions at the
	// provider only where the name is "OpenAI". Empty is the name of its table.
	Name string
	// BaseURL ends in /v1.
	BaseURL string
	// WebSocket says that the proxy serves WebSockets.
	WebSocket bool
	// TokenCommand prints the token.
	TokenCommand []string
	// TokenTimeout is how long Codex waits for TokenCommand; 0 leaves it to Codex.
	TokenTimeout time.Duration
}

// The words that mark what is ours in a config.toml. Only their beginnings
// count, so that what they explain may be worded anew.
const (
	beginMark = "# codex-proxy: begin"
	endMark   = "# codex-proxy: end"
	wasMark   = "# codex-proxy: was: "

	beginLine = beginMark + " (written by codex-proxy setup; 'codex-proxy setup --uninstall' removes it)\n"
	endLine   = endMark + "\n"
)

const byteOrderMark = "\xef\xbb\xbf"

// openAI is the one name whose provider Codex takes for OpenAI.
const openAI = "OpenAI"

// providerKey is the name under which config.toml knows the proxy.
const providerKey = "codex-proxy"

// Setup returns config, a whole config.toml, changed so that Codex uses the
// proxy. All that is not ours stays byte for byte; Uninstall is the way back. It
// fails, saying which line is in the way, when config is not TOML or has a
// provider of our name that was made by hand.
func Setup(config []byte, provider Provider) ([]byte, error) {
	text, isMarked := bytes.CutPrefix(config, []byte(byteOrderMark))
	text, _, err := takeOut(text)
	if err != nil {
		return nil, err
	}
	doc, err := parse(text)
	if err != nil {
		return nil, err
	}
	if err := doc.refuseHandMade(); err != nil {
		return nil, err
	}
	newline := lineEnding(text)
	var out bytes.Buffer
	if isMarked {
		out.WriteString(byteOrderMark)
	}
	out.WriteString(withEndings(selection(), newline))
	out.Write(doc.commentOut())
	out.WriteString(newline)
	out.WriteString(withEndings(provider.table(), newline))
	result := out.Bytes()
	if err := provider.verify(result); err != nil {
		return nil, err
	}
	return result, nil
}

// Uninstall returns config as it was before Setup, with whatever was changed in
// it since. A config that is not set up is returned as it is.
func Uninstall(config []byte) ([]byte, error) {
	text, isMarked := bytes.CutPrefix(config, []byte(byteOrderMark))
	text, found, err := takeOut(text)
	if err != nil || !found {
		return config, err
	}
	doc, err := parse(text)
	if err != nil {
		return nil, err
	}
	text = doc.restore()
	if _, err := parse(text); err != nil {
		return nil, fmt.Errorf("the settings that setup had put aside cannot all come back: %w. Remove one of them, or its '%s' line", err, strings.TrimSpace(wasMark))
	}
	if isMarked {
		text = append([]byte(byteOrderMark), text...)
	}
	return text, nil
}

// IsSetUp tells whether config holds a block of ours.
func IsSetUp(config []byte) bool {
	doc, err := parse(bytes.TrimPrefix(config, []byte(byteOrderMark)))
	return err == nil && slices.ContainsFunc(doc.statements, func(s statement) bool { return s.isComment(beginMark) })
}

// selection is the first block: it chooses the provider.
func selection() string {
	return beginLine + "model_provider = " + quote(providerKey) + "\n" + endLine
}

// name is what Codex calls the provider.
func (p Provider) name() string { return cmp.Or(p.Name, providerKey) }

// table is the second block: it says what the provider is.
func (p Provider) table() string {
	var out strings.Builder
	out.WriteString(beginLine)
	out.WriteString(p.Tables())
	out.WriteString(endLine)
	return out.String()
}

// Tables is the provider as tables of config.toml, without our markers.
func (p Provider) Tables() string {
	args := make([]string, 0, len(p.TokenCommand))
	for _, arg := range p.TokenCommand[1:] {
		args = append(args, quote(arg))
	}
	tables := fmt.Sprintf(`[model_providers.%[1]s]
name = %[2]s
base_url = %[3]s
wire_api = "responses"
supports_websockets = %[4]t

[model_providers.%[1]s.auth]
command = %[5]s
args = [%[6]s]
`, providerKey, quote(p.name()), quote(p.BaseURL), p.WebSocket, quote(p.TokenCommand[0]), strings.Join(args, ", "))
	if p.TokenTimeout > 0 {
		tables += fmt.Sprintf("timeout_ms = %d\n", p.TokenTimeout.Milliseconds())
	}
	return tables
}

// verify reads the result as Codex would: it must be TOML that says what was
// meant.
func (p Provider) verify(result []byte) error {
	got, err := ReadSettings(result)
	if err != nil {
		return fmt.Errorf("a provider cannot be added to this file: %w", err)
	}
	chosen := got.ModelProviders[providerKey]
	command := append([]string{chosen.Auth.Command}, chosen.Auth.Args...)
	if got.ModelProvider != providerKey || chosen.Name != p.name() || chosen.BaseURL != p.BaseURL || !slices.Equal(command, p.TokenCommand) {
		return fmt.Errorf("a provider cannot be added to this file: the name %q, the address %q or the path %q cannot be written in TOML", p.name(), p.BaseURL, p.TokenCommand[len(p.TokenCommand)-1])
	}
	return nil
}

// commentOut returns the document with those settings put aside that choose
// another way to OpenAI.
func (d document) commentOut() []byte {
	var out bytes.Buffer
	at := 0
	for _, s := range d.statements {
		if s.kind != setting || !slices.Equal(s.path, []string{"model_provider"}) && !slices.Equal(s.path, []string{"openai_base_url"}) {
			continue
		}
		out.Write(d.text[at:s.start])
		for line := range bytes.Lines(d.text[s.start:s.end]) {
			out.WriteString(wasMark)
			out.Write(line)
		}
		at = s.end
	}
	out.Write(d.text[at:])
	return out.Bytes()
}

// restore is the way back from commentOut.
func (d document) restore() []byte {
	var out bytes.Buffer
	at := 0
	for _, s := range d.statements {
		if s.kind == table {
			break // settings are put aside above all tables only
		}
		if s.kind == comment && bytes.HasPrefix(d.text[s.start:], []byte(wasMark)) {
			out.Write(d.text[at:s.start])
			at = s.start + len(wasMark)
		}
	}
	out.Write(d.text[at:])
	return out.Bytes()
}

// refuseHandMade fails when the document has a provider of our name, or has its
// providers in a form that nothing can be added to.
func (d document) refuseHandMade() error {
	for _, s := range d.statements {
		switch {
		case isOurs(s):
			return fmt.Errorf("line %d: there is a provider %q already, made by hand. Rename or remove it, then run setup again", s.line, providerKey)
		case s.kind == setting && slices.Equal(s.path, []string{"model_providers"}):
			return fmt.Errorf("line %d: model_providers is one inline table, to which nothing can be added. Write it as [model_providers.NAME] tables, then run setup again", s.line)
		}
	}
	return nil
}

// isOurs tells whether a statement is about the provider of our name.
func isOurs(s statement) bool {
	return len(s.path) >= 2 && s.path[0] == "model_providers" && s.path[1] == providerKey
}

// takeOut removes our blocks, and tells whether there were any. What others have
// written between our markers stays: Codex itself puts new settings there.
func takeOut(text []byte) (rest []byte, found bool, err error) {
	doc, err := parse(text)
	if err != nil {
		return nil, false, err
	}
	var out []byte
	at, glued := 0, -1
	all := doc.statements
	for i := 0; i < len(all); i++ {
		if !all[i].isComment(beginMark) {
			continue
		}
		end := i + 1
		for end < len(all) && !all[end].isComment(endMark) && !all[end].isComment(beginMark) {
			end++
		}
		if end == len(all) || all[end].isComment(beginMark) {
			return nil, false, fmt.Errorf("line %d: the block of codex-proxy that begins here has no end. Put the line %q behind it, or remove the block by hand", all[i].line, endMark)
		}
		found = true
		for k := i; k <= end; k++ {
			s := all[k]
			if k != i && k != end && !isOurs(s) && !isSelection(s) {
				continue
			}
			out = append(out, text[at:s.start]...)
			if k > i && isOurs(s) && glued < 0 {
				glued = len(out)
			}
			at = s.end
			if k < end && (isOurs(all[k+1]) || k+1 == end) {
				at = all[k+1].start // the blank lines between our own
			}
		}
		i = end
	}
	out = append(out, text[at:]...)
	if glued < 0 {
		return out, found, nil
	}
	return unglue(out, glued, lineEnding(text)), found, nil
}

// isSelection tells whether a statement in a block is the one that chooses us.
func isSelection(s statement) bool {
	return s.kind == setting && slices.Equal(s.path, []string{"model_provider"})
}

// unglue removes the line ending that stands before the place of our second
// block: a blank line, or the end of a last line that had none.
func unglue(text []byte, at int, newline string) []byte {
	before, ends := bytes.CutSuffix(text[:at], []byte(newline))
	isBlank := len(before) == 0 || bytes.HasSuffix(before, []byte("\n"))
	if !ends || !isBlank && at < len(text) {
		return text
	}
	return append(before, text[at:]...)
}

// lineEnding is how the first line of text ends.
func lineEnding(text []byte) string {
	if line, _, ok := bytes.Cut(text, []byte("\n")); ok && bytes.HasSuffix(line, []byte("\r")) {
		return "\r\n"
	}
	return "\n"
}

func withEndings(text, newline string) string { return strings.ReplaceAll(text, "\n", newline) }
