package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"codex-proxy/internal/developer"
)

// The tokens of running streams are looked up side by side, so that a large
// organisation's fit between two ticks even where a look-up takes a while: 5,000 at
// 8 ms each take 0.6 seconds.
const (
	rechecksAtOnce = 64
	// recheckLimit bounds one look-up: a store that hangs holds up those that wait for
	// no longer than that once it is back.
	recheckLimit = 2 * time.Second
)

// Watch ends the running streams of whoever is cut off, until ctx ends. Those whose
// last look-up is the longest ago are looked up first; one that hangs does not hold
// up the others.
func (g *Gateway) Watch(ctx context.Context) {
	var looking sync.WaitGroup
	defer looking.Wait()
	places := make(chan struct{}, rechecksAtOnce)
	ticker := time.NewTicker(g.Limits.Recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, t := range g.running.due() {
			select {
			case <-ctx.Done():
				return
			case places <- struct{}{}:
			}
			if !g.running.beginLook(t) {
				<-places
				continue
			}
			looking.Go(func() {
				g.recheck(ctx, t)
				<-places
			})
		}
	}
}

// recheck looks a token up again and ends its streams if it is no longer good. An
// outage cuts nobody off.
func (g *Gateway) recheck(ctx context.Context, t *tokenStreams) {
	ctx, cancel := context.WithTimeout(ctx, recheckLimit)
	defer cancel()
	_, err := g.Authenticator.Recheck(ctx, t.who)
	var cause error
	if bad := (*developer.TokenError)(nil); errors.As(err, &bad) {
		cause = &cutOff{bad}
	}
	g.running.endLook(t, cause)
}
