package secrets

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Limits of what is looked into.
const (
	deepestEscapes = 6 // JSON in JSON in …
	deepestBase64  = 2
	deepestURL     = 2
)

// Scanner finds secrets in text. It never changes once made, and any number of
// goroutines may use it.
type Scanner struct {
	filter  *filter
	known   *finder // in the place of the filter, for a conversation's own secrets
	ids     []string
	classes map[string]Class // by rule
	issuers []issuer
	names   bool // whether names are judged
	edition int
	since   func(rule string) int // the edition that brought a rule
	custom  []customRule
	allowed []allowance
	key     Key
	version uint64 // tells this scanner's findings from another's in a cache
	pool    *sync.Pool
}

// New returns a scanner with the built-in rules and the settings' own. An error
// says which setting is wrong.
func New(config Config) (*Scanner, error) {
	s := &Scanner{filter: newFilter(), classes: map[string]Class{}, issuers: issuers(), names: true, key: config.Key, version: rand.Uint64(), edition: config.Edition, since: since}
	if config.Edition < 0 || config.Edition > Edition {
		return nil, fmt.Errorf("edition %d of the rules is not known here, only 1 to %d: a newer program wrote it", config.Edition, Edition)
	}
	s.ids = addForms(s.filter)
	for _, id := range s.ids {
		s.classes[id] = Distinctive
	}
	addURLs(s.filter)
	addBlocks(s.filter)
	addPlaces(s.filter)
	addCommands(s.filter)
	addAssignments(s.filter, s.issuers)
	for _, r := range otherRules() {
		s.ids = append(s.ids, r.id)
		s.classes[r.id] = r.class
	}
	if err := s.customise(config); err != nil {
		return nil, err
	}
	slices.Sort(s.ids)
	s.ids = slices.Compact(s.ids)
	s.pool = &sync.Pool{New: func() any { return &work{} }}
	return s, nil
}

// work returns the memory that one scan needs, to be put back into the pool.
func (s *Scanner) work() *work {
	w := s.pool.Get().(*work)
	w.scanner = s
	return w
}

// Rules returns the ids of all rules, sorted.
func (s *Scanner) Rules() []string { return slices.Clone(s.ids) }

// Class returns the class of a rule.
func (s *Scanner) Class(rule string) Class { return s.classes[rule] }

// otherRules are the rules that are not in the catalogue of forms.
func otherRules() []*rule {
	all := []*rule{
		urlPasswordRule, urlTokenRule, dsnRule, sasRule, privateKeyRule, jwtRule, jwkRule, azureADRule, passwordRule, genericRule,
		netrcRule, connectionRule, dockerAuthRule, basicRule, bearerRule, curlRule, pgpassRule, flagRule, clientRule, secretKeyRule, bundlerRule, cookieRule,
	}
	for _, is := range issuers() {
		all = append(all, is.rule)
	}
	return all
}

// Scan appends to dst the secrets in text, in the order in which they stand,
// none overlapping another, and returns the extended slice. Secrets are found
// as they stand and under JSON's escapes, percent-encoding and base64.
func (s *Scanner) Scan(text []byte, dst []Finding) []Finding {
	w := s.work()
	for _, m := range w.scan(text) {
		dst = append(dst, Finding{Rule: m.rule.id, Class: m.rule.class, Start: m.start, End: m.end, Encoding: m.encoding})
	}
	s.pool.Put(w)
	return dst
}

// work is the memory that one scan needs, for use again.
type work struct {
	scanner *Scanner
	views   []*view  // by depth of recursion
	buffers [][]byte // likewise: decoded text
	content []byte   // a JSON string's content
	depth   layers
}

// layers counts the encodings taken off so far.
type layers struct{ total, escapes, base64, url int }

func (w *work) scan(text []byte) []match {
	w.depth = layers{}
	return w.read(text, false)
}

