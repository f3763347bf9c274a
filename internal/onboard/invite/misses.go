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

// misses counts by remote address the links that were tried and are not open.
// Memory is bounded: when a generation is full, the one before is forgotten.
type misses struct {
	now func() time.Time

	mu      sync.Mutex
	young   map[netip.Prefix]*rate.Limiter
	ageing  map[netip.Prefix]*rate.Limiter
	atMost  int
	perMiss rate.Limit
}

func newMisses(now func() time.Time) *misses {
	return &misses{now: now, young: map[netip.Prefix]*rate.Limiter{}, atMost: missesKept, perMiss: rate.Every(missEvery)}
}

// wait is how long the address has to wait until it may try again; 0 when it need
// not.
func (m *misses) wait(remote string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	limiter := m.find(network(remote))
	if limiter == nil {
		return 0
	}
	left := limiter.TokensAt(m.now())
	if left >= 1 {
		return 0
	}
	return time.Duration((1 - left) * float64(missEvery))
}

// count notes that the address tried a link that is not open.
func (m *misses) count(remote string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := network(remote)
	limiter := m.find(from)
	if limiter == nil {
		limiter = rate.NewLimiter(m.perMiss, missesAtOnce)
	}
	if _, young := m.young[from]; !young {
		if len(m.young) >= m.atMost {
			m.young, m.ageing = map[netip.Prefix]*rate.Limiter{}, m.young
		}
		m.young[from] = limiter
	}
	limiter.AllowN(m.now(), 1)
}

func (m *misses) find(from netip.Prefix) *rate.Limiter {
	if limiter := m.young[from]; limiter != nil {
		return limiter
	}
	return m.ageing[from]
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
