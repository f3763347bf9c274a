package gateway

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/record"
	"codex-proxy/internal/upstream"
)

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
		g.Log.ErrorContext(r.Context(), "upstream was not reached", "id", e.ID, "error", err)
		g.turnAway(w, r, e, began, upstreamRefusal(target.Host, err))
		return
	}
	defer response.Body.Close()
	a := &attempt{g: g, e: e, began: began}
	a.e.Status, a.e.UpstreamRequestID = response.StatusCode, response.Header.Get("X-Request-Id")
	if no := a.openRecord(r.Context(), requestMessage(r), nil); no != nil {
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
