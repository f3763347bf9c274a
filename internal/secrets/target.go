package secrets

import "bytes"

// skipBlanks skips what may stand between a name and its value on one line.
func skipBlanks(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
		i++
	}
	return i
}

// findTarget finds where the value of the name at text[left:right] begins.
func findTarget(text []byte, left, right int) (target, bool) {
	var to target
	before := at(text, left-1)
	i := right
	quoted := false
	switch c := at(text, i); {
	case (c == '"' || c == '\'' || c == '`') && (before == c || before == '.' || before == '-' || before == '_' || before == '/' || before == ':'):
		quoted = true
		i++
		for at(text, i) == ']' || at(text, i) == ')' && at(text, i+1) != ';' {
			i++
		}
	case c == ']' || c == '?' || c == '!': // headers[token], password?: string
		i++
	case c == '[' && at(text, i+1) == ']':
		i += 2
	}
	if before == '<' || before == ':' || quoted && before == '"' { // also <entry key="password">value</entry>
		if at(text, i) == '>' { // <password>value</password>
			to.at = i + 1
			end := bytes.IndexByte(text[to.at:min(len(text), to.at+longestToken)], '<')
			return to, end > 0 && at(text, to.at+end+1) == '/'
		}
	}
	to.query = before == '?' || before == '&' || before == ';' || before == ' ' && at(text, left-2) == ';'
	to.line = startsLine(text, left, quoted)
	i = skipBlanks(text, i)
	switch c := at(text, i); c {
	case '<': // R's arrow
		to.at = skipBlanks(text, i+2)
		return to, at(text, i+1) == '-' && isQuote(at(text, to.at))
	case '-': // PowerShell's -Name PASSWORD -Value "…"
		if hasFold(text, i, "-value ") {
			to.at = skipBlanks(text, i+len("-value "))
			return to, true
		}
	case '=', ':', '?', '+':
		return operator(text, i, to, quoted, before)
	case '!':
		return to, false
	case '|': // a cell of a table
		if at(text, i+1) == '|' {
			return operator(text, i, to, quoted, before)
		}
		to.at = skipBlanks(text, i+1)
		return to, isCell(text, left)
	case ',':
		if !quoted || before == '`' {
			return to, false
		}
		if pair, ok := pairValue(text, i, to); ok {
			return pair, true
		}
		to.at = skipBlanks(text, i+1)
		return to, isQuote(before) && isQuote(at(text, to.at)) && !listed(text, left)
	case '{': // C#'s property with an initial value
		if end := bytes.IndexByte(text[i:min(len(text), i+40)], '}'); end > 0 && hasAt(text, skipBlanks(text, i+1), "get") {
			to.at = skipBlanks(text, i+end+1)
			if at(text, to.at) == '=' {
				to.at = skipBlanks(text, to.at+1)
				return to, isQuote(at(text, to.at))
			}
		}
		return to, false
	case '(':
		to.at = skipBlanks(text, i+1)
		return to, !quoted && isQuote(at(text, to.at))
	}
	if quoted || at(text, i) == '\n' || at(text, i) == '\r' {
		if p, ok := pairValue(text, right, to); ok {
			return p, true
		}
	}
	if quoted || i == right {
		return to, false
	}
	return spaced(text, left, i, to)
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' }

// isCell reports whether the name at left begins a cell of a Markdown table, or
// of what a database's shell prints.
func isCell(text []byte, left int) bool {
	i := left - 1
	for i >= 0 && (text[i] == ' ' || isQuote(text[i]) || text[i] == '*') {
		i--
	}
	return at(text, i) == '|'
}

// listed reports whether the quoted name is a member of a list of names, not
// the first argument of a call.
func listed(text []byte, left int) bool {
	i := left - 2
	for i >= 0 && space.has(text[i]) {
		i--
	}
	return at(text, i) == ',' || at(text, i) == '['
}

// operator reads an operator at i, with the type that may stand before it, and
// returns where the value begins.
func operator(text []byte, i int, to target, quoted bool, before byte) (target, bool) {
	switch {
	case hasAt(text, i, "::"), at(text, i) == ':' && at(text, i+1) != ' ' && before == ':', hasAt(text, i, "!="), hasAt(text, i, "=~"):
		return to, false
	case hasAt(text, i, "===") || hasAt(text, i, "!=="):
		i += 3
	case hasAt(text, i, ":="), hasAt(text, i, "=>"), hasAt(text, i, "=="), hasAt(text, i, "?="), hasAt(text, i, "+="), hasAt(text, i, "??"), hasAt(text, i, "||"), hasAt(text, i, ":-"), hasAt(text, i, "?:"):
		i += 2
		if at(text, i) == '=' {
			i++
		}
	case at(text, i) == '+' || at(text, i) == '?':
		return to, false
	case at(text, i) == ':':
		if end, ok := typed(text, i+1); ok {
			i = end + 1
			to.line = false
		} else {
			i++
		}
	default:
		i++
	}
	if c := at(text, i-1); c == '=' && at(text, i) == ' ' || quoted {
		to.line = to.line && !quoted && c != '='
	}
	i = skipBlanks(text, i)
	if c := at(text, i); (c == '|' || c == '>') && !to.query { // a YAML block
		k := i + 1
		for at(text, k) == '-' || at(text, k) == '+' || digit.has(at(text, k)) {
			k++
		}
		if c := at(text, k); (c == '\n' || c == '\r') && k < len(text) {
			i = space.run(text, k, 64)
		}
	}
	to.at = i
	return to, i < len(text)
}

func hasAt(text []byte, i int, s string) bool {
	return len(text)-i >= len(s) && string(text[i:i+len(s)]) == s
}

// typed reports where the = is of ": string = value", as Go, Rust, TypeScript,
// Kotlin, Swift and Python write it.
func typed(text []byte, i int) (int, bool) {
	i = skipBlanks(text, i)
	start := i
	for i < len(text) && i-start < 40 && (word.has(text[i]) || text[i] == '&' || text[i] == '<' || text[i] == '>' || text[i] == '[' || text[i] == ']' || text[i] == '?' || text[i] == '.' || text[i] == '\'' && text[i-1] == '&') {
		i++
	}
	if hasAt(text, start, "&'static str") {
		i = start + len("&'static str")
	}
	k := skipBlanks(text, i)
	if i > start && k > i && at(text, k) == '=' && at(text, k+1) != '=' {
		return k, true
	}
	return 0, false
}

// pairValue finds the value of a name that is a field itself: "name": "TOKEN",
// "value": "…", also on the next line, as in Kubernetes and XML.
func pairValue(text []byte, i int, to target) (target, bool) {
	limit := min(len(text), i+80)
	for i < limit && (space.has(text[i]) || text[i] == '"' || text[i] == '\'' || text[i] == ',' || text[i] == '-') {
		i++
	}
	if !hasFold(text, i, "value") {
		return to, false
	}
	i += len("value")
	if isQuote(at(text, i)) {
		i++
	}
	i = skipBlanks(text, i)
	switch at(text, i) {
	case ':', '=':
		to.at, to.line = skipBlanks(text, i+1), at(text, i) == ':'
		return to, true
	case '>':
		to.at = i + 1
		return to, true
	}
	return to, false
}

// spaced decides whether a blank alone gives the name its value: after a flag,
// in .netrc, a Dockerfile or SQL, with the name's type, or as a Redis directive.
func spaced(text []byte, left, i int, to target) (target, bool) {
	to.at, to.space = i, true
	value := at(text, i)
	if value == '\n' || value == '\r' {
		return to, false
	}
	before := text[max(0, left-160):left]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	switch {
	case at(text, left-1) == '-' && (at(text, left-2) == '-' || space.has(at(text, left-2))): // --password value
		return to, value != '-'
	case bytes.HasSuffix(bytes.TrimSpace(line), []byte("ENV")), bytes.HasSuffix(bytes.TrimSpace(line), []byte("setx")), bytes.HasSuffix(bytes.TrimSpace(line), []byte("#define")), bytes.HasSuffix(bytes.TrimSpace(line), []byte("set -x")), bytes.HasSuffix(bytes.TrimSpace(line), []byte("set -gx")), bytes.HasSuffix(bytes.TrimSpace(line), []byte("configure set")):
		to.line = true
		return to, true
	case hasFold(text, left, "password") && (bytes.Contains(before, []byte("login ")) || bytes.Contains(before, []byte("machine "))):
		to.line = true
		return to, true
	case isQuote(value) && (bytes.HasSuffix(bytes.TrimSpace(line), []byte("set")) || bytes.HasSuffix(bytes.TrimSpace(line), []byte("(def"))), value == '\'' && !bytes.HasSuffix(before, []byte("'")), hasFold(text, left, "requirepass"), hasFold(text, left, "masterauth"), hasFold(text, left, "bindpw"):
		return to, true
	}
	if value == '`' { // password `…`, in prose
		end := (printable &^ symbol).run(text, i+1, longestBare)
		return to, at(text, end) == '`' && content(text[i+1:end])&digit != 0 && hasFold(text, left, "password")
	}
	if command := bytes.TrimSpace(line); digit.has(value) && at(text, i+1) == ' ' && (string(command) == "enable" || bytes.HasPrefix(command, []byte("username "))) {
		to.at = skipBlanks(text, i+1) // a router's "enable secret 0 …"
		return to, true
	}
	// Go, C# and Basic name the type after or before: password string = "…".
	typeName := i
	if hasFold(text, i, "as ") {
		typeName += len("as ")
	}
	end := word.run(text, typeName, 24)
	if k := skipBlanks(text, end); end > i && at(text, k) == '=' && at(text, k+1) != '=' {
		to.at, to.space = skipBlanks(text, k+1), false
		return to, isQuote(at(text, to.at)) || at(text, to.at) == '['
	}
	if hasAt(text, i, "||") || hasAt(text, i, "or ") || hasAt(text, i, "??") {
		to.at = skipBlanks(text, i+2+btoi(text[i] == 'o'))
		return to, isQuote(at(text, to.at))
	}
	if hasAt(text, i, "is ") || hasAt(text, i, "is: ") || hasAt(text, i, "to ") { // "the password is …"
		to.at = skipBlanks(text, i+3+btoi(text[i+2] == ':'))
		end := printable.run(text, to.at, longestBare)
		return to, isQuote(at(text, to.at)) || value == 'i' && content(text[to.at:end])&digit != 0
	}
	return to, false
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lineWords are what may precede a name at the start of a line.
var lineWords = [][]byte{
	[]byte("export"), []byte("set"), []byte("ENV"), []byte("ARG"), []byte("setx"), []byte("declare"), []byte("local"), []byte("readonly"), []byte("-e"), []byte("--env"), []byte("env"), []byte("--build-arg"), []byte("Environment="), []byte("SET"), []byte("setenv"), []byte("-x"),
}

// startsLine reports whether the name at left begins a line of a settings file,
// a shell script or a listing of one: then the value runs to the end of the
// word, with whatever symbols it has.
func startsLine(text []byte, left int, quoted bool) bool {
	i := left
	if quoted {
		i--
	}
	from := max(0, i-40)
	before := text[from:i]
	if k := bytes.LastIndexByte(before, '\n'); k >= 0 {
		before = before[k+1:]
	} else if from > 0 {
		return false
	}
	before = bytes.TrimRight(before, " \t")
	for _, w := range lineWords {
		if bytes.HasSuffix(before, w) {
			return true
		}
	}
	for _, c := range before { // a list's dash, a diff's sign, a line's number
		if !(digit | dash | plusSlash | colon | space).has(c) && c != '>' && c != '#' && c != '|' && c != '.' && c != '$' && c != '*' {
			return envLike(text, left)
		}
	}
	return true
}

// envLike reports whether the name at left is written as environment variables
// are: capitals, right after a blank or a quote, with = and no blank behind.
func envLike(text []byte, left int) bool {
	if c := at(text, left-1); !space.has(c) && !isQuote(c) {
		return false
	}
	end := (upper | digit | underscore).run(text, left, longestName)
	return end > left+3 && at(text, end) == '=' && !space.has(at(text, end+1))
}
