package secrets

import (
	"fmt"
	"strconv"
	"strings"
)

// pattern is the form of a token: literals and runs of a charset, matched from
// left to right without backtracking, a run taking all it can. Written as the
// documentation of a token would: "SG.{b22}.{b43}" is the literal "SG.", 22
// bytes of URL-safe base64, a dot and 43 more; {a20,} is 20 or more
// alphanumerics. The literal up to the first brace is the keyword that wakes it;
// with a "^" the keyword begins there, and the one run before it is matched
// backwards. With a "|" the secret begins there, and what precedes it is only
// where it stands.
type pattern struct {
	before run
	parts  []part
	secret int // index of the part where the secret begins
}

type part struct {
	literal string
	run     run
}

type run struct {
	set      charset
	min, max int
}

// longestToken bounds an open run.
const longestToken = 4096

var runSets = map[byte]charset{
	'd': digit, 'h': digit | lowerHex, 'H': hexDigit, 'l': lower | digit, 'u': upper | digit, 'U': upper,
	'a': alnum, 'w': word, 'b': base64url, 's': base64std, 'v': base64url | dot, 'e': base64std | equals | dash | underscore,
	'p': word | dash | dot | tilde,
}

// compile reads a pattern. Patterns are the catalogue's own, so an error in one
// is a programming error.
func compile(spec string) pattern {
	var p pattern
	head, tail, anchored := strings.Cut(spec, "^")
	if anchored {
		p.before = compile(head).parts[0].run
		spec = tail
	}
	for spec != "" {
		open := strings.IndexByte(spec, '{')
		if open != 0 {
			if open < 0 {
				open = len(spec)
			}
			literal, bar := strings.CutSuffix(spec[:open], "|")
			if literal != "" {
				p.parts = append(p.parts, part{literal: literal})
			}
			if bar {
				p.secret = len(p.parts)
			}
			spec = spec[open:]
			continue
		}
		end := strings.IndexByte(spec, '}')
		p.parts = append(p.parts, part{run: compileRun(spec[1:end])})
		spec = spec[end+1:]
	}
	return p
}

func compileRun(spec string) run {
	set, ok := runSets[spec[0]]
	low, high, ranged := strings.Cut(spec[1:], ",")
	least, err := strconv.Atoi(low)
	most := least
	if ranged {
		most = longestToken
		if high != "" && err == nil {
			most, err = strconv.Atoi(high)
		}
	}
	if !ok || err != nil {
		panic(fmt.Sprintf("secrets: the catalogue has the bad run {%s}", spec))
	}
	return run{set, least, most}
}

// keyword is what wakes the pattern, in lower case, with the bytes that may
// follow it.
func (p *pattern) keyword() (string, charset) {
	if len(p.parts) < 2 {
		return strings.ToLower(p.parts[0].literal), printable
	}
	return strings.ToLower(p.parts[0].literal), p.parts[1].run.set
}

// match returns the span of the token whose keyword stands at i, and where its
// random part begins.
func (p *pattern) match(text []byte, i int) (start, body, end int, ok bool) {
	start, end = i, i
	if p.before.max > 0 {
		start = p.before.set.runBack(text, i, p.before.max+1)
		if i-start < p.before.min || i-start > p.before.max {
			return 0, 0, 0, false
		}
	}
	body = -1
	if start < i {
		body = start
	}
	var last run
	for k, part := range p.parts {
		if k > 0 && k == p.secret {
			start = end
		}
		if part.literal != "" {
			if len(text)-end < len(part.literal) || string(text[end:end+len(part.literal)]) != part.literal {
				return 0, 0, 0, false
			}
			end += len(part.literal)
			last = run{}
			continue
		}
		if body < 0 {
			body = end
		}
		stop := part.run.set.run(text, end, part.run.max)
		if stop-end < part.run.min {
			return 0, 0, 0, false
		}
		end, last = stop, part.run
	}
	if last.set.has(at(text, end)) { // longer than the form allows
		return 0, 0, 0, false
	}
	if body < 0 {
		body = start
	}
	return start, body, end, true
}
