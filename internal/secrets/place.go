package secrets

import (
	"bytes"
	"encoding/base64"
)

var (
	basicRule   = &rule{id: "basic-auth-header", class: Distinctive, rank: rankPlace}
	bearerRule  = &rule{id: "authorization-header", class: Distinctive, rank: rankPlace}
	curlRule    = &rule{id: "curl-user-password", class: Distinctive, rank: rankPlace}
	pgpassRule  = &rule{id: "pgpass-password", class: Distinctive, rank: rankPlace}
	flagRule    = &rule{id: "command-line-password", class: Distinctive, rank: rankPlace}
	bundlerRule = &rule{id: "bundler-password", class: Distinctive, rank: rankPlace}
	cookieRule  = &rule{id: "session-cookie", class: Suspicious, rank: rankPlace}
	clientRule  = &rule{id: "client-credentials", class: Suspicious, rank: rankName}
)

// addPlaces registers what finds secrets by the place that they stand in.
func addPlaces(f *filter) {
	f.add("basic ", 0, basicHeader)
	for _, k := range []string{"bearer ", "authorization: token ", "authorization: bot ", "authorization: apikey ", "authorization: ssws ", "authorization: genie", "authorization: splunk ", "authorization': 'token ", `authorization": "token `, `authorization": "bot `, `"ssws `, `authorization": "ssws `, "authorization: "} {
		f.add(k, 0, authorizationHeader)
	}
	f.add(" -u ", 0, curlUser)
	f.add("--user ", 0, curlUser)
	f.add("--user=", 0, curlUser)
	for _, port := range []string{":5432:", ":5433:", ":6432:", ":6543:", ":*:*:"} {
		f.add(port, 0, pgpass)
	}
	f.add("bundle_", 0, bundlerPassword)
	f.add("cookie: ", 0, sessionCookie)
	f.add("identified by ", 0, quotedPassword)
	f.add("with password ", 0, quotedPassword)
	f.add("convertto-securestring ", 0, quotedPassword)
	f.add("convertto-securestring -string ", 0, quotedPassword)
	for _, call := range []string{"basicauth(", "basic_auth(", "httpbasicauth(", "usernamepasswordcredential(", "networkcredential(", "credentials(", "auth=(", "auth = (", ".auth(", ".login(", "credentials::new("} {
		f.add(call, 0, func(v *view, _, i int) { quotedArgument(v, i, 1) })
	}
	for _, call := range []string{"getconnection(", "mysqli_connect(", "mysqli(", "pdo("} {
		f.add(call, 0, func(v *view, _, i int) { quotedArgument(v, i, 2) })
	}
	for _, call := range []string{".login(", "bot.run(", "client.run(", "set_password(", "setpassword("} {
		f.add(call, 0, onlyArgument)
	}
}

// userAndPassword decodes base64 of user:password and returns the password.
func userAndPassword(text []byte) ([]byte, bool) {
	if len(text) < 8 || len(text) > 8192 {
		return nil, false
	}
	decoded, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		if decoded, err = base64.RawStdEncoding.DecodeString(string(text)); err != nil {
			return nil, false
		}
	}
	user, password, ok := bytes.Cut(decoded, []byte(":"))
	if !ok || len(password) < 3 || !isText(decoded) || bytes.Equal(user, password) {
		return nil, false
	}
	return password, true
}

// basicHeader finds "Basic dXNlcjpwYXNzd29yZA==".
func basicHeader(v *view, start, i int) {
	if start > 0 && word.has(v.text[start-1]) {
		return
	}
	end := (base64std | equals).run(v.text, i, 8192)
	password, ok := userAndPassword(v.text[i:end])
	if ok && !isWeak(password) && !isPlaceholder(password) && string(password) != "open sesame" {
		v.report(basicRule, i, end)
	}
}

// authorizationHeader finds the token behind "Bearer" and its like.
func authorizationHeader(v *view, start, i int) {
	if start > 0 && word.has(v.text[start-1]) {
		return
	}
	i = skipBlanks(v.text, i)
	end := (base64url | plusSlash | dot | equals | tilde | colon).run(v.text, i, longestToken)
	for end > i && (v.text[end-1] == '.' || v.text[end-1] == ':') {
		end--
	}
	if value := v.text[i:end]; len(value) >= 16 && !bytes.Contains(value, []byte("://")) && (isUUID(value) && !filler(value) || isToken(namesSecret, value, false)) {
		v.report(bearerRule, i, end)
	}
}

// argument returns the shell word at i without its quotes.
func argument(text []byte, i int) (start, end int) {
	i = skipBlanks(text, i)
	if c := at(text, i); c == '"' || c == '\'' {
		k := bytes.IndexByte(text[i+1:min(len(text), i+512)], c)
		if k < 0 {
			return i, i
		}
		return i + 1, i + 1 + k
	}
	end = i
	for end < len(text) && end-i < 512 && !space.has(text[end]) && !isQuote(text[end]) && text[end] != '\\' && text[end] != ')' && text[end] != ';' && text[end] != '|' {
		end++
	}
	return i, end
}

// reportPassword reports text[start:end] unless it is none.
func reportPassword(v *view, r *rule, start, end int) {
	if end-start >= 4 && content(v.text[start:end])&space == 0 && isPassword(v.text[start:end], false) {
		v.report(r, start, end)
	}
}

