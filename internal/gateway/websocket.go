package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
	"codex-proxy/internal/upstream"
)

// closeWait is how long a peer may take to answer a close frame.
const closeWait = time.Second

// serveWebSocket connects the client's WebSocket with one to upstream and
// relays message by message until either side closes. Every response.create is
// an exchange of its own.
func (g *Gateway) serveWebSocket(w http.ResponseWriter, r *http.Request, target *url.URL, who developer.Identity, talk *redaction.Conversation, e exchange.Exchange, began time.Time) {
	e.Transport = exchange.WebSocket
	switch {
	case !g.WebSocket:
		g.turnAway(w, r, e, began, refusal.WebSocketUnavailable("WebSockets are switched off here; plain HTTP works."))
		return
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.ProtoMajor != 1 || apiPath(r) != "/responses":
		g.turnAway(w, r, e, began, refusal.WebSocketUnavailable("only /v1/responses can be upgraded, to a WebSocket, over HTTP/1.1; use plain HTTP."))
		return
	case !g.sockets.enter():
		g.turnAway(w, r, e, began, refusal.Unavailable("the proxy is shutting down. Try again soon."))
		return
	}
	defer g.sockets.leave()
	defer g.Meter.Opened(exchange.WebSocket)()

	up, response, err := g.dial(r, target)
	if err != nil {
		g.passUpgradeError(w, r, e, began, response, err, target)
		return
	}
	defer func() { _ = up.CloseNow() }() // closed before, unless something went wrong
	for name, values := range response.Header {
		if !strings.HasPrefix(name, "Sec-Websocket-") && !kept[name] && !hopByHop[name] {
			w.Header()[name] = values
		}
	}
	down, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // a request with an Origin has been refused before
		Subprotocols:       subprotocols(up.Subprotocol()),
		CompressionMode:    compression(r),
	})
	if err != nil {
		g.Log.InfoContext(r.Context(), "client did not complete its upgrade", "id", e.ID, "error", err)
		return
	}
	defer func() { _ = down.CloseNow() }()
	down.SetReadLimit(g.Limits.Frame)
	up.SetReadLimit(g.Limits.Frame)

	// The request's context ends with the hijack's handler, and not when the
	// client goes away: a read that fails tells that.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(errFinished)
	defer g.running.begin(who, cancel)()
	s := &socket{
		g: g, who: who, talk: talk, base: e, upgrade: requestMessage(r), answered: response.Header,
		down: down, up: up, ctx: ctx, cancel: cancel,
	}
	s.upgrade.Framing = "websocket"
	s.run()
}

// dial opens the WebSocket to upstream with the client's headers.
func (g *Gateway) dial(r *http.Request, target *url.URL) (*websocket.Conn, *http.Response, error) {
	key := g.Key()
	up, response, err := g.dialWith(r, target, key)
	if err != nil && g.isReplaced(r.Context(), key, response) {
		return g.dialWith(r, target, g.Key())
	}
	return up, response, err
}

func (g *Gateway) dialWith(r *http.Request, target *url.URL, key upstream.Key) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	up, response, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{
			Transport:     g.Transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		HTTPHeader:      outbound(r.Header, key),
		Subprotocols:    offered(r),
		CompressionMode: compression(r),
	})
	return up, response, err
}

