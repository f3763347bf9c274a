package numbers

import (
	"testing"
)

func TestAnEmptyLedgerHasAnOverview(t *testing.T) {
	f := newFixture(t)
	has(t, f.page("/console/overview"), "Nothing went through the proxy")
}
