package ledger

import (
	"math"
	"time"

	"codex-proxy/internal/exchange"
)

// Delays counts exchanges by the time that the proxy added to them. Its steps are
// a tenth of a decade each, so that a percentile is known to about a tenth of
// itself.
type Delays map[int]int64

// DelayStep is the step that an exchange counts in. ok is false for those that are
// not counted: of a refusal, upstream saw nothing that could be late.
func DelayStep(e exchange.Exchange) (step int, ok bool) {
	if e.Outcome == exchange.Refused || e.AddedMicros <= 0 {
		return 0, false
	}
	return delayStep(e.AddedMicros), true
}

// delayStep is the step of a time in microseconds: a whole number of tenths of a
// decade above one microsecond.
func delayStep(micros int64) int { return int(10 * math.Log10(float64(micros))) }

// Count counts the exchange.
func (d Delays) Count(e exchange.Exchange) {
	if step, ok := DelayStep(e); ok {
		d[step]++
	}
}

// Add adds what others have counted.
func (d Delays) Add(others Delays) {
	for step, n := range others {
		d[step] += n
	}
}

// Percentile returns the time that so many percent of the exchanges stayed
// within; ok is false when there are none.
func (d Delays) Percentile(percent float64) (within time.Duration, ok bool) {
	var all int64
	first, last := math.MaxInt, 0
	for step, n := range d {
		all += n
		first, last = min(first, step), max(last, step)
	}
	if all == 0 {
		return 0, false
	}
	wanted := percent / 100 * float64(all)
	var passed float64
	for step := first; step <= last; step++ {
		n := float64(d[step])
		if n > 0 && passed+n >= wanted {
			part := (wanted - passed) / n // as if those of a step were spread evenly over it
			return time.Duration(math.Pow(10, (float64(step)+part)/10) * float64(time.Microsecond)), true
		}
		passed += n
	}
	return time.Duration(math.Pow(10, float64(last+1)/10) * float64(time.Microsecond)), true
}