// passUpgradeError gives the client upstream's own answer to the upgrade, or
// says that there was none.
func (g *Gateway) passUpgradeError(w http.ResponseWriter, r *http.Request, e exchange.Exchange, began time.Time, response *http.Response, err error, target *url.URL) {
	if response == nil || response.StatusCode == http.StatusSwitchingProtocols {
		g.Log.ErrorContext(r.Context(), "upstream cannot be reached", "id", e.ID, "error", err)
		g.turnAway(w, r, e, began, refusal.UpstreamUnreachable(fmt.Sprintf("OpenAI (%s) could not be reached: %s. Try again.", target.Host, reasonOf(err))))
		return
	}
	defer response.Body.Close()
	a := &attempt{g: g, e: e, began: began}
	a.e.Status, a.e.UpstreamRequestID = response.StatusCode, response.Header.Get("X-Request-Id")
	if no := a.openRecord(r.Context(), requestMessage(r)); no != nil {
		a.refuse(no)
		a.answerRefusal(w, r, no)
		a.close()
		return
	}
	inbound(w.Header(), response.Header)
	w.Header().Del("Content-Length") // the library keeps the first kilobyte only
	w.WriteHeader(response.StatusCode)
	body, _ := io.ReadAll(response.Body) // in memory already
	a.watch = openai.WatchJSON()
	_, _ = a.watch.Write(body)
	if a.record != nil {
		a.record.Answer(response.StatusCode, record.CleanHeader(response.Header))
		_ = a.recordAnswer(body)
	}
	a.e.ResponseBytes = int64(len(body))
	_, _ = w.Write(body)
	a.ended(exchange.Failed, exchange.OriginOpenAI, failure(response, a.watch.Answer()))
	a.close()
}

// socket is one WebSocket of a client and its counterpart to upstream.
type socket struct {
	g        *Gateway
	who      developer.Identity
	talk     *redaction.Conversation // nil if secrets are not looked for
	base     exchange.Exchange       // what the upgrade says of every exchange
	upgrade  record.Message
	answered http.Header

	down, up *websocket.Conn
	ctx      context.Context
	cancel   context.CancelCauseFunc
	silence  *time.Timer

	mu sync.Mutex
	// open are the exchanges that have no last event yet, in the order in which
	// they began; upstream answers them one after the other.
	open []*socketExchange
	// write is held for a message to the client, which comes from upstream or
	// from the proxy itself.
	write sync.Mutex
}

// socketExchange is an attempt that also holds a place at the desk.
type socketExchange struct {
	attempt
	frames *openai.Frames
	leave  func()
	// recorded is how many bytes of the client's are on record.
	recorded int64
}

// run relays until one side closes, or the proxy ends it.
func (s *socket) run() {
	s.silence = time.AfterFunc(s.g.Limits.AnswerIdle, func() { s.cancel(errSilent) })
	defer s.silence.Stop()

	// Reads must not end with s.ctx: a cancelled read closes the connection
	// without a word. The connections are closed, with a word, instead.
	reading, stop := context.WithCancel(context.WithoutCancel(s.ctx))
	defer stop()
	ends := make(chan end, 2)
	go func() { ends <- end{fromClient: true, err: s.fromClient(reading)} }()
	go func() { ends <- end{err: s.fromUpstream(reading)} }()

	draining := s.g.sockets.draining
	for {
		select {
		case first := <-ends:
			s.closeAfter(first)
			<-ends
			s.conclude(first)
			return
		case <-s.ctx.Done():
			s.closeForCause()
			<-ends
			<-ends
			s.conclude(end{})
			return
		case <-draining:
			draining = nil // once
			s.goAwayWhenIdle()
		}
	}
}

// end is how one direction of the relay ended.
type end struct {
	fromClient bool
	err        error
}

// closeAfter closes the other side as the first one was closed.
func (s *socket) closeAfter(first end) {
	other := s.down
	if first.fromClient {
		other = s.up
	}
	var closed websocket.CloseError
	if errors.As(first.err, &closed) {
		closeWith(other, closed.Code, closed.Reason)
	}
	_ = s.up.CloseNow()
	_ = s.down.CloseNow()
}

// closeForCause closes both sides because the proxy ends the connection.
func (s *socket) closeForCause() {
	cause := context.Cause(s.ctx)
	code := websocket.StatusGoingAway
	var cut *cutOff
	switch {
	case errors.As(cause, &cut):
		code = websocket.StatusPolicyViolation
	case errors.Is(cause, errNotOnDisk):
		code = websocket.StatusInternalError
	}
	_ = s.up.CloseNow()
	if isStopped(s.ctx) {
		s.sayStopped()
	}
	closeWith(s.down, code, closeReason("codex-proxy: "+cause.Error()))
}

