package admission_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/developer"
)

// spent is a ledger that says one sum.
type spent int64

func (s spent) Spent(context.Context, string, string, time.Time, time.Time) (int64, error) {
	return int64(s), nil
}

func TestASpentBudgetIsWrittenOutHoweverSmallItIs(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		limit, spent int64
		says         string
	}{
		{3_000_000, 3_123_456, "budget of $0.003 for November 2026 is spent ($0.003)"},
		{3_000_000, 14_999_999, "budget of $0.003 for November 2026 is spent ($0.014)"},
		{1, 1, "budget of $0.000000001 for November 2026 is spent ($0.000000001)"},
		{10_005_000_000, 10_006_789_012, "budget of $10.005 for November 2026 is spent ($10.006)"},
		{10_000_000_000, 25_384_716_253, "budget of $10.00 for November 2026 is spent ($25.38)"},
	} {
		who := developer.Identity{Developer: "alice", Policy: developer.Policy{DeveloperBudgetNanos: c.limit}}
		no, err := admission.NewDesk(spent(c.spent), now).Admit(t.Context(), who)
		if err != nil || no == nil || !strings.Contains(no.Message, "your "+c.says) {
			t.Errorf("of %d nanos, %d spent: %+v, %v; want %q", c.limit, c.spent, no, err, c.says)
		}
		if no, err := admission.NewDesk(spent(c.limit-1), now).Admit(t.Context(), who); no != nil || err != nil {
			t.Errorf("of %d nanos, one less spent: %+v, %v", c.limit, no, err)
		}
	}
}
