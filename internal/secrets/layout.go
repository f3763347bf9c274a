package secrets

import (
	"bytes"
	"slices"
	"sort"
	"strconv"
)

// layout is how a body divides. Of an object, as the Responses API and chat
// completions take it, each member is a segment, and each element of its input or
// messages; anything else is one.
type layout struct {
	segments []segment
	// continued says that the next request brings the body again, and more.
	continued bool
	// marks are where work may resume: behind elements of the first list of items.
	marks []mark
	list  string // the member that is that list
	items int    // how many elements all lists of items have
	model int    // where the last item of the model ends
}

// mark is the end of an item.
type mark struct {
	end   int
	hash  uint64 // of what stands between the mark before and this one
	items int    // up to here
	model int    // where the last item of the model ends, up to here
	found int    // findings up to here
}

// split divides a body, or what of it stands behind a mark.
func split(body []byte, from resume) (layout, error) {
	parts := layout{list: from.list}
	start := skipSpace(body, 0)
	if from.end == 0 && at(body, start) != '{' {
		end, err := skipValue(body, start)
		if err == nil && skipSpace(body, end) != len(body) {
			err = malformed(end)
		}
		parts.segments = []segment{{start: start, end: end}}
		return parts, err
	}
	member := func(key []byte, i int) (int, error) { return parts.member(body, key, i) }
	var end int
	var err error
	if from.end == 0 {
		end, err = members(body, start, member)
	} else {
		list := []byte(from.list)
		end, err = elementsAfter(body, from.end, from.items, func(n, i int) (int, error) { return parts.item(body, list, n, i) })
		if err == nil {
			end, err = membersAfter(body, end, member)
		}
	}
	if err == nil && skipSpace(body, end) != len(body) {
		err = malformed(end)
	}
	return parts, err
}

// resume is where in a body work goes on: behind so many items of a list. The
// zero value is the beginning.
type resume struct {
	end, items int
	list       string
}

// member takes in the member of a body whose value is at i.
func (l *layout) member(body, key []byte, i int) (int, error) {
	if isItems := string(key) == "input" || string(key) == "messages"; isItems && at(body, i) == '[' {
		return elements(body, i, func(n, i int) (int, error) { return l.item(body, key, n, i) })
	}
	end, err := skipValue(body, i)
	if err != nil {
		return 0, err
	}
	if err := checkJSON(slices.Concat([]byte{'"'}, key, []byte{'"'}), i); err != nil {
		return 0, err
	}
	if len(key) >= minName {
		open, close := keyBefore(body, i)
		l.segments = append(l.segments, segment{start: open - 1, end: close + 1, isName: true})
	}
	isText := body[i] == '"' || body[i] == '{' || body[i] == '['
	if isText && rootPlace.hasID(key) && body[i] == '"' && isID(body[i+1:end-1]) {
		isText = false
	}
	if !isText {
		return end, checkJSON(body[i:end], i)
	}
	l.segments = append(l.segments, segment{start: i, end: end, key: key, path: string(key), in: rootPlace.of(key)})
	return end, nil
}

// item takes in the element n of a list of items.
func (l *layout) item(body, list []byte, n, i int) (int, error) {
	end, err := skipValue(body, i)
	if err != nil {
		return 0, err
	}
	l.segments = append(l.segments, segment{
		start: i, end: end, n: n, key: list, path: string(list) + "[" + strconv.Itoa(n) + "]", in: rootPlace.of(list), isItem: true,
	})
	return end, nil
}

// pathAt returns the path of the item that an offset is in, or nothing.
func (l *layout) pathAt(offset int) string {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].end > offset })
	if i < len(l.segments) && l.segments[i].isItem {
		return l.segments[i].path
	}
	return ""
}

// add counts the items, behind those that were sent before, and marks where their
// list may go on.
func (l *layout) add(body []byte, before sentPart) {
	l.marks, l.items, l.model = before.marks(), before.last.items, before.last.model
	for i := range l.segments {
		s := &l.segments[i]
		if !s.isItem {
			continue
		}
		if l.items == 0 {
			l.list = string(s.key)
		}
		isFirstList := string(s.key) == l.list && s.n == l.items
		l.items++
		if isModels(body[s.start:s.end]) {
			l.model = s.end
		}
		// Another byte behind a number would make it another one.
		if last := body[s.end-1]; isFirstList && (last == '}' || last == ']' || last == '"') {
			l.marks = append(l.marks, mark{end: s.end, items: l.items, model: l.model})
		}
	}
}

// isModels reports whether an item is the model's: what it said, thought or
// called.
func isModels(item []byte) bool {
	if at(item, 0) != '{' {
		return false
	}
	model := false
	_, _ = members(item, 0, func(key []byte, i int) (int, error) {
		end, err := skipValue(item, i)
		if err == nil && item[i] == '"' {
			value := item[i+1 : end-1]
			switch string(key) {
			case "role":
				model = model || string(value) == "assistant"
			case "type":
				model = model || string(value) == "reasoning" || bytes.HasSuffix(value, []byte("_call")) || isClosedItem(value)
			}
		}
		return end, err
	})
	return model
}
