package secrets

import "bytes"

var (
	passwordRule    = &rule{id: "generic-password", class: Suspicious, rank: rankName}
	genericRule     = &rule{id: "generic-secret", class: Suspicious, rank: rankName}
	netrcRule       = &rule{id: "netrc-password", class: Distinctive, rank: rankPlace}
	dsnPasswordRule = &rule{id: "dsn-password", class: Distinctive, rank: rankPlace}
	connectionRule  = &rule{id: "azure-connection-string", class: Distinctive, rank: rankPlace}
	dockerAuthRule  = &rule{id: "docker-auth", class: Distinctive, rank: rankPlace}
)

// nameKeywords wake the look for an assignment. They are parts of names;
// name.kind then judges the whole.
var nameKeywords = []string{
	"passw", "pass_", "pass=", "pass:", "pass ", `pass"`, "pass'", "pass>", "pass)", "pass]", "passphr", "passcode", "passk", "pswd", "pword", "passe",
	"pwd=", "pwd:", `pwd"`, "pwd'", "pwd ", "pwd_", "pwd>", "pwd)", "pwd]", "_pw=", "_pw:", "_pw ", `_pw"`, "_pw'", "secret", "token", "creds", "credential", "cred=", "cred:",
	"apikey", "api_key", "api-key", "api key", "_key", "-key", "akey", "bkey", "ckey", "dkey", "ekey", "gkey", "hkey", "ikey", "kkey", "lkey", "mkey", "nkey", "pkey", "rkey", "skey", "tkey", "ykey", "access key", "account key", "secret key", "license key", "private key",
	"_psk", "psk=", "psk:", `psk"`, "_salt", `"auth"`, "_auth", "'auth'", "bindpw", "masterauth", "requirepass", "_jwt", "bearer", "_pat=", "_pat:", `_pat"`, "_pat ", "_sas", "account_pass", "senha", "contrasena",
	"passwort", "key1", "key2", "primarykey", "pass\":", "passv", "pass\t", "pass,", "pass`", "pass<", "pass.", "passp", "pass-", "pass\n", "pass\r",
}

func addAssignments(f *filter, all []issuer) {
	for _, k := range nameKeywords {
		f.add(k, printable, func(v *view, start, end int) { assignment(v, all, start, end) })
	}
}

// target is where a name's value may stand.
type target struct {
	at    int
	line  bool // NAME=value or name: value at the start of a line: the value may hold any symbol
	query bool // a parameter of a URL, a form or a connection string: & and ; end it
	space bool // the value follows a blank, not an operator
}

// assignment looks whether the name around the keyword at text[start:end] is
// given a value, in any of the ways that languages and files have for it.
func assignment(v *view, all []issuer, start, end int) {
	if start < v.named {
		return
	}
	text := v.text
	const nameChars = word | dash | dot
	for !nameChars.has(text[start]) { // the keyword may have its surroundings
		start++
	}
	for !nameChars.has(text[end-1]) {
		end--
	}
	left := nameChars.runBack(text, start, longestName)
	right := nameChars.run(text, end, longestName)
	if k := word.run(text, end, longestName); k < right && text[k] == '-' && at(text, k+1) == '>' {
		right = k
	}
	for right > left && !alnum.has(text[right-1]) {
		right--
	}
	v.named = right
	if right-left >= longestName {
		return
	}
	if k := bytes.LastIndexByte(text[left:start], '-'); k >= 0 && left+k > 0 && text[left] != '-' && at(text, left-1) == '/' {
		left += k + 1
	}
	for left < start && !alnum.has(text[left]) {
		left++
	}
	if string(text[left:right]) == "PASS" && at(text, right) == ':' { // a test's result
		return
	}
	if left >= 3 && text[left-3] == '%' && hexDigit.has(text[left-1]) { // %26password%3D
		return
	}
	var n name
	n.split(text[left:right])
	kind := n.kind()
	if kind == namesNothing {
		return
	}
	to, ok := findTarget(text, left, right)
	if !ok {
		return
	}
	to.query = to.query || v.query
	from, until, bare := valueSpan(text, &to)
	if until <= from {
		return
	}
	if r := judge(text, all, &n, kind, left, from, until, bare, &to); r != nil {
		v.report(r, from, until)
	}
}