// closeWith sends a close frame and gives the peer a moment to answer it.
func closeWith(c *websocket.Conn, code websocket.StatusCode, reason string) {
	force := time.AfterFunc(closeWait, func() { _ = c.CloseNow() })
	defer force.Stop()
	_ = c.Close(code, reason) // the peer may be gone already
}

// closeReason fits a reason into a close frame (RFC 6455, 5.5: 125 bytes).
func closeReason(text string) string {
	const limit = 120
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

// goAwayWhenIdle ends the connection now if no exchange runs; otherwise
// finishExchange does when the last one ends.
func (s *socket) goAwayWhenIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == 0 {
		s.cancel(errShutdown)
	}
}

// fromClient relays what the client sends. A response.create begins an exchange,
// on record before upstream sees it; one that is refused is answered here and
// goes no further.
func (s *socket) fromClient(ctx context.Context) error {
	for {
		kind, message, err := s.down.Read(ctx)
		if err != nil {
			return err
		}
		s.silence.Reset(s.g.Limits.AnswerIdle)
		f := frame{id: exchange.NewID(s.g.Now()), began: s.g.Now(), asked: openai.NewRequestFields(), received: len(message)}
		message, _ = s.g.maskSent(f.id, message)
		if kind == websocket.MessageText {
			_, _ = f.asked.Write(message) // never fails
		}
		s.redact(&f, message)
		if openai.ReadRequest(f.asked).Type == "response.create" {
			if !s.begin(&f) {
				continue
			}
		} else if !s.goOn(&f) {
			continue
		}
		if err := s.send(s.up, kind, f.text); err != nil {
			return fmt.Errorf("write to upstream: %w", err)
		}
	}
}

// frame is a message of the client's, searched for secrets.
type frame struct {
	id       string // of the exchange that it begins, if it does
	began    time.Time
	asked    *openai.Fields
	received int    // bytes, as the client sent it
	text     []byte // what may leave
	findings []exchange.Finding
	no       *refusal.Refusal
}

// redact searches a message of the client's.
func (s *socket) redact(f *frame, message []byte) {
	f.text = message
	if s.talk == nil {
		return
	}
	checked, err := s.talk.Body(message, !openai.ReadRequest(f.asked).Warmup)
	if err != nil {
		f.text, f.no = nil, s.g.unchecked(s.talk, f.id, err)
		if f.no == nil {
			f.text = message
		}
		return
	}
	f.text, f.findings = checked.Text, checked.Findings
	if checked.Blocked {
		f.no = secretBlocked(s.who, checked.Findings)
	}
}

// begin opens an exchange for a response.create, and reports whether the frame
// may go upstream.
func (s *socket) begin(f *frame) bool {
	x := &socketExchange{frames: openai.WatchFrames()}
	x.attempt = attempt{g: s.g, e: s.base, began: f.began, asked: f.asked, watch: x.frames, talk: s.talk}
	x.e.Started = s.g.Now().UTC()
	x.e.ID = f.id
	x.e.Status = http.StatusSwitchingProtocols
	x.e.Findings = redaction.Keep(slices.Concat(s.base.Findings, f.findings))
	s.base.Findings = nil // the upgrade's belong to the first exchange
	if s.talk != nil {
		x.restorer = s.talk.Restorer()
	}

	no := s.admit(x)
	no = cmp.Or(no, f.no)
	no = cmp.Or(no, x.openRecord(s.ctx, s.upgrade))
	if x.record != nil {
		x.record.Answer(http.StatusSwitchingProtocols, record.CleanHeader(s.answered))
	}
	if no == nil {
		s.keepRequest(x, f)
		x.e.AddedMicros = s.g.since(x.began).Microseconds()
		x.progress = s.g.live.enter(&x.e, openai.ReadRequest(f.asked).Model, func(cause error) { s.stop(x, cause) })
		x.progress.request.Store(x.e.RequestBytes)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open = append(s.open, x)
		return true
	}
	if x.leave != nil {
		x.leave()
	}
	x.watch = nil
	answer := no.Frame(x.e.ID)
	x.refuse(no)
	_ = x.recordRequest(f.text) // both are logged where they fail
	_ = x.recordAnswer(append(answer, '\n'))
	x.e.RequestBytes, x.e.ResponseBytes = int64(f.received), int64(len(answer))
	x.secure(s.ctx)
	if err := s.toClient(websocket.MessageText, answer); err != nil {
		s.g.Log.Info("client did not take its refusal", "id", x.e.ID, "error", err)
	}
	x.close()
	return false
}

