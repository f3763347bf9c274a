package memory

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestALeaseWaitsForRoomAndThenGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100, time.Second)
		first, second := b.Lease(), b.Lease()
		if err := first.Grow(t.Context(), 80); err != nil {
			t.Fatal(err)
		}
		var full *FullError
		if err := second.Grow(t.Context(), 30); !errors.As(err, &full) {
			t.Fatalf("got %v where there is no room, want a FullError", err)
		}
		time.AfterFunc(time.Second/2, first.Release)
		if err := second.Grow(t.Context(), 30); err != nil {
			t.Fatalf("no room after the other was released: %v", err)
		}
		if got := b.Held(); got != 30 {
			t.Errorf("%d bytes are held, want 30", got)
		}
		second.Release()
		if got := b.Held(); got != 0 {
			t.Errorf("%d bytes are held after all was released", got)
		}
	})
}

func TestALeaseThatCanNeverFitDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewBudget(100, time.Hour).Lease()
		began := time.Now()
		if err := l.Grow(t.Context(), 60); err != nil {
			t.Fatal(err)
		}
		if err := l.Grow(t.Context(), 60); err == nil {
			t.Fatal("one lease holds more than there is")
		}
		if time.Since(began) > 0 {
			t.Error("it waited for what cannot come")
		}
	})
}

func TestAnEndedContextSaysWhy(t *testing.T) {
	b := NewBudget(100, time.Hour)
	if err := b.Lease().Grow(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the client went away")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if err := b.Lease().Grow(ctx, 1); !errors.Is(err, gone) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestTheSumNeverExceedsTheLimit(t *testing.T) {
	b := NewBudget(1000, time.Minute)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			l := b.Lease()
			defer l.Release()
			for _, n := range []int64{int64(10 + i), 300, 5} {
				if err := l.Resize(t.Context(), n); err != nil {
					t.Error(err)
				}
				if held := b.Held(); held > b.Limit() {
					t.Errorf("%d bytes are held of %d", held, b.Limit())
				}
			}
		})
	}
	all.Wait()
	if got := b.Held(); got != 0 {
		t.Errorf("%d bytes stay held", got)
	}
}
