package gateway

import "codex-proxy/internal/secrets"

// restoration puts the secrets back into what the client gets of an answer over
// HTTP. The record, like upstream, knows only their placeholders.
type restoration struct {
	a        *attempt
	restorer *secrets.Restorer
	events   *secrets.SSE // for a stream of events
	document bool         // for JSON, which is restored whole
	held     []byte
	limit    int64 // bytes of a document that are held
}

// restoration returns what restores an answer with that media type, or nil where
// there is nothing to put back or nothing that could hold it.
func (a *attempt) restoration(media, coding string) *restoration {
	if a.talk == nil {
		return nil
	}
	a.restorer = a.talk.Restorer()
	r := &restoration{a: a, restorer: a.restorer, limit: a.g.Limits.Search}
	restores := a.talk.Restores()
	switch {
	case coding != "" && restores:
		a.g.Log.Warn("answer came in a content coding that was not asked for; its placeholders stay", "id", a.e.ID, "coding", coding)
		return nil
	case coding != "":
		return nil
	case media == "text/event-stream":
		r.events = secrets.NewSSE(a.restorer, int(r.limit))
		return r
	case media == "application/json" && restores && a.e.Method != "HEAD":
		r.document = true
		return r
	}
	return nil
}

// piece takes the next bytes of the answer and returns what the client gets now.
func (r *restoration) piece(p []byte) []byte {
	switch {
	case r == nil:
		return p
	case r.events != nil:
		return r.tell(func() []byte { return r.events.Write(p) })
	case !r.document:
		return p
	}
	r.held = append(r.held, p...)
	if int64(len(r.held)) <= r.limit {
		return nil
	}
	held := r.held
	r.document, r.held = false, nil
	return r.tell(func() []byte {
		r.restorer.Pass(func([]byte) {}) // a document has no texts that are held
		return held
	})
}

// size returns how many bytes are held.
func (r *restoration) size() int {
	switch {
	case r == nil:
		return 0
	case r.events != nil:
		return r.events.Held()
	}
	return len(r.held)
}

// rest returns what the client gets at the answer's end.
func (r *restoration) rest() []byte {
	switch {
	case r == nil:
		return nil
	case r.events != nil:
		return r.tell(r.events.Close)
	case r.document:
		return r.tell(func() []byte { return r.restorer.Body(r.held) })
	}
	return nil
}

// tell restores a part of the answer, and logs when it goes on with what
// placeholders it has.
func (r *restoration) tell(restore func() []byte) []byte {
	before := r.restorer.Passed()
	restored := restore()
	if r.restorer.Passed() > before {
		r.a.g.Log.Warn("a part of the answer is too large to be held or is no JSON; its placeholders stay",
			"id", r.a.e.ID, "limit_bytes", r.limit)
	}
	return restored
}
