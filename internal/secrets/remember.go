package secrets

import "bytes"

// literal returns the bytes of a hit as its string has them, and how many layers
// of JSON they are in inside that string.
func literal(body []byte, h hit) (text []byte, layers int) {
	text = h.decode(body[h.start:h.end])
	if bytes.IndexByte(text, '\\') < 0 {
		return text, 0
	}
	var d depth
	d.write(h.decode(body[h.open:h.start]))
	return text, d.layers()
}

// secretOf returns the value that a hit stands for: without the escapes of the
// layers that it is in, if writing them again gives the same bytes, or else
// verbatim.
func secretOf(body []byte, h hit) (value []byte, verbatim bool) {
	text, layers := literal(body, h)
	value = text
	for range layers {
		value, _ = unescape(nil, value)
	}
	if layers > 0 && !bytes.Equal(escape(nil, value, layers), text) {
		return text, true
	}
	return value, false
}

// remember issues the placeholder of a hit, and those of the secrets inside its
// encoding, so that they are known when they come back without it.
func (v *Vault) remember(body []byte, h hit) *entry {
	value, verbatim := secretOf(body, h)
	e := v.issue(h.rule, value, verbatim)
	if verbatim {
		plain, _ := unescape(nil, value)
		v.issue(h.rule, plain, false)
	}
	if h.encoding >= URL {
		v.rememberInner(h.rule, value, h.encoding, 0)
	}
	return e
}

func (v *Vault) rememberInner(r *rule, value []byte, encoding Encoding, level int) {
	if level > deepestBase64+deepestURL {
		return
	}
	if plain, changed := unpercent(nil, value); changed {
		v.issue(r, plain, false)
		if form := bytes.ReplaceAll(value, []byte("+"), []byte("%2B")); len(form) > len(value) { // a plus that is no blank
			plain, _ := unpercent(nil, form)
			v.issue(r, plain, false)
		}
		v.rememberInner(r, plain, encoding, level+1)
	}
	if encoding < Base64 {
		return
	}
	plain := decodeText(nil, value)
	for _, f := range v.scanner.Scan(plain, nil) {
		if v.policy(f.Rule, f.Class) < Redact && !(level == 0 && f.Rule == r.id) {
			continue
		}
		inner := plain[f.Start:f.End]
		if f.Encoding == JSON {
			inner, _ = unescape(nil, inner)
		}
		v.issue(&rule{f.Rule, f.Class, rankForm}, inner, false)
		if f.Encoding >= URL {
			v.rememberInner(r, inner, f.Encoding, level+1)
		}
	}
}
