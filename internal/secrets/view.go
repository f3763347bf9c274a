package secrets

import (
	"cmp"
	"slices"
)

// view is one reading of a text: as it stands, or with one layer of encoding
// taken off. Matchers report into it.
type view struct {
	text    []byte
	found   []match
	scanner *Scanner
	// query says that the text was percent-encoded, so that & ends a value.
	query bool
	// named is the end of the last name that an assignment was looked for at, so
	// that the several keywords in "aws_secret_access_key" cost one look.
	named int
	// woken are the custom rules of which a keyword occurs.
	woken []bool
	// reach is how far the first matches reach, those that were found before the
	// encodings were looked into, in the order in which they stand.
	reach []int
	// urls is where the matches stand in found that the percent-encoding of one part
	// of the text gave, also in their order.
	urls span
}

// start makes the view a reading of text.
func (v *view) start(s *Scanner, text []byte, query bool) {
	v.scanner, v.text, v.query, v.named = s, text, query, 0
	v.found, v.reach, v.urls = v.found[:0], v.reach[:0], span{}
	if len(v.woken) != len(s.custom) {
		v.woken = make([]bool, len(s.custom))
	}
}

// match is a secret at text[start:end] of a view.
type match struct {
	rule       *rule
	start, end int
	encoding   Encoding
}

// report adds a secret, unless it is a placeholder or the allow-list has it.
func (v *view) report(r *rule, start, end int) {
	if value := v.text[start:end]; isPlaceholderToken(value) || v.scanner.isNewer(r) || v.scanner.allows(r, value) {
		return
	}
	v.found = append(v.found, match{rule: r, start: start, end: end})
}

// index puts the matches in order, so that covers need not look at each.
func (v *view) index() {
	slices.SortFunc(v.found, func(a, b match) int { return cmp.Compare(a.start, b.start) })
	far := 0
	for i := range v.found {
		far = max(far, v.found[i].end)
		v.reach = append(v.reach, far)
	}
}

// covers reports whether a match of this reading overlaps text[start:end].
func (v *view) covers(start, end int) bool {
	byStart := func(m match, end int) int { return cmp.Compare(m.start, end) }
	if k, _ := slices.BinarySearchFunc(v.found[:len(v.reach)], end, byStart); k > 0 && v.reach[k-1] > start {
		return true
	}
	urls := v.found[v.urls.start:v.urls.end]
	k, _ := slices.BinarySearchFunc(urls, end, byStart)
	return k > 0 && urls[k-1].end > start
}

// settle sorts the matches and, of those that overlap, keeps the one of higher
// rank, or else the wider.
func settle(found []match) []match {
	slices.SortFunc(found, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(b.rule.rank, a.rule.rank), cmp.Compare(a.encoding, b.encoding))
	})
	kept := found[:0]
	for _, m := range found {
		if n := len(kept); n > 0 && m.start < kept[n-1].end {
			if last := kept[n-1]; m.rule.rank > last.rule.rank || m.rule.rank == last.rule.rank && m.end-m.start > last.end-last.start {
				kept[n-1] = m
			}
			continue
		}
		kept = append(kept, m)
	}
	return kept
}
