package secrets

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// finder finds the values that a conversation knows wherever they stand. It looks
// at one place in every few, as the middle of a value, which is long enough, has
// such a place in it wherever it begins. Made for few values it is small: about
// 60 bytes for each.
type finder struct {
	entries []*entry
	rules   []*rule // of the entries
	present []uint64
	shift   uint
	windows []knownWindow // in their order
}

// knownWindow is four bytes of a value.
type knownWindow struct {
	window uint32
	value  uint32 // which one
	offset uint32 // where they stand in it
}

const (
	minMemorable = 8
	finderStride = minMemorable - windowSize + 1
)

func newFinder(entries []*entry) *finder {
	f := &finder{}
	for _, e := range entries {
		if !memorable(e.value) {
			continue
		}
		value := uint32(len(f.entries))
		f.entries = append(f.entries, e)
		f.rules = append(f.rules, &rule{e.rule.id, e.rule.class, rankForm})
		// Those of one kind begin and end alike, a key's first line and its last.
		middle := (len(e.value) - minMemorable) / 2
		for i := range finderStride {
			window := binary.LittleEndian.Uint32(e.value[middle+i:])
			f.windows = append(f.windows, knownWindow{window, value, uint32(middle + i)})
		}
	}
	slices.SortFunc(f.windows, func(a, b knownWindow) int { return cmp.Compare(a.window, b.window) })
	f.windows, f.entries, f.rules = slices.Clip(f.windows), slices.Clip(f.entries), slices.Clip(f.rules)
	size := max(10, bits.Len(uint(32*len(f.windows))))
	f.present, f.shift = make([]uint64, 1<<size/64), uint(32-size)
	for _, w := range f.windows {
		h := w.window * 0x9E3779B1 >> f.shift
		f.present[h/64] |= 1 << (h % 64)
	}
	return f
}

// scan reports every value in the view's text.
func (f *finder) scan(v *view) {
	text := v.text
	for i := 0; i+windowSize <= len(text); i += finderStride {
		window := binary.LittleEndian.Uint32(text[i:])
		if h := window * 0x9E3779B1 >> f.shift; f.present[h/64]>>(h%64)&1 != 0 {
			f.look(v, i, window)
		}
	}
}

// look reports the values that have that window at i.
func (f *finder) look(v *view, i int, window uint32) {
	k, _ := slices.BinarySearchFunc(f.windows, window, func(w knownWindow, window uint32) int { return cmp.Compare(w.window, window) })
	for ; k < len(f.windows) && f.windows[k].window == window; k++ {
		value := f.entries[f.windows[k].value].value
		start := i - int(f.windows[k].offset)
		end := start + len(value)
		if start >= 0 && end <= len(v.text) && string(v.text[start:end]) == string(value) &&
			(len(value) >= 16 || standsAlone(v.text, start, end)) {
			v.report(f.rules[f.windows[k].value], start, end)
		}
	}
}

// bytes is about how much memory it takes, the entries left out.
func (f *finder) bytes() int {
	return len(f.present)*8 + cap(f.windows)*int(unsafe.Sizeof(knownWindow{})) + cap(f.rules)*(16+int(unsafe.Sizeof(rule{})))
}

// memorable reports whether a value is so particular that its bytes anywhere
// are that value: "secret12" in a URL must not redact each "secret12" that a
// program's text may have.
func memorable(value []byte) bool {
	if len(value) < minMemorable || isWeak(value) {
		return false
	}
	return !wordy(value) || len(value) >= 16
}

// standsAlone reports whether no word goes on at either end of text[start:end].
func standsAlone(text []byte, start, end int) bool {
	return startsWord(text, start) && !(word.has(text[start]) && start > 0 && word.has(text[start-1])) &&
		!(word.has(text[end-1]) && word.has(at(text, end)))
}
