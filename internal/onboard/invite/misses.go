package invite

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// missesAtOnce is how many links that are not open one address may try, and
	// missEvery how long it takes until it may try one more.
	missesAtOnce = 20
	missEvery    = 3 * time.Second
	// missesKept bounds the addresses that are remembered: two generations of so
	// many.
	missesKept = 4096
)

// misses limits by remote address how many links that are not open may be tried.
// Memory is bounded: when a generation is full, the one before is forgotten.
type misses struct {
	now func() time.Time

	mu     sync.Mutex
	young  map[netip.Prefix]*rate.Limiter
	ageing map[netip.Prefix]*rate.Limiter
}

func newMisses(now func() time.Time) *misses {
	return &misses{now: now, young: map[netip.Prefix]*rate.Limiter{}}
}

// count notes that the address tried a link that is not open. It returns how long
// the address is to wait until it may try another; 0 when this one was within the
// limit.
func (m *misses) count(remote string) (wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, limiter := m.now(), m.limiter(network(remote))
	if limiter.AllowN(now, 1) {
		return 0
	}
	return time.Duration((1 - limiter.TokensAt(now)) * float64(missEvery))
}

// limiter returns the limiter of an address, which is young from now on.
func (m *misses) limiter(from netip.Prefix) *rate.Limiter {
	if limiter := m.young[from]; limiter != nil {
		return limiter
	}
	limiter := m.ageing[from]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Every(missEvery), missesAtOnce)
	}
	if len(m.young) >= missesKept {
		m.young, m.ageing = map[netip.Prefix]*rate.Limiter{}, m.young
	}
	m.young[from] = limiter
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
