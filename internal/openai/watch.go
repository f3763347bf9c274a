package openai

// Watcher watches an answer's bytes as they pass and keeps what they say: the
// model, the usage, how it ended. It is for one goroutine at a time.
type Watcher interface {
	// Write reads the next bytes of the answer, in chunks of any size. It keeps
	// nothing of p, and always returns len(p) and no error: what can't be read
	// is passed over.
	Write(p []byte) (int, error)
	// Terminal tells whether the answer's last event has been seen whole, or the
	// end of the object for JSON: what follows can't take anything away.
	Terminal() bool
	// Answer returns what is known so far.
	Answer() Answer
}

// WatchJSON watches an answer that is one JSON object: a response, a chat
// completion, embeddings, an error. Other JSON leaves the Answer empty.
func WatchJSON() Watcher {
	return &jsonAnswer{fields: fieldsOf(answerShape)}
}

type jsonAnswer struct{ fields Fields }

func (j *jsonAnswer) Write(p []byte) (int, error) { return j.fields.Write(p) }

func (j *jsonAnswer) Terminal() bool { return j.fields.Done() }

func (j *jsonAnswer) Answer() Answer {
	a := Answer{OutputBytes: j.fields.textBytes()}
	a.conclude(&j.fields, topLevel)
	return a
}

// Frames watches the text frames of a WebSocket that answer one response.create:
// each is one event, as in the data of a server-sent event, or an error such as
// {"type":"error","status":429,"error":{…}}. It is for one goroutine at a time.
type Frames struct{ events eventReader }

// WatchFrames returns a Frames for the answer to one response.create.
func WatchFrames() *Frames { return &Frames{events: newEventReader()} }

// Frame reads one whole frame. It keeps nothing of p.
func (w *Frames) Frame(p []byte) {
	w.events.write(p)
	w.EndFrame()
}

// Write reads a part of a frame that is not held whole, which EndFrame ends. It
// keeps nothing of p, and always returns len(p) and no error.
func (w *Frames) Write(p []byte) (int, error) {
	w.events.write(p)
	return len(p), nil
}

// EndFrame ends the frame that was given to Write in parts.
func (w *Frames) EndFrame() { w.events.end(nil) }

// Terminal tells whether the frame that ends the answer has been seen.
func (w *Frames) Terminal() bool { return w.events.terminal }

// Answer returns what is known so far.
func (w *Frames) Answer() Answer { return w.events.answer }

// Final tells whether the answer is over for good. It is not after an error event
// alone, as another may come that says more.
func (w *Frames) Final() bool { return w.events.terminal && w.events.answer.Event != eventError }

// FrameType returns the type of a WebSocket frame, "" when it has none. It reads
// no further than the type, which usually comes first. A client's message that is
// judged by its type must be read whole, with ReadMessage: a type that is repeated
// further on is not seen here.
func FrameType(p []byte) string {
	f := fieldsOf(typeShape)
	for len(p) > 0 && !f.Found() {
		n, _ := f.step(p)
		p = p[n:]
	}
	return f.text(0)
}

var typeShape = newShape([]string{"type"})
