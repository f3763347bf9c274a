package secrets

import "bytes"

// depth follows text as it is written and says how many layers of JSON strings
// the next byte is in. A value that has quotes, backslashes or line breaks is
// written with that many layers of escapes.
//
// Where the text as a whole is a JSON document, each of its strings is a layer.
// A further layer is what looks like a JSON member: a quoted key, a colon and a
// quote, all with the same escapes. Reading and writing use the same rule, so
// that they agree even where the rule is wrong about what the text means.
type depth struct {
	started, document bool
	open              []int  // the level of each open string: 0 for ", 1 for \", 2 for \\\"
	slashes           int    // the backslashes just before the next byte
	tail              []byte // what came last
}

const depthTail = 96

// write follows text.
func (d *depth) write(text []byte) {
	for _, c := range text {
		if !d.started && !space.has(c) {
			d.started = true
			d.document = c == '{' || c == '['
		}
		if c == '"' {
			d.quote()
		}
		if c == '\\' {
			d.slashes++
		} else {
			d.slashes = 0
		}
		if len(d.tail) == 2*depthTail {
			d.tail = append(d.tail[:0], d.tail[depthTail:]...)
		}
		d.tail = append(d.tail, c)
	}
}

// level is how many layers of escapes the quote just ahead has, or -1 if it has
// none that JSON gives a quote.
func (d *depth) level() int {
	for level, slashes := 0, 0; slashes <= d.slashes; level, slashes = level+1, 2*slashes+1 {
		if slashes == d.slashes {
			return level
		}
	}
	return -1
}

func (d *depth) quote() {
	level := d.level()
	if level < 0 {
		return
	}
	for n := len(d.open); n > 0 && d.open[n-1] >= level; n-- {
		same := d.open[n-1] == level
		d.open = d.open[:n-1]
		if same {
			return
		}
	}
	if level == 0 && d.document || d.opensMember(level) {
		d.open = append(d.open, level)
	}
}

// opensMember reports whether what came last is a quoted key and a colon.
func (d *depth) opensMember(level int) bool {
	before := bytes.TrimRight(d.tail[:len(d.tail)-d.slashes], " \t")
	before, ok := bytes.CutSuffix(before, []byte(":"))
	if !ok {
		return false
	}
	before, ok = bytes.CutSuffix(bytes.TrimRight(before, " \t"), []byte(`"`))
	slashes := 1<<level - 1
	return ok && len(before)-len(bytes.TrimRight(before, `\`)) == slashes
}

// layers is how many layers of escapes the next byte has.
func (d *depth) layers() int {
	if len(d.open) == 0 {
		return 0
	}
	return d.open[len(d.open)-1] + 1
}

// escape appends value with n layers of JSON's escapes.
func escape(dst, value []byte, n int) []byte {
	if n == 0 {
		return append(dst, value...)
	}
	if n > 1 {
		value = escape(nil, value, n-1)
	}
	const digits = "0123456789abcdef"
	for _, c := range value {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return dst
}
