package secrets

import "bytes"

var (
	urlPasswordRule = &rule{id: "url-credentials", class: Distinctive, rank: rankPlace}
	urlTokenRule    = &rule{id: "url-token", class: Distinctive, rank: rankPlace}
	dsnRule         = &rule{id: "dsn-password", class: Distinctive, rank: rankPlace}
	sasRule         = &rule{id: "azure-sas-signature", class: Distinctive, rank: rankPlace}
)

const (
	longestUserinfo = 512
	schemeChars     = alnum | dash | dot | plusSlash // '/' never precedes "://"
	hostChars       = base64url | dot | colon
)

// addURLs registers what finds credentials in URLs and in names of data sources.
func addURLs(f *filter) {
	f.add("://", printable, urlCredentials)
	f.add("@tcp(", 0, dataSource)
	f.add("@unix(", 0, dataSource)
	f.add(":thin:", 0, oracleThin)
	f.add("sig=", 0, sasSignature)
	f.add("sig%3d", 0, sasSignature)
}

// urlCredentials finds scheme://user:password@host, whatever the scheme, and
// scheme://token@host.
func urlCredentials(v *view, i, start int) {
	text := v.text
	if i == 0 || !schemeChars.has(text[i-1]) {
		return
	}
	end := start
	separator, sign := -1, -1 // the first colon and the last @ of the authority
	slash := -1
scan:
	for ; end < len(text) && end-start < longestUserinfo; end++ {
		switch c := text[end]; {
		case c == ':' && separator < 0 && sign < 0:
			separator = end
		case c == '@':
			if slash >= 0 && !(separator >= 0 && slash > separator && isHost(text, end+1)) {
				break scan
			}
			if sign >= 0 && slash > sign {
				break scan
			}
			sign = end
		case c == '/' || c == '?' || c == '#':
			if separator < 0 || sign >= 0 {
				break scan
			}
			if slash < 0 {
				slash = end
			}
			if digit.all(text[separator+1 : slash]) { // that was a port
				break scan
			}
		case c == ' ' || c == '"' || c == '\'' || c == '`' || c == '<' || c == '>' || c < ' ':
			if c != '<' || separator < 0 {
				break scan
			}
		case c == '\\' && !isEscapedSymbol(text, end):
			break scan
		}
	}
	if sign < 0 {
		return
	}
	host := text[sign+1 : hostChars.run(text, sign+1, 128)]
	if separator < 0 || separator > sign {
		user := text[start:sign]
		if len(user) >= 20 && base64url.all(user) && content(user)&digit != 0 && random(user) && !bytes.Contains(host, []byte("sentry")) {
			v.report(urlTokenRule, start, sign)
		}
		return
	}
	user, password := text[start:separator], text[separator+1:sign]
	if isPlaceholder(password) || isWeak(password) || bytes.Equal(user, password) || len(password) < 4 || len(host) == 0 {
		return
	}
	if len(password) < 8 && content(password)&^letter == 0 && wordlike(password) && (isWeak(user) || bytes.HasPrefix(host, []byte("localhost"))) {
		return
	}
	v.report(urlPasswordRule, separator+1, sign)
}

// isEscapedSymbol reports whether the backslash at i escapes a symbol, as a
// shell has it, and not a letter that ends a line or a quote that ends a string.
func isEscapedSymbol(text []byte, i int) bool {
	c := at(text, i+1)
	return symbol.has(c) && c != '"' && c != '\'' && c != '\\'
}

func isHost(text []byte, i int) bool {
	end := (base64url | dot).run(text, i, 128)
	if end-i < 2 {
		return false
	}
	host := text[i:end]
	next := at(text, end)
	return (bytes.IndexByte(host, '.') > 0 || next == ':' || bytes.Equal(host, []byte("localhost"))) && !lowerOther.has(next)
}

// dataSource finds the password in user:password@tcp(host:3306)/database.
func dataSource(v *view, i, _ int) {
	start := (printable &^ colon).runBack(v.text, i, longestUserinfo)
	for k := i - 1; k >= start; k-- {
		if c := v.text[k]; c == '"' || c == '\'' || c == '`' || c == '=' && k < i-64 {
			start = k + 1
			break
		}
	}
	if at(v.text, start-1) != ':' || start < 2 {
		return
	}
	if password := v.text[start:i]; len(password) >= 3 && !isPlaceholder(password) && !isWeak(password) {
		v.report(dsnRule, start, i)
	}
}

// oracleThin finds the password in jdbc:oracle:thin:user/password@host.
func oracleThin(v *view, _, i int) {
	user := word.run(v.text, i, 64)
	if user == i || at(v.text, user) != '/' {
		return
	}
	end := bytes.IndexByte(v.text[user:min(len(v.text), user+128)], '@')
	if end < 0 {
		return
	}
	password := v.text[user+1 : user+end]
	if len(password) >= 3 && printable.all(password) && !isPlaceholder(password) && !isWeak(password) {
		v.report(dsnRule, user+1, user+end)
	}
}

// sasSignature finds the signature of an Azure shared access signature.
func sasSignature(v *view, start, i int) {
	if start > 0 && word.has(v.text[start-1]) && !startsWord(v.text, start) {
		return
	}
	end := i
	for end < len(v.text) && end-i < 120 && ((base64std | base64url).has(v.text[end]) || v.text[end] == '%' || v.text[end] == '=') {
		end++
	}
	around := v.text[max(0, start-400):min(len(v.text), end+400)]
	if end-i < 43 || end-i > 100 || filler(v.text[i:end]) || entropy(v.text[i:end]) < 3.5 ||
		indexFold(around, "se=") < 0 && indexFold(around, "se%3d") < 0 && indexFold(around, "sv=") < 0 {
		return
	}
	v.report(sasRule, i, end)
}
