package secrets

import "bytes"

// templates are what a value begins with, or has in it, when something else
// supplies the secret.
var (
	templateParts = [][]byte{
		[]byte("${"), []byte("$("), []byte("{{"), []byte("<%"), []byte("%("), []byte("#{"), []byte("process.env"), []byte("os.environ"), []byte("getenv"), []byte("Getenv"), []byte("import.meta"), []byte("$env:"), []byte("ENV["), []byte("env("), []byte(`\x`), []byte(`\u`), []byte(`\033`),
	}
	templateHeads = [][]byte{
		[]byte("!"), []byte("(?"), []byte("urn:"), []byte("ENC["), []byte("vault:"), []byte("op://"), []byte("arn:"), []byte("secret://"), []byte("ref+"), []byte("ssm:"), []byte("kms:"), []byte("env:"), []byte("env."), []byte("file:"), []byte("projects/"), []byte("secrets."), []byte("vars."), []byte("var."), []byte("local."), []byte("data."), []byte("$2a$"), []byte("$2b$"), []byte("$2y$"), []byte("$argon2"), []byte("$6$"), []byte("$5$"), []byte("$1$"), []byte("$apr1$"), []byte("{SSHA}"), []byte("pbkdf2"), []byte("SCRAM-SHA"), []byte("scrypt:"), []byte("sha1$"), []byte("sha256$"),
		[]byte("sha1-"), []byte("sha256-"), []byte("sha384-"), []byte("sha512-"), []byte("sha256:"), []byte("sha512:"), []byte("sha1:"), []byte("md5:"), []byte("h1:"), []byte("__SECRET_"), []byte("data:"), []byte("AQICAH"), []byte("{cipher}"), []byte("self."), []byte("this."), []byte("cls."),
	}
)

// isPlaceholder reports whether value stands for a secret instead of being one:
// a variable, a template, a reference, a hash, or what documentation puts there.
func isPlaceholder(value []byte) bool {
	if len(value) == 0 {
		return true
	}
	first, last := value[0], value[len(value)-1]
	switch {
	case first == '<' && last == '>', first == '[' && last == ']', first == '{' && last == '}', first == '%' && last == '%' && len(value) > 1:
		return true
	case (first == '$' || first == ':' || first == '@' || first == '&') && len(value) > 1 && isVariable(value[1:]):
		return true
	case first == '$' && len(value) > 1 && letter.has(value[1]) && expands(value[1:]):
		return true
	case first == '%' && (len(value) <= 3 || letter.has(value[1]) && !alnum.has(value[2])): // printf's
		return true
	}
	for _, part := range templateParts {
		if bytes.Contains(value, part) {
			return true
		}
	}
	for _, head := range templateHeads {
		if bytes.HasPrefix(value, head) {
			return true
		}
	}
	if len(value) >= 200 && bytes.HasPrefix(value, []byte("Ag")) && base64std.all(bytes.TrimRight(value, "=")) { // Kubernetes' sealed secrets
		return true
	}
	return filler(value) || repeats(value, max(3, len(value)*2/3)) || sequence(value)
}

// expands reports whether a variable's name is all of text, or what an operator
// or a path goes on from.
func expands(text []byte) bool {
	end := word.run(text, 0, len(text))
	switch at(text, end) {
	case '-', '[', '/', ':', '.':
		return wordy(text[:end])
	}
	return end == len(text) && content(text)&digit == 0
}

// isVariable reports whether name, which a sigil precedes, is a variable's: words,
// or capitals and underscores.
func isVariable(name []byte) bool {
	c := content(name)
	if c&^word != 0 || digit.has(name[0]) {
		return false
	}
	return c&(lower|digit) == 0 || wordy(name) || c&underscore != 0
}

// sequence reports whether every byte of text follows the one before it, as in
// "123456" and "abcdef".
func sequence(text []byte) bool {
	for i := 1; i < len(text); i++ {
		if text[i] != text[i-1]+1 && !(text[i] == '0' && text[i-1] == '9') {
			return false
		}
	}
	return len(text) > 3
}

// isUUID reports whether value has the form of a UUID.
func isUUID(value []byte) bool {
	if len(value) != 36 {
		return false
	}
	for i, c := range value {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !hexDigit.has(c) {
			return false
		}
	}
	return true
}

// isReference reports whether value points to something: a path, a URL, a host,
// an address, a number or a date.
func isReference(value []byte) bool {
	c := content(value)
	switch {
	case bytes.Contains(value, []byte("://")):
		return true
	case c&letter == 0 && c&symbol == 0: // a number, a date, a version
		return true
	case len(value) < 14 && c&dot != 0 && c&upper == 0 && digit.has(at(bytes.TrimLeft(value, "^~<>=v"), 0)) && bytes.Count(value, []byte(".")) == 2: // ^1.2.3
		return true
	case len(value) <= 20 && bytes.HasPrefix(value, []byte("0x")):
		return c&^(hexDigit|underscore|lowerOther) == 0
	case value[0] == '/' || bytes.HasPrefix(value, []byte("./")) || bytes.HasPrefix(value, []byte("../")) || bytes.HasPrefix(value, []byte("~/")) || len(value) > 2 && value[1] == ':' && value[2] == '\\':
		return !base64std.all(bytes.TrimRight(value, "=")) || entropy(value) < 4.2 || wordy(value)
	case c&^(word|dot|dash) == 0 && c&dot != 0: // a.dotted.name
		return wordy(value)
	}
	return false
}

// passwordWords in a password that is otherwise words say that it is a label.
var passwordWords = []string{
	"password", "passwd", "passphrase", "secret", "token", "credential", "login", "user", "auth", "field", "label", "input", "hint", "form", "reset", "confirm", "string", "text", "type", "name", "key", "your", "enter", "the", "config", "value", "param", "env", "get", "set",
}

