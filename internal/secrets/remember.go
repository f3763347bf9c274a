package secrets

import "bytes"

// values reads what hits stand for, from left to right: of a string that many of
// them are in, each byte is read once.
type values struct {
	body  []byte
	open  int // the string that was read last
	at    int // as far as this
	depth depth
}

// layers is how many layers of JSON the bytes at a hit are in inside its string.
func (r *values) layers(h hit) int {
	if h.open != r.open || h.start < r.at || r.at == 0 {
		r.open, r.at, r.depth = h.open, h.open, depth{}
	}
	r.depth.write(h.decode(r.body[r.at:h.start]))
	r.at = h.start
	return r.depth.layers()
}

// of returns the value that a hit stands for: without the escapes of the layers
// that it is in, if writing them again gives the same bytes, or else verbatim.
func (r *values) of(h hit) (value []byte, verbatim bool) {
	text := h.decode(r.body[h.start:h.end])
	if bytes.IndexByte(text, '\\') < 0 {
		return text, false
	}
	layers := r.layers(h)
	value = text
	for range layers {
		value, _ = unescape(nil, value)
	}
	if layers > 0 && !bytes.Equal(escape(nil, value, layers), text) {
		return text, true
	}
	return value, false
}

// remember issues the placeholder of a hit's value, and those of the secrets
// inside its encoding, so that they are known when they come back without it.
func (v *Vault) remember(h hit, value []byte, verbatim bool) *entry {
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
