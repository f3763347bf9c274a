package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/upstream"
)

const (
	// catalogueTimeout bounds the call for upstream's list: Codex waits for 5 s.
	catalogueTimeout = 3 * time.Second
	// catalogueLife is how long a list is good for; Codex keeps one as long.
	catalogueLife = 5 * time.Minute
	// catalogueRetry is how long upstream is left alone after it gave no list.
	catalogueRetry = 30 * time.Second
	// maxCatalogue is the largest list that is taken, in bytes.
	maxCatalogue = 1 << 20
)

// noModels is the answer where upstream has given no list. Codex then goes by the
// models that it brings along.
const noModels = `{"data":[],"models":[],"object":"list"}`

// catalogue holds upstream's list of models in the shape that Codex reads, for as
// long as it is good. The zero catalogue is empty.
type catalogue struct {
	mu sync.Mutex
	// key is the one that the list was given for.
	key  upstream.Key
	list []byte
	// expires is when upstream is asked again.
	expires time.Time
	// fetching is closed when the call that is under way ends; nil is none.
	fetching chan struct{}
}

// isCatalogueCall tells whether Codex asks which models there are, as it does by
// itself at each start. Nothing of the developer's is in it.
func isCatalogueCall(r *http.Request) bool {
	return r.Method == http.MethodGet && apiPath(r) == "/models" && r.URL.Query().Has("client_version")
}

// serveCatalogue answers Codex's question which models there are: OpenAI's list,
// with the member that Codex looks for. OpenAI's own answer lacks it, which Codex
// reports as an error at each start. It is the proxy's answer, to which the
// developer's request gives nothing, so it is no exchange and uses up no rate.
func (g *Gateway) serveCatalogue(w http.ResponseWriter, r *http.Request, e exchange.Exchange) {
	list := g.catalogueOf(r.Context(), g.Key())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Request-Id", e.ID)
	_, _ = w.Write(list) // the asker may be gone
	g.Log.DebugContext(r.Context(), "list of models given to Codex",
		"id", e.ID, "developer", e.Developer, "token", e.TokenID, "client", e.Client, "bytes", len(list))
}

// catalogueOf returns the list for a key: the one at hand, which is renewed behind
// the answer when it has expired; else what upstream says within the time limit.
// However many ask, upstream is asked once.
func (g *Gateway) catalogueOf(ctx context.Context, key upstream.Key) []byte {
	c := &g.catalogue
	c.mu.Lock()
	if c.key != key {
		c.key, c.list, c.expires = key, nil, time.Time{}
	}
	if !g.Now().Before(c.expires) && c.fetching == nil {
		c.fetching = make(chan struct{})
		go g.refreshCatalogue(context.WithoutCancel(ctx), key)
	}
	fetching, list := c.fetching, c.list
	c.mu.Unlock()
	if list != nil {
		return list
	}
	if fetching != nil {
		select {
		case <-fetching:
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.list == nil {
		return []byte(noModels)
	}
	return c.list
}

// refreshCatalogue asks upstream for its list. An older list stays in use where
// there is no answer.
func (g *Gateway) refreshCatalogue(ctx context.Context, key upstream.Key) {
	ctx, cancel := context.WithTimeout(ctx, catalogueTimeout)
	defer cancel()
	list, err := g.fetchCatalogue(ctx, key)
	c := &g.catalogue
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.fetching)
	c.fetching = nil
	switch {
	case c.key != key: // replaced meanwhile
	case err != nil:
		c.expires = g.Now().Add(catalogueRetry)
		g.Log.WarnContext(ctx, "OpenAI's list of models cannot be had; Codex goes by the models that it knows", "error", err)
	default:
		c.list, c.expires = list, g.Now().Add(catalogueLife)
	}
}

// fetchCatalogue reads upstream's list of models and adds the member "models",
// unless upstream has one.
func (g *Gateway) fetchCatalogue(ctx context.Context, key upstream.Key) ([]byte, error) {
	response, err := g.callModels(ctx, key)
	if err == nil && g.isReplaced(ctx, key, response) {
		_ = response.Body.Close() // what it says is about the key from before
		key = g.Key()
		response, err = g.callModels(ctx, key)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the list of models: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the list of models is answered with status %d", response.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCatalogue+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the list of models: %w", err)
	case len(body) > maxCatalogue:
		return nil, fmt.Errorf("the list of models is larger than %d bytes", maxCatalogue)
	}
	var list map[string]json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil || list == nil {
		return nil, errors.New("the list of models is no JSON object")
	}
	if models := list["models"]; len(models) == 0 || models[0] != '[' {
		list["models"] = json.RawMessage("[]")
	}
	return json.Marshal(list)
}

// callModels asks upstream for its list of models.
func (g *Gateway) callModels(ctx context.Context, key upstream.Key) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.Upstream.JoinPath("models").String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header = outbound(http.Header{"Accept": {"application/json"}}, key)
	return g.Transport.RoundTrip(r)
}
