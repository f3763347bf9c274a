// Package simulated is an OpenAI that needs no key, no network and no money: an
// http.Handler that answers as OpenAI's API does, closely enough that the real
// Codex CLI works with it over HTTP and over a WebSocket.
//
// The demo, the end-to-end tests and the benchmarks all use it. It improvises
// believable answers, gives scripted ones in their order (Server.Play), breaks
// on demand (Fault, or "simulate: 429" in a prompt), and remembers what it was
// sent (Server.Received), so that a test can compare both ends of a proxy.
//
// It writes OpenAI's wire by itself, and shares no code with what it tests but the
// words for usage.
//
// # What a prompt can ask for
//
// Without a script, the user's last message may hold "simulate: " and one of
//
//	400 … 599      that status
//	usage-limit    the 429 that Codex takes for a spent budget
//	quota          response.failed with insufficient_quota
//	tools          three harmless commands, then an answer
//	reasoning      a reasoning summary before the answer
//	slow           3 s before the first byte, 250 ms between events
//	stream N P S   N events of S bytes with a pause P between ("stream 50 10ms 300")
//	cut, cut-bytes, garbage, stall, half-open, failed, incomplete, no-usage
//	               the Break of that name
package simulated

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options are the settings of a Server. The zero Options serve: any key, no
// pauses, nothing kept.
type Options struct {
	// Key is the bearer key that is accepted. Empty accepts any, and none.
	Key string
	// Pace is the pause before each event of a stream after the first; 0 is none.
	Pace time.Duration
	// Now tells the time for timestamps in answers and in Received; nil is
	// time.Now. Pauses always follow the real clock.
	Now func() time.Time
	// Keep is how many of the newest requests are kept for Received. 0 keeps
	// none, which also saves hashing their bodies.
	Keep int
	// KeepBody bounds what is kept of each body, in bytes; 0 is 1 MiB. Hash and
	// size are always those of the whole body.
	KeepBody int
	// Always is what a model call gets when nothing is queued by Play; nil
	// improvises. A benchmark gives Stream(…) here.
	Always *Answer
	// RefuseUpgrade is the status that a WebSocket upgrade is refused with (426
	// makes Codex fall back to HTTP at once); 0 accepts it.
	RefuseUpgrade int
}

// Server answers as OpenAI does. Its methods may be called while it serves.
type Server struct {
	options Options
	log     receivedLog
	cache   promptCache

	mu    sync.Mutex
	queue []Answer

	closing   chan struct{}
	closeOnce sync.Once
}

// New returns a Server with the given options.
func New(options Options) *Server {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.KeepBody == 0 {
		options.KeepBody = 1 << 20
	}
	return &Server{
		options: options,
		log:     newReceivedLog(options.Keep, options.KeepBody),
		cache:   promptCache{sizes: make(map[string]int64)},
		closing: make(chan struct{}),
	}
}

// Play queues answers: the next model calls (/v1/responses on either transport
// and /v1/chat/completions) get them in order, one each; a WebSocket's warm-up
// and a compaction_trigger take none. (Codex with a custom provider compacts by
// an ordinary call that asks for a summary; that one takes an answer.) When the queue is empty, Options.Always or improvisation follows.
func (s *Server) Play(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, answers...)
}

// Close ends what would not end by itself: stalled and half-open answers. Call
// it before closing the http.Server, which may wait for them. It is safe to call
// more than once.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closing) })
}

// ServeHTTP answers one request. A Fault that cuts the connection does so with
// http.ErrAbortHandler, which net/http turns into a closed connection (HTTP/1.1)
// or a reset stream (HTTP/2).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	entry, body, err := s.log.receive(r, s.options.Now())
	defer entry.finish(r.Context())
	x := &turn{
		Server:  s,
		w:       w,
		r:       r,
		body:    body,
		started: started,
	}
	x.commonHeaders()
	switch {
	case err != nil:
		x.refuse(bodyUnreadable(err))
	case !s.authorized(r):
		x.refuse(wrongKey(r.Header.Get("Authorization")))
	default:
		x.route()
	}
}

// authorized says whether the request carries the accepted key.
func (s *Server) authorized(r *http.Request) bool {
	return s.options.Key == "" || r.Header.Get("Authorization") == "Bearer "+s.options.Key
}

// next returns the answer for a model call: queued, always the same, or made up.
func (s *Server) next(c *call) Answer {
	if s.options.Always != nil && s.queued() == 0 {
		return *s.options.Always
	}
	now := c.conversation()
	if now.compaction {
		return Answer{compaction: true}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.queue) > 0:
		answer := s.queue[0]
		s.queue = s.queue[1:]
		return answer
	case s.options.Always != nil:
		return *s.options.Always
	default:
		return improvise(now, s.options.Now())
	}
}

func (s *Server) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// turn is one request being answered.
type turn struct {
	*Server
	w       http.ResponseWriter
	r       *http.Request
	body    []byte
	started time.Time
}

// route finds the endpoint. It looks at the path as it was sent: no cleaning,
// no redirects, so that a test sees what a proxy really asked for.
func (x *turn) route() {
	method, path := x.r.Method, x.r.URL.Path
	switch {
	case path == "/v1/responses" && method == http.MethodPost:
		x.responses()
	case path == "/v1/responses" && isUpgrade(x.r):
		x.websocket()
	case path == "/v1/responses/compact" && method == http.MethodPost:
		x.compact()
	case path == "/v1/chat/completions" && method == http.MethodPost:
		x.chat()
	case path == "/v1/alpha/search" && method == http.MethodPost:
		x.search()
	case path == "/v1/models" && method == http.MethodGet:
		x.models()
	case strings.HasPrefix(path, "/v1/models/") && method == http.MethodGet:
		x.model(strings.TrimPrefix(path, "/v1/models/"))
	case path == "/v1/embeddings" && method == http.MethodPost:
		x.embeddings()
	case path == "/v1/images/generations" && method == http.MethodPost:
		x.images()
	case path == "/v1/files" && method == http.MethodPost:
		x.upload()
	case path == "/v1/files" && method == http.MethodGet:
		x.files()
	case path == "/v1/echo" && method == http.MethodPost:
		x.echo()
	case path == "/v1/bytes" && method == http.MethodGet:
		x.bytes()
	default:
		x.refuse(unknownURL(method, path))
	}
}

// commonHeaders sets the headers that every answer of OpenAI carries.
func (x *turn) commonHeaders() {
	h := x.w.Header()
	h.Set("X-Request-Id", newID("req_"))
	h.Set("Openai-Version", "2020-10-01")
	h.Set("Openai-Organization", "simulated")
	h.Set("X-Ratelimit-Limit-Requests", "10000")
	h.Set("X-Ratelimit-Remaining-Requests", "9999")
	h.Set("X-Ratelimit-Reset-Requests", "6ms")
	h.Set("X-Ratelimit-Limit-Tokens", "30000000")
	h.Set("X-Ratelimit-Remaining-Tokens", "29985000")
	h.Set("X-Ratelimit-Reset-Tokens", "30ms")
}
