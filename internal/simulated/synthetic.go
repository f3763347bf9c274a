package simulated

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"codex-proxy/internal/openai"
)

// stampDigits is the length of a time in unix nanoseconds, from 2001 to 2286.
const stampDigits = 19

// synthetic is a stream of equal events, encoded once per model and tier.
type synthetic struct {
	events int
	size   int

	mu      sync.Mutex
	scripts map[[2]string]script
}

// Stream is an answer of n text deltas with a pause before each; the data of
// each is size bytes, or as few as it can be (about 300). It is encoded once and
// costs little to send, so one process can serve thousands. An unstreamed call
// gets one JSON document whose text is n*size bytes.
//
// The obfuscation of each delta is the time it was sent, in unix nanoseconds, so
// that a reader can tell how long it was under way. Response and item ids repeat.
// Usage is 10,000 input tokens, 8,960 of them cached, and n output tokens, unless
// Answer.Usage is set.
func Stream(n int, every time.Duration, size int) Answer {
	return Answer{
		Usage: &openai.Usage{Input: 10_000, Cached: 8_960, Output: int64(n), Total: 10_000 + int64(n)},
		Fault: Fault{Between: every},
		synthetic: &synthetic{
			events:  n,
			size:    size,
			scripts: make(map[[2]string]script),
		},
	}
}

// script returns the stream for the model and the tier that the call asks for.
func (y *synthetic) script(s *Server, c *call, answer Answer) script {
	frame := s.opening(c, answer)
	frame.PromptCacheKey, frame.PreviousResponseID = nil, nil
	key := [2]string{frame.Model, frame.ServiceTier}
	y.mu.Lock()
	defer y.mu.Unlock()
	made, ok := y.scripts[key]
	if !ok {
		made = y.encode(frame, s.usage(c, c.size, answer, nil), &answer.Fault)
		y.scripts[key] = made
	}
	return made
}

// encode writes an ordinary answer of one word, and puts the equal events in the
// place of that word's.
func (y *synthetic) encode(frame response, used openai.Usage, fault *Fault) script {
	const delta = "response.output_text.delta"
	ending := *fault
	ending.After = math.MaxInt // a break that ends the answer comes after all n
	text := Say("x")
	made := newScript(frame, text.items(shellFunction), used, &ending)
	var b builder
	for _, e := range made.events {
		if e.name != delta {
			b.events = append(b.events, event{name: e.name, data: renumber(e.data, len(b.events))})
			continue
		}
		for range y.events {
			data := renumber(e.data, len(b.events))
			data = bytes.Replace(data, []byte(`"obfuscation":"`+padding(1)+`"`), []byte(`"obfuscation":"`+strings.Repeat("0", stampDigits)+`"`), 1)
			filler := strings.Repeat("x", max(1, y.size-len(data)+1))
			data = bytes.Replace(data, []byte(`"delta":"x"`), []byte(`"delta":"`+filler+`"`), 1)
			stamp := bytes.Index(data, []byte(`"obfuscation":"`)) + len(`"obfuscation":"`)
			b.events = append(b.events, event{name: delta, data: data, stamp: stamp})
		}
	}
	whole := Say(strings.Repeat("x", max(1, y.events*y.size)))
	items := whole.items(shellFunction)
	unstreamed := newScript(frame, items, used, &ending)
	return script{events: b.events, response: unstreamed.response, id: made.id}
}

// renumber returns the event's data with another sequence number.
func renumber(data []byte, n int) []byte {
	before, rest, _ := bytes.Cut(data, []byte(`"sequence_number":`))
	_, after, _ := bytes.Cut(rest, []byte(`,`))
	return bytes.Join([][]byte{before, []byte(`"sequence_number":` + strconv.Itoa(n) + `,`), after}, nil)
}

// stamped returns the event's data with the time of sending in it, which is
// valid until the next call with the same scratch.
func (e *event) stamped(scratch *[]byte) []byte {
	if e.stamp == 0 {
		return e.data
	}
	*scratch = append((*scratch)[:0], e.data...)
	strconv.AppendInt((*scratch)[e.stamp:e.stamp], time.Now().UnixNano(), 10)
	return *scratch
}
