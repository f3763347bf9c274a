package simulated

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"
)

// maxQueued is how many frames a client may send ahead.
const maxQueued = 16

func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// websocket answers GET /v1/responses as a WebSocket: each response.create frame
// is one model call, answered one after the other with the events as frames.
func (x *turn) websocket() {
	if status := x.options.RefuseUpgrade; status != 0 {
		x.refuseAs(&Fault{Status: status})
		return
	}
	freezer := &freezer{ResponseWriter: x.w, frozen: make(chan struct{}), thaw: x.closing}
	conn, err := websocket.Accept(freezer, x.r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // an API has no pages, and so no origin of its own
		CompressionMode:    websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxBody)
	w := &socket{Server: x.Server, upgrade: x.r, conn: conn, freezer: freezer, left: -1}
	w.serve(x.r.Context())
}

// socket is one WebSocket connection. It is the sink of its answers.
type socket struct {
	*Server
	upgrade *http.Request
	conn    *websocket.Conn

	// lastID is the response that the next call may continue, as OpenAI keeps
	// only the latest of a connection, and last what had been said by then.
	lastID string
	last   conversation

	freezer *freezer
	left    int  // bytes before a cut; negative is no cut
	over    bool // it is to be closed without a good-bye
	scratch []byte
}

// serve reads frames, so that pings and closes are seen at any time, and answers
// them one by one.
func (w *socket) serve(ctx context.Context) {
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	frames := make(chan []byte, maxQueued)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		defer gone()
		for {
			_, frame, err := w.conn.Read(ctx)
			if err != nil {
				return
			}
			select {
			case frames <- frame:
			case <-ctx.Done():
				return
			}
		}
	}()
	for w.alive(ctx) {
		select {
		case frame := <-frames:
			w.frame(ctx, frame)
		case <-ctx.Done():
		case <-w.closing:
			w.conn.Close(websocket.StatusGoingAway, "the simulated OpenAI was closed")
		}
	}
	w.conn.CloseNow()
	<-reading
}

func (w *socket) alive(ctx context.Context) bool {
	select {
	case <-w.closing:
		return false
	default:
		return ctx.Err() == nil && !w.over
	}
}

// frame answers one frame.
func (w *socket) frame(ctx context.Context, frame []byte) {
	entry := w.log.receiveFrame(w.upgrade, frame, w.options.Now())
	defer entry.finish(ctx)
	if kind := gjson.GetBytes(frame, "type").Str; kind != "response.create" {
		w.refuse(ctx, invalidRequest("Unsupported event type: '"+kind+"'. Only 'response.create' is supported.", "invalid_event", "type"))
		return
	}
	c, bad := readCall(frame)
	if bad != nil {
		w.refuse(ctx, bad)
		return
	}
	if c.previousID != "" {
		if c.previousID != w.lastID {
			w.refuse(ctx, unknownPrevious(c.previousID))
			return
		}
		c.before = w.last
	}
	if c.warmUp {
		w.warmUp(ctx, c)
		return
	}
	w.answer(ctx, c, w.next(c))
}

// warmUp answers a call that wants its input remembered and nothing generated.
func (w *socket) warmUp(ctx context.Context, c *call) {
	frame := w.opening(c, Answer{})
	done := frame
	done.Status, done.Usage = "completed", &usage{}
	b := &builder{}
	b.add(wireEvent{Type: "response.created", Response: &frame})
	b.add(wireEvent{Type: "response.completed", Response: &done})
	if w.play(ctx, w, b.events, &Fault{}) == nil {
		w.lastID, w.last = frame.ID, c.conversation()
	}
}

func (w *socket) answer(ctx context.Context, c *call, answer Answer) {
	fault := &answer.Fault
	if err := w.sleep(ctx, fault.FirstByte); err != nil {
		return
	}
	if fault.Status != 0 {
		w.refuse(ctx, fault.apiError())
		return
	}
	made := w.write(c, answer)
	if fault.Break == BreakCutBytes {
		total := 0
		for _, e := range made.events {
			total += len(e.data)
		}
		w.left = fault.bytesBeforeCut(total)
	}
	err := w.play(ctx, w, made.events, fault)
	if err != nil || fault.Break == BreakFailed {
		w.lastID = ""
		return
	}
	w.lastID, w.last = made.id, c.conversation()
	w.last.size += int64(len(made.response))
}

// refuse sends an error frame. A refused call also forgets what it continued.
func (w *socket) refuse(ctx context.Context, e *apiError) {
	w.lastID = ""
	headers := make(map[string]string, len(e.header))
	for name := range e.header {
		headers[strings.ToLower(name)] = e.header.Get(name)
	}
	data := marshal(struct {
		Type    string            `json:"type"`
		Status  int               `json:"status"`
		Error   any               `json:"error"`
		Headers map[string]string `json:"headers,omitempty"`
	}{"error", e.status, e.object(), headers})
	_ = w.send(ctx, &event{data: data}) // an error means that nobody listens any more
}

func (w *socket) send(ctx context.Context, e *event) error {
	if w.left >= 0 {
		if len(e.data) > w.left {
			return errCut
		}
		w.left -= len(e.data)
	}
	return w.conn.Write(ctx, websocket.MessageText, e.stamped(&w.scratch))
}

func (w *socket) garbage(ctx context.Context) error {
	return w.conn.Write(ctx, websocket.MessageBinary, []byte(garbage))
}

// cut leaves the closing to serve, so that the frame's answer is over before, and
// nobody takes it for the client's going away.
func (w *socket) cut() { w.over = true }

func (w *socket) halfOpen() { close(w.freezer.frozen) }

// freezer lets a hijacked connection stop reading while it stays open.
type freezer struct {
	http.ResponseWriter
	frozen chan struct{} // closed to stop reading
	thaw   <-chan struct{}
}

// Hijack implements http.Hijacker.
func (f *freezer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(f.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &frozenConn{Conn: conn, freezer: f}, buffered, nil
}

type frozenConn struct {
	net.Conn
	freezer *freezer
}

// Read reads, and keeps what it has read to itself while the connection is
// frozen.
func (c *frozenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case <-c.freezer.frozen:
		<-c.freezer.thaw
		return 0, io.EOF
	default:
		return n, err
	}
}
