// Package attempts limits how often one address may try what is wrong: a credential
// or a link that nobody has. Whoever uses it looks first whether what was tried is
// right, which is let in at any time: an office, or everybody behind a load balancer,
// has one address, and a stranger must not be able to lock them out. So it is for
// secrets that are random and too long to be guessed.
package attempts

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKept bounds the addresses that are remembered: two generations of so many.
const maxKept = 4096

// Limit counts wrong attempts by remote address. Memory is bounded: when a generation
// is full, the one before is forgotten. It is safe for concurrent use.
type Limit struct {
	now    func() time.Time
	atOnce int
	every  time.Duration

	mu     sync.Mutex
	young  map[netip.Prefix]*rate.Limiter
	ageing map[netip.Prefix]*rate.Limiter
}

// NewLimit returns a limit of so many wrong attempts at once from an address, and then
// of one more in each period.
func NewLimit(now func() time.Time, atOnce int, every time.Duration) *Limit {
	return &Limit{now: now, atOnce: atOnce, every: every, young: map[netip.Prefix]*rate.Limiter{}}
}

// Wrong counts a wrong attempt from a remote address (host:port). It returns how long
// the address is to wait until it may try another; 0 when this one was within the
// limit.
func (l *Limit) Wrong(remote string) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, limiter := l.now(), l.limiter(network(remote))
	if limiter.AllowN(now, 1) {
		return 0
	}
	return time.Duration((1 - limiter.TokensAt(now)) * float64(l.every))
}

// limiter returns the limiter of an address, which is young from now on.
func (l *Limit) limiter(from netip.Prefix) *rate.Limiter {
	if limiter := l.young[from]; limiter != nil {
		return limiter
	}
	limiter := l.ageing[from]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Every(l.every), l.atOnce)
	}
	if len(l.young) >= maxKept {
		l.young, l.ageing = map[netip.Prefix]*rate.Limiter{}, l.young
	}
	l.young[from] = limiter
	return limiter
}

// network is what is counted as one address: an IPv4 address, or the /64 of an
// IPv6 address, as whoever has one of those has them all. What is no address
// counts as the zero network.
func network(remote string) netip.Prefix {
	parsed, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	address := parsed.Addr().Unmap().WithZone("")
	bits := 64
	if address.Is4() {
		bits = 32
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
