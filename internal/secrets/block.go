package secrets

import "bytes"

var (
	privateKeyRule = &rule{id: "private-key", class: Distinctive, rank: rankForm}
	jwtRule        = &rule{id: "jwt", class: Distinctive, rank: rankForm}
	jwkRule        = &rule{id: "jwk-private-key", class: Distinctive, rank: rankForm}
	azureADRule    = &rule{id: "azure-client-secret", class: Distinctive, rank: rankForm}
)

const longestKeyBlock = 32 << 10

// addBlocks registers what finds keys that are blocks or documents.
func addBlocks(f *filter) {
	f.add("begin ", 0, privateKey)
	f.add("private-lines:", 0, puttyKey)
	f.add("eyj", base64url, jsonWebToken)
	f.add(`"kty"`, 0, jsonWebKey)
	for d := '0'; d <= '9'; d++ {
		f.add(string(d)+"q~", word|dash|tilde|dot, azureClientSecret)
	}
}

// privateKey finds a PEM or OpenPGP block whose label says PRIVATE KEY, from
// its first dash to its last: also where line breaks are escaped, and where the
// end is cut off.
func privateKey(v *view, i, label int) {
	text := v.text
	if i < 4 || string(text[i-4:i]) != "----" {
		return
	}
	start := i - 4
	for start > 0 && text[start-1] == '-' {
		start--
	}
	labelEnd := bytes.Index(text[label:min(len(text), label+64)], []byte("----"))
	if labelEnd < 0 || bytes.IndexByte(text[label:label+labelEnd], '\n') >= 0 ||
		!bytes.Contains(text[label:label+labelEnd], []byte("PRIVATE KEY")) && !bytes.Contains(text[label:label+labelEnd], []byte("Static key")) {
		return
	}
	body := dash.run(text, label+labelEnd, 5)
	window := text[body:min(len(text), body+longestKeyBlock)]
	if k := bytes.Index(window, []byte("-----BEGIN")); k >= 0 {
		window = window[:k]
	}
	end := bytes.Index(window, []byte("-----END"))
	if end < 0 {
		end = bytes.Index(window, []byte("---- END"))
	}
	if end < 0 {
		end = cutBlock(window)
	}
	if n := keyBytes(window[:end]); n < 40 || n < 100 && bytes.Contains(window[:end], []byte("...")) || repeats(window[:end], 16) {
		return
	}
	if rest := window[end:]; len(rest) > 8 && rest[0] == '-' {
		close := bytes.Index(rest[5:], []byte("----"))
		if close >= 0 && close < 64 {
			end = dash.run(window, end+5+close, 5)
		}
	}
	v.report(privateKeyRule, start, body+end)
}

// cutBlock returns where the base64 lines of an unfinished block end.
func cutBlock(window []byte) int {
	end := 0
	for i := 0; i < len(window); {
		stop := (base64std | equals | space | colon | dash).run(window, i, len(window)-i)
		if stop < len(window) && window[stop] == '\\' && (at(window, stop+1) == 'n' || at(window, stop+1) == 'r') {
			i, end = stop+2, stop
			continue
		}
		end = stop
		break
	}
	for end > 0 && space.has(window[end-1]) {
		end--
	}
	return end
}

// keyBytes counts the base64 in lines of it, so that prose between two markers
// is no key.
func keyBytes(block []byte) int {
	longest := 0
	for i := 0; i < len(block); {
		end := (base64std | equals).run(block, i, len(block)-i)
		longest = max(longest, end-i)
		i = max(end, i+1)
	}
	return longest
}

// puttyKey finds the private lines of a PuTTY key file.
func puttyKey(v *view, _, i int) {
	window := v.text[i:min(len(v.text), i+longestKeyBlock)]
	end, line := bytes.Index(window, []byte("Private-")), bytes.IndexByte(window, '\n')
	if end < 0 || line < 0 || line > end || keyBytes(v.text[i:i+end]) < 40 {
		return
	}
	v.report(privateKeyRule, i+line+1, i+end-1)
}

// jsonWebToken finds a signed or encrypted JSON web token.
func jsonWebToken(v *view, i, _ int) {
	text := v.text
	if string(text[i:i+3]) != "eyJ" || !startsWord(text, i) && at(text, i-1) != '_' {
		return
	}
	end, parts := i, 0
	for parts < 5 {
		stop := base64url.run(text, end, 16<<10)
		if stop-end < 8 && !(parts == 1 && stop == end) { // a JWE may have no encrypted key
			break
		}
		end = stop
		parts++
		if at(text, end) != '.' {
			break
		}
		end++
	}
	if at(text, end-1) == '.' {
		end--
	}
	if parts < 3 || !hasAlgorithm(text[i:min(end, i+400)]) || bytes.HasSuffix(text[i:end], []byte("w5c")) && bytes.Contains(text[i:end], []byte(".SflKxwRJSMeKKF2QT4fw")) {
		return
	}
	if filler(text[max(i, end-20):end]) {
		return
	}
	v.report(jwtRule, i, end)
}

// hasAlgorithm reports whether a token's header names its algorithm.
func hasAlgorithm(token []byte) bool {
	header, _, _ := bytes.Cut(token, []byte("."))
	var buf [320]byte
	n := decodeBase64(buf[:], header[:min(len(header), 400)])
	return bytes.Contains(buf[:n], []byte(`"alg"`)) || bytes.Contains(buf[:n], []byte(`"enc"`)) || len(header) >= 400
}

// jsonWebKey finds the private part of a JSON web key.
func jsonWebKey(v *view, i, _ int) {
	from := max(0, i-3000)
	if k := bytes.LastIndexByte(v.text[from:i], '{'); k >= 0 {
		from += k
	}
	to := min(len(v.text), i+3000)
	if k := bytes.IndexByte(v.text[i:to], '}'); k >= 0 {
		to = i + k
	}
	for _, name := range []string{`"d"`, `"k"`} {
		k := bytes.Index(v.text[from:to], []byte(name))
		if k < 0 {
			continue
		}
		start := (space | colon).run(v.text, from+k+3, 8)
		if at(v.text, start) != '"' {
			continue
		}
		end := base64url.run(v.text, start+1, longestToken)
		if at(v.text, end) == '"' && end-start > 21 && random(v.text[start+1:end]) {
			v.report(jwkRule, start+1, end)
		}
	}
}

// azureClientSecret finds a client secret of Microsoft Entra: three characters,
// a digit, "Q~" and 31 to 34 more.
func azureClientSecret(v *view, i, after int) {
	const chars = word | dash | dot | tilde
	start := chars.runBack(v.text, i, 4)
	end := chars.run(v.text, after, 35)
	if v.text[i+1] == 'Q' && i-start == 3 && end-after >= 31 && end-after <= 34 && random(v.text[after:end]) {
		v.report(azureADRule, start, end)
	}
}