// admit judges one response.create, as whom the token belongs to now and under
// the policy of now: a connection may live for an hour.
func (s *socket) admit(x *socketExchange) *refusal.Refusal {
	who, err := s.g.Authenticator.Recheck(s.ctx, s.who)
	if no := s.g.identify(s.ctx, who, err, &x.e); no != nil {
		return no
	}
	leave, no := s.g.Desk.Connect(who)
	if no != nil {
		return no
	}
	x.leave = leave
	if no := s.g.admit(s.ctx, who, x.e); no != nil {
		return no
	}
	if len(who.Policy.Models) == 0 {
		return nil
	}
	if unclear(x.asked) {
		return unclearModel()
	}
	return admission.Model(who, openai.ReadRequest(x.asked).Model)
}

// keepRequest records a frame of the client's.
func (s *socket) keepRequest(x *socketExchange, f *frame) {
	x.e.RequestBytes += int64(f.received)
	x.recorded += int64(len(f.text)) + 1
	if err := errors.Join(x.recordRequest(f.text), x.recordRequest([]byte{'\n'})); err != nil {
		s.cancel(err)
	}
}

// goOn takes a frame that begins no exchange, and reports whether it may go
// upstream. It is recorded with the last exchange that began, which the lock
// keeps from being closed meanwhile. One that may not go is only answered: the
// exchange goes on.
func (s *socket) goOn(f *frame) bool {
	s.mu.Lock()
	if len(s.open) > 0 {
		x := s.open[len(s.open)-1]
		for i := range f.findings {
			f.findings[i].Offset += x.recorded // it stands behind the earlier frames
		}
		x.e.Findings = redaction.Keep(append(x.e.Findings, f.findings...))
		s.keepRequest(x, f)
	}
	s.mu.Unlock()
	if f.no == nil {
		return true
	}
	s.g.Meter.Refused(f.no.Reason)
	s.g.Log.Info("frame refused", "id", f.id, "reason", f.no.Reason)
	if err := s.toClient(websocket.MessageText, f.no.Frame(f.id)); err != nil {
		s.g.Log.Info("client did not take its refusal", "id", f.id, "error", err)
	}
	return false
}

// fromUpstream relays what upstream sends. The last event of an exchange is
// handed to the operating system before it is handed to the client.
func (s *socket) fromUpstream(ctx context.Context) error {
	for {
		kind, message, err := s.up.Read(ctx)
		if err != nil {
			return s.g.keys.maskClose(err)
		}
		message = s.g.keys.mask.Load().Bytes(message)
		s.silence.Reset(s.g.Limits.AnswerIdle)
		x := s.first()
		last := false
		if x != nil {
			x.frames.Frame(message)
			x.progress.answered(len(message), x.frames.Answer())
			if err := errors.Join(x.recordAnswer(message), x.recordAnswer([]byte{'\n'})); err != nil {
				s.cancel(err)
				return err
			}
			if last = x.frames.Terminal(); last {
				x.secure(ctx)
			}
		}
		if err := s.restore(x, kind, message); err != nil {
			return fmt.Errorf("%w: %w", errClientWrite, err)
		}
		if x != nil {
			if x.e.ResponseBytes == 0 {
				x.e.FirstByteMicros = s.g.since(x.began).Microseconds()
			}
			x.e.ResponseBytes += int64(len(message))
		}
		if last {
			s.finish(x)
		}
	}
}