// read scans one reading of a text and the readings inside it. What it returns
// is valid until the next read at the same depth.
func (w *work) read(text []byte, query bool) []match {
	depth := w.depth.total
	for len(w.views) <= depth {
		w.views = append(w.views, &view{})
		w.buffers = append(w.buffers, nil)
	}
	v := w.views[depth]
	v.start(w.scanner, text, query)
	if w.scanner.known != nil {
		w.scanner.known.scan(v)
	} else {
		w.scanner.filter.scan(v)
		w.scanner.runCustom(v)
	}
	v.index()
	w.depth.total++
	if w.depth.escapes < deepestEscapes {
		w.escapes(v, depth)
	} else {
		w.encoded(v, depth, 0, len(text))
	}
	w.depth.total--
	v.found = settle(v.found)
	return v.found
}

// escapes reads each line that has backslash escapes again without them: a
// JSON string has no line breaks of its own, so a line holds all of it. The
// lines between are searched for the other encodings.
func (w *work) escapes(v *view, depth int) {
	plain := 0 // where the lines without escapes begin
	for i := 0; ; {
		k := bytes.IndexByte(v.text[i:], '\\')
		if k < 0 {
			break
		}
		k += i
		start := bytes.LastIndexByte(v.text[i:k], '\n') + i + 1
		end := len(v.text)
		if n := bytes.IndexByte(v.text[k:], '\n'); n >= 0 {
			end = k + n
		}
		i = end
		line := v.text[start:end]
		decoded, changed := unescape(w.buffers[depth][:0], line)
		w.buffers[depth] = decoded
		if !changed {
			continue
		}
		w.depth.escapes++
		spans := cursor{text: line, size: escapedSize}
		for _, m := range w.read(decoded, false) {
			from, to := spans.span(m.start, m.end)
			v.found = append(v.found, match{m.rule, start + from, start + to, max(m.encoding, JSON)})
		}
		w.depth.escapes--
		w.encoded(v, depth, plain, start)
		plain = end
	}
	w.encoded(v, depth, plain, len(v.text))
}

// encoded reads what is percent-encoded or base64 in text[start:end].
func (w *work) encoded(v *view, depth, start, end int) {
	v.urls.start = len(v.found)
	if w.depth.url < deepestURL {
		w.urls(v, depth, start, end)
	}
	v.urls.end = len(v.found)
	if w.depth.base64 < deepestBase64 {
		w.base64s(v, depth, start, end)
	}
}

// urls reads each percent-encoded run again without its percents.
func (w *work) urls(v *view, depth, start, end int) {
	text := v.text[:end]
	for i := start; ; {
		k := bytes.IndexByte(text[i:], '%')
		if k < 0 {
			return
		}
		k += i
		from := k
		for from > i && urlChar(text[from-1]) {
			from--
		}
		to := k
		for to < end && urlChar(text[to]) {
			to++
		}
		i = max(to, k+1)
		run := text[from:to]
		decoded, changed := unpercent(w.buffers[depth][:0], run)
		w.buffers[depth] = decoded
		if !changed {
			continue
		}
		w.depth.url++
		spans := cursor{text: run, size: percentSize}
		for _, m := range w.read(decoded, true) {
			a, b := spans.span(m.start, m.end)
			v.found = append(v.found, match{m.rule, from + a, from + b, max(m.encoding, URL)})
		}
		w.depth.url--
	}
}

// base64s reads what runs of base64 encode, where that is text. The match is the
// whole run, as a part of it cannot be exchanged without moving the rest.
func (w *work) base64s(v *view, depth, start, end int) {
	text := v.text[:end]
	for i := start + base64Stride/2; i < end; {
		if !base64Char(text[i]) {
			i += base64Stride
			continue
		}
		from, to := base64Run(text, start, i)
		i = max(to, i) + base64Stride
		if to-from < shortestBase64 || !looksLikeText(text[from:to]) || v.covers(from, to) {
			continue
		}
		decoded := decodeText(w.buffers[depth][:0], text[from:to])
		w.buffers[depth] = decoded
		if len(decoded) == 0 {
			continue
		}
		w.depth.base64++
		if inner := w.read(decoded, false); len(inner) > 0 {
			best := inner[0].rule
			for _, m := range inner {
				if m.rule.class > best.class || m.rule.class == best.class && m.rule.rank > best.rank {
					best = m.rule
				}
			}
			v.found = append(v.found, match{best, from, to, Base64})
		}
		w.depth.base64--
	}
}