// isPassword judges a value whose name says password. Bare says that it stood
// unquoted where code could stand too.
func isPassword(value []byte, bare bool) bool {
	if len(value) < 5 || len(value) > 256 || isWeak(value) || isPlaceholder(value) || bytes.Contains(value, []byte("://")) {
		return false
	}
	c := content(value)
	if c&space != 0 {
		return false
	}
	if c&letter == 0 && c&symbol == 0 { // digits alone, or a date
		return !bare && len(value) >= 8 && digit.all(value) && entropy(value) > 2
	}
	if c&(digit|symbol) == 0 && c&foreign != 0 { // a word
		return false
	}
	if bare && isCode(value) || isReference(value) && (wordy(value) || c&letter == 0 || len(value) < 14 && c&dot != 0 || c&(symbol|digit|upper) == 0 || bytes.HasPrefix(value, []byte("0x"))) {
		return false
	}
	if c&^letter == 0 {
		if wordy(value) || bare && len(value) < 10 {
			return false
		}
		return len(value) >= 8 && !wordlike(value)
	}
	if wordy(value) {
		if len(value) < 10 || bare && c&digit == 0 {
			return false
		}
		for _, w := range passwordWords {
			if indexFold(value, w) >= 0 {
				return false
			}
		}
		return c&^(letter|underscore|dot) != 0
	}
	if core := stripWords(value); len(core) < 3 || sequence(core) && digit.all(core) {
		return false
	}
	return len(value) >= 6 || c&symbol != 0 && c&digit != 0
}

// stripWords returns what a value has besides the words for a password.
func stripWords(value []byte) []byte {
	for _, w := range []string{"password", "passw0rd", "secret", "pass", "admin", "test", "user", "root", "token", "key"} {
		if i := indexFold(value, w); i >= 0 {
			rest := append(append([]byte{}, value[:i]...), value[i+len(w):]...)
			return bytes.Trim(rest, "_-.")
		}
	}
	return value
}

// isToken judges a value whose name says that a machine drew it.
func isToken(kind nameKind, value []byte, bare bool) bool {
	least := 16
	switch kind {
	case namesSecret:
		least = 8
	case namesKey:
		least = 20
	}
	if len(value) < least || len(value) > longestToken || isWeak(value) || isPlaceholder(value) || isReference(value) || wordy(value) {
		return false
	}
	c := content(value)
	if c&space != 0 || bare && isCode(value) {
		return false
	}
	if kind != namesSecret && len(value) != 64 && bytes.ContainsAny(value, `()[]|\\`) { // an expression, a pattern
		return false
	}
	if isUUID(value) {
		return kind == namesSecret
	}
	if hexDigit.all(value) {
		return kind != namesKey && len(value) >= 16 && entropy(value) >= 2.5
	}
	switch {
	case c&digit == 0 && (c&upper == 0 || c&lower == 0) && c&symbol == 0:
		return len(value) >= 20 && entropy(value) >= 3.3
	case kind == namesKey:
		return c&upper != 0 && c&lower != 0 && c&digit != 0 && entropy(value) >= 3.7 || c&symbol != 0 && len(value) == 64 && entropy(value) >= 4
	case len(value) < 12:
		return c&digit != 0 && c&(letter|symbol) != 0 && entropy(value) >= 2.5 && !isPlaceholder(stripWords(value)) && len(stripWords(value)) > 3
	}
	return random(value) && (c&digit != 0 || entropy(value) >= 3.3)
}

// isSalt reports whether value is 64 characters of every kind, blanks too, as
// WordPress draws its keys and salts.
func isSalt(value []byte) bool {
	if len(value) != 64 || bytes.IndexByte(value, '\n') >= 0 {
		return false
	}
	c := content(value)
	return c&lower != 0 && c&upper != 0 && c&digit != 0 && c&symbol != 0 && bytes.Count(value, []byte(" ")) < 6 && entropy(value) >= 4.8 && !wordy(value)
}

// isCode reports whether an unquoted value reads like an expression: a call, an
// index, a path of identifiers.
func isCode(value []byte) bool {
	if c := value[0]; c == '(' || c == '{' || c == '[' || (c == '&' || c == '*') && letter.has(at(value, 1)) || value[len(value)-1] == '}' && word.has(c) && bytes.IndexByte(value, '{') > 0 {
		return true
	}
	for i, c := range value {
		if (c == '(' || c == '[') && i > 0 && (word.has(value[i-1]) || value[i-1] == '.' || value[i-1] == '!') {
			return true // a call, an index
		}
		if c == '-' && at(value, i+1) == '>' || c == ':' && at(value, i+1) == ':' || c == '?' && at(value, i+1) == '.' {
			return true
		}
	}
	c := content(value)
	if c&^word == 0 && letter.has(value[0]) { // the name of another secret
		var n name
		if n.split(value); n.n > 1 && n.kind() != namesNothing {
			return true
		}
	}
	if c&^(word|dot) == 0 && c&(dot|underscore) != 0 && !digit.has(value[0]) {
		return c&digit == 0 || wordy(value) || hasWord(value[bytes.LastIndexByte(value, '.')+1:])
	}
	return c&^letter == 0 && wordy(value)
}

// hasWord reports whether a long word is part of an identifier.
func hasWord(identifier []byte) bool {
	for i := 0; i < len(identifier); i++ {
		if end := letter.run(identifier, i, len(identifier)); end > i {
			if end-i >= 6 && wordlike(identifier[i:end]) && !alternating(identifier[i:end]) {
				return true
			}
			i = end
		}
	}
	return false
}