// judge says by which rule the value is a secret, or nil.
func judge(text []byte, all []issuer, n *name, kind nameKind, left, from, until int, bare bool, to *target) *rule {
	value := text[from:until]
	if kind == namesAuth {
		if decoded, ok := userAndPassword(value); ok && !isWeak(decoded) && !isPlaceholder(decoded) {
			return dockerAuthRule
		}
		return nil
	}
	if r := issued(all, n, value); r != nil && !isPlaceholder(value) {
		return r
	}
	if isSecretKey(value) && n.word(0) == "key" && (n.word(1) == "access" || n.word(1) == "secret") {
		return secretKeyRule
	}
	if isSalt(value) {
		return genericRule
	}
	if n.word(0) != "token" && len(value) == 88 && bytes.HasSuffix(value, []byte("==")) && random(value) && !isDocumented(value) {
		return connectionRule
	}
	if bare && to.line && lower.has(text[left]) && isCode(value) {
		return nil
	}
	if kind == namesPassword {
		switch {
		case !isPassword(value, bare && !to.line && !to.query):
			return nil
		case to.space && bytes.Contains(text[max(0, left-200):left], []byte("login ")):
			return netrcRule
		case to.query || bytes.IndexByte(value, '\n') < 0 && isDataSource(text, left):
			return dsnPasswordRule
		}
		return passwordRule
	}
	if !isToken(kind, value, bare && !to.line && !to.query) {
		return nil
	}
	return genericRule
}

// isDataSource reports whether the name at i is one of several settings in a
// connection string: "host=db user=app password=…", "Server=db;Password=…".
func isDataSource(text []byte, i int) bool {
	from := max(0, i-200)
	if k := bytes.LastIndexByte(text[from:i], '\n'); k >= 0 {
		from += k + 1
	}
	before := text[from:i]
	for _, w := range []string{"host=", "server=", "user id=", "uid=", "data source=", "user=", "endpoint="} {
		if indexFold(before, w) >= 0 {
			return true
		}
	}
	return false
}

// longestBare bounds a value that nothing encloses. Longer tokens have a form.
const longestBare = 1024

// valueSpan returns the value at the target, without what encloses it. Bare
// says that nothing does.
func valueSpan(text []byte, to *target) (start, end int, bare bool) {
	i := to.at
	i = skipWrapper(text, i)
	switch c := at(text, i); c {
	case '"', '\'', '`':
		if string(text[i:min(len(text), i+3)]) == string([]byte{c, c, c}) {
			start = i + 3
			if k := bytes.Index(text[start:min(len(text), start+longestToken)], text[i:start]); k > 0 {
				return start, start + k, false
			}
			return 0, 0, false
		}
		start = i + 1
		for k := start; k < len(text) && k-start <= longestToken; k++ {
			switch text[k] {
			case '\\':
				k++
			case '\n':
				return 0, 0, false
			case c:
				return start, k, false
			}
		}
		return 0, 0, false
	case '\\': // an escaped quote: the reading without escapes will see it
		return 0, 0, false
	}
	start = i
	for end = start; end < len(text) && end-start <= longestBare; end++ {
		c := text[end]
		if c <= ' ' || c == '"' || c == '\'' || c == '`' {
			break
		}
		if to.query && (c == '&' || c == ';' || c == '#' || c == ')' || c == ',' && !to.line) {
			break
		}
		if c == '&' && to.line && isParameter(text, end) {
			break
		}
		if c == '\\' && isEscape(text, end) || c == '<' && at(text, end+1) == '/' {
			break
		}
		if !to.line && (c == ',' || c == ';' || c == ')' || c == '}' || c == ']' || c == '>' || c == '|' || c == '&') {
			break
		}
	}
	for end > start && (text[end-1] == ',' || text[end-1] == ';' || !to.line && (text[end-1] == '.' || text[end-1] == ':')) {
		end--
	}
	return start, end, true
}

// isParameter reports whether the & at i is followed by a name and =, as in a
// form or a query.
func isParameter(text []byte, i int) bool {
	end := word.run(text, i+1, longestName)
	return end > i+1 && at(text, end) == '='
}

// isEscape reports whether the backslash at i begins an escape that ends an
// unquoted value: of a line break or of a quote.
func isEscape(text []byte, i int) bool {
	switch at(text, i+1) {
	case 'n', 'r', 't', '"', '\'', '\\', '\n':
		return true
	}
	return false
}

// wrappers are calls that make a secret of a literal.
var wrappers = [][]byte{
	[]byte("[]byte("), []byte("String::from("), []byte("Some("), []byte("SecretStr("), []byte("SecretString("), []byte("Secret("), []byte("new String("), []byte("Buffer.from("), []byte("bytes("), []byte("str("),
	[]byte("SecretString::new("), []byte("Secret::new("), []byte("SecretString::from("), []byte("to_secret("), []byte("toSecret("), []byte("pulumi.secret("), []byte("new Secret("), []byte("@"), []byte("b"), []byte("u"), []byte("r"), []byte("f"), []byte("$"), []byte("N"), []byte("&"), []byte("new SecureString("), []byte("Secret.of("),
}

// skipWrapper skips what stands between an operator and a quoted literal.
func skipWrapper(text []byte, i int) int {
	for _, w := range wrappers {
		if bytes.HasPrefix(text[min(i, len(text)):], w) {
			if c := at(text, i+len(w)); c == '"' || c == '\'' || c == '`' {
				return i + len(w)
			}
		}
	}
	return i
}
