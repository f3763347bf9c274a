package secrets

import "hash/crc32"

// addForms registers the catalogue's tokens.
func addForms(f *filter) []string {
	var ids []string
	for _, form := range forms() {
		r := &rule{id: form.id, class: Distinctive, rank: rankForm}
		ids = append(ids, form.id)
		for _, spec := range form.patterns {
			p := compile(spec)
			keyword, next := p.keyword()
			f.add(keyword, next, func(v *view, i, _ int) { p.report(v, r, i) })
		}
	}
	return ids
}

// report reports the token whose keyword stands at i, unless it is part of a
// longer word or made up for documentation.
func (p *pattern) report(v *view, r *rule, i int) {
	if p.secret == 0 && p.before.max == 0 && !startsWord(v.text, i) {
		return
	}
	start, body, end, ok := p.match(v.text, i)
	if !ok || p.secret == 0 && !startsWord(v.text, start) {
		return
	}
	if len(p.parts[0].literal) < windowSize && p.secret == 0 && at(v.text, start-1) == '-' { // in a base64 digest
		return
	}
	for end > body && v.text[end-1] == '.' { // a sentence's full stop
		end--
	}
	token := v.text[start:end]
	if !random(v.text[max(body, start):end]) && !hasChecksum(token) || isDocumented(token) {
		return
	}
	v.report(r, start, end)
	if r.id == "aws-access-key-id" {
		secretKeyNear(v, end)
	}
}

// startsWord reports whether a token may begin at i: the byte before it belongs
// to no word, or is the last of a percent-escape or of a backslash escape.
func startsWord(text []byte, i int) bool {
	if i == 0 || !word.has(text[i-1]) {
		return true
	}
	if i >= 3 && text[i-3] == '%' && hexDigit.has(text[i-2]) && hexDigit.has(text[i-1]) {
		return true
	}
	if i >= 2 && text[i-2] == '\\' && (text[i-1] == 'n' || text[i-1] == 't' || text[i-1] == 'r') {
		return true
	}
	return text[i-1] == '_' && i >= 2 && text[i-2] == '_' // __TOKEN__
}

var secretKeyRule = &rule{id: "aws-secret-access-key", class: Distinctive, rank: rankForm}

// secretKeyNear reports the secret that follows its access key id without a
// name, as in a CSV of credentials.
func secretKeyNear(v *view, i int) {
	limit := min(len(v.text), i+120)
	for i < limit {
		if !base64std.has(v.text[i]) {
			i++
			continue
		}
		end := base64std.run(v.text, i, 64)
		if end-i == 40 && isSecretKey(v.text[i:end]) {
			v.report(secretKeyRule, i, end)
			return
		}
		i = end
	}
}

// isSecretKey reports whether text has the form of an AWS secret access key.
func isSecretKey(text []byte) bool {
	c := content(text)
	return len(text) == 40 && base64std.all(text) && c&upper != 0 && c&lower != 0 && c&digit != 0 &&
		entropy(text) >= 4 && !wordy(text) && !filler(text)
}

// documented are the beginnings of the keys that emulators are known by. (The
// ones in AWS's documentation say EXAMPLE.)
var documented = []string{"Eby8vdM02xNOcqFl", "C2y6yDjf5/R+ob0N"}

func isDocumented(token []byte) bool {
	for _, head := range documented {
		if len(token) > len(head) && string(token[:len(head)]) == head {
			return true
		}
	}
	return false
}

// hasChecksum reports whether a token ends in the CRC-32 of its entropy in
// base62, as GitHub's and npm's do. Such a token was issued, however little
// random it looks.
func hasChecksum(token []byte) bool {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	if len(token) != 40 {
		return false
	}
	payload := token[4:34]
	sum := crc32.ChecksumIEEE(payload)
	for i := len(token) - 1; i >= 34; i-- {
		if token[i] != alphabet[sum%62] {
			return false
		}
		sum /= 62
	}
	return true
}