// curlUser finds the password in curl -u user:password.
func curlUser(v *view, flag, i int) {
	start, end := argument(v.text, i)
	k := bytes.IndexByte(v.text[start:end], ':')
	if k < 1 || bytes.IndexByte(v.text[start:end], '/') == 0 {
		return
	}
	password := v.text[start+k+1 : end]
	line := v.text[max(0, flag-300):flag]
	if k := bytes.LastIndexByte(line, '\n'); k >= 0 && !bytes.HasSuffix(bytes.TrimRight(line[:k], " "), []byte("\\")) {
		line = line[k:]
	}
	if !bytes.Contains(line, []byte("curl")) && !bytes.Contains(line, []byte("http")) && !bytes.Contains(line, []byte("wget")) || digit.all(password) {
		return
	}
	if len(password) >= 3 && !isPlaceholder(password) && !isWeak(password) {
		v.report(curlRule, start+k+1, end)
	} else if user := v.text[start : start+k]; len(password) == 0 && isToken(namesToken, user, false) { // a key as the user
		v.report(curlRule, start, start+k)
	}
}

// pgpass finds the last field of host:port:database:user:password.
func pgpass(v *view, i, after int) {
	const fieldChars = printable &^ colon
	host := (base64url | dot | symbol).runBack(v.text, i, 128)
	if c := at(v.text, host-1); host == i || !space.has(c) && !isQuote(c) {
		return
	}
	if v.text[i+1] == '*' { // *:*:*:user:password
		after--
	} else if after = fieldChars.run(v.text, after, 128); at(v.text, after) != ':' {
		return
	} else {
		after++
	}
	if v.text[i+1] == '*' {
		after++
	}
	user := fieldChars.run(v.text, after, 128)
	if user == after || at(v.text, user) != ':' {
		return
	}
	end := user + 1
	for end < len(v.text) && !space.has(v.text[end]) && !isQuote(v.text[end]) && v.text[end] != '\\' {
		end++
	}
	if password := v.text[user+1 : end]; len(password) >= 4 && !isPlaceholder(password) && !isWeak(password) && bytes.IndexByte(password, ':') < 0 {
		v.report(pgpassRule, user+1, end)
	}
}

// quotedPassword finds the literal in SQL's IDENTIFIED BY '…'.
func quotedPassword(v *view, _, i int) {
	if c := at(v.text, i); c == '\'' || c == '"' {
		start, end := argument(v.text, i)
		reportPassword(v, flagRule, start, end)
	}
}

// bundlerPassword finds the password in BUNDLE_GEMS__EXAMPLE__COM: "user:password".
func bundlerPassword(v *view, _, i int) {
	const hostChars = upper | digit | underscore
	end := hostChars.run(v.text, i, 128)
	if c := at(v.text, end); end == i || c != ':' && c != '=' {
		return
	}
	start, end := argument(v.text, end+1)
	if k := bytes.IndexByte(v.text[start:end], ':'); k > 0 && !bytes.Contains(v.text[start:end], []byte("//")) {
		reportPassword(v, bundlerRule, start+k+1, end)
	}
}

// sessionCookies are parts of the names of the cookies that say who someone is.
var sessionCookies = []string{"sess", "sid", "auth", "token", "jwt", "remember"}

// sessionCookie finds the cookies in a header that stand for a login.
func sessionCookie(v *view, _, i int) {
	limit := restOfLine(v.text, i)
	for i < limit {
		i = skipBlanks(v.text, i)
		start := (base64url | dot).run(v.text, i, longestName)
		if at(v.text, start) != '=' {
			return
		}
		name := v.text[i:start]
		start++
		end := (base64std | base64url | dot | equals | colon | tilde).run(v.text, start, longestToken)
		for end < limit && v.text[end] == '%' {
			end = (base64std | base64url | dot | equals | colon | tilde).run(v.text, end+1, longestToken)
		}
		for _, part := range sessionCookies {
			if indexFold(name, part) >= 0 && indexFold(name, "csrf") < 0 && indexFold(name, "xsrf") < 0 {
				if value := v.text[start:end]; len(value) >= 20 && isToken(namesToken, value, false) {
					v.report(cookieRule, start, end)
				}
				break
			}
		}
		if i = end; at(v.text, i) != ';' {
			return
		}
		i++
	}
}

// quotedArgument finds the password that is the quoted argument n, from 0, of a
// call that has its user or its server before it.
func quotedArgument(v *view, i, n int) {
	for range n {
		first, end := argument(v.text, i)
		if !isQuote(at(v.text, first-1)) {
			return
		}
		end++
		for _, owned := range []string{".to_string()", ".into()", ".to_owned()"} {
			if hasAt(v.text, end, owned) {
				end += len(owned)
			}
		}
		end = skipBlanks(v.text, end)
		if at(v.text, end) != ',' {
			return
		}
		i = skipBlanks(v.text, end+1)
	}
	if isQuote(at(v.text, i)) {
		start, end := argument(v.text, i)
		reportPassword(v, clientRule, start, end)
	}
}

// onlyArgument finds the token in a call that logs in with one.
func onlyArgument(v *view, _, i int) {
	if !isQuote(at(v.text, i)) {
		return
	}
	start, end := argument(v.text, i)
	if value := v.text[start:end]; isToken(namesToken, value, false) || len(value) < 40 && isPassword(value, false) && content(value)&digit != 0 {
		v.report(clientRule, start, end)
	}
}