// finish closes the exchange whose last event the client has.
func (s *socket) finish(x *socketExchange) {
	if said := x.frames.Answer(); said.Failed() {
		if said.ErrorStatus != 0 {
			x.e.Status = said.ErrorStatus
		}
		x.ended(exchange.Failed, exchange.OriginOpenAI, failure(&http.Response{}, said))
	} else {
		x.ended(exchange.Completed, "", "")
	}
	s.g.live.leave(x.e.ID)
	s.mu.Lock()
	s.open = s.open[1:]
	idle := len(s.open) == 0
	s.mu.Unlock()
	x.leave()
	x.close()
	if idle && s.g.sockets.isDraining() {
		s.cancel(errShutdown)
	}
}

// conclude closes the exchanges that the end of the connection left without a
// last event.
func (s *socket) conclude(first end) {
	outcome, origin, why, here := endOf(s.ctx)
	if !here {
		switch {
		case first.fromClient || errors.Is(first.err, errClientWrite):
			outcome, origin, why = exchange.ClientCancelled, exchange.OriginClient, "the client closed the WebSocket"
		default:
			outcome, origin, why = exchange.UpstreamError, exchange.OriginOpenAI, "upstream closed the WebSocket: "+reasonOf(first.err)
		}
	}
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for i, x := range open {
		s.g.live.leave(x.e.ID)
		if i == 0 && isStopped(s.ctx) {
			_ = x.recordAnswer(append(stopRefusal().Frame(x.e.ID), '\n')) // logged there
		}
		x.ended(outcome, origin, why)
		x.leave()
		x.close()
	}
}

func (s *socket) first() *socketExchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == 0 {
		return nil
	}
	return s.open[0]
}

// restore gives the client a message of upstream's with its secrets.
func (s *socket) restore(x *socketExchange, kind websocket.MessageType, message []byte) error {
	if x == nil || x.restorer == nil || kind != websocket.MessageText {
		return s.toClient(kind, message)
	}
	var failed error
	x.restorer.Event(message, func(event []byte) {
		if failed == nil {
			failed = s.toClient(kind, event)
		}
	})
	return failed
}

func (s *socket) toClient(kind websocket.MessageType, message []byte) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.send(s.down, kind, message)
}

// send writes one message within the write limit. It must not use s.ctx, whose
// end would close the connection without a word.
func (s *socket) send(c *websocket.Conn, kind websocket.MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.g.Limits.Write)
	defer cancel()
	return c.Write(ctx, kind, message)
}

// compression negotiates permessage-deflate when the client offers it. Without
// context takeover, as a window each would cost every idle connection a
// megabyte.
func compression(r *http.Request) websocket.CompressionMode {
	if headerHasPrefix(r.Header["Sec-Websocket-Extensions"], "permessage-deflate") {
		return websocket.CompressionNoContextTakeover
	}
	return websocket.CompressionDisabled
}

func headerHasPrefix(lines []string, prefix string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if strings.HasPrefix(strings.TrimSpace(part), prefix) {
				return true
			}
		}
	}
	return false
}

// offered are the subprotocols that the client offers.
func offered(r *http.Request) []string {
	var names []string
	for _, line := range r.Header["Sec-Websocket-Protocol"] {
		for part := range strings.SplitSeq(line, ",") {
			if name := strings.TrimSpace(part); !isAccountProtocol(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// subprotocols is the list of the one that upstream chose, if any.
func subprotocols(chosen string) []string {
	if chosen == "" {
		return nil
	}
	return []string{chosen}
}

// sockets counts the open WebSockets, which http.Server.Shutdown does not wait
// for.
type sockets struct {
	mu       sync.Mutex
	open     sync.WaitGroup
	draining chan struct{}
}

// enter counts a socket in, unless the proxy is shutting down.
func (s *sockets) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDraining() {
		return false
	}
	s.open.Add(1)
	return true
}

func (s *sockets) leave() { s.open.Done() }

func (s *sockets) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// drain lets no more sockets in; the channel is closed when the last has left.
func (s *sockets) drain() (left <-chan struct{}) {
	s.mu.Lock()
	if !s.isDraining() {
		close(s.draining)
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.open.Wait(); close(done) }()
	return done
}
