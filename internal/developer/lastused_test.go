package developer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/developer"
)

// keeper remembers every batch that it was given, and fails while told to.
type keeper struct {
	mu      sync.Mutex
	batches []map[string]time.Time
	err     error
}

func (k *keeper) SetLastUsed(_ context.Context, times map[string]time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	k.batches = append(k.batches, times)
	return nil
}

func (k *keeper) written() []map[string]time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.batches)
}

func TestLastUseIsWrittenInOneBatchAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &keeper{}
		recorder := developer.NewRecorder(kept)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			recorder.Run(ctx, func(err error) { t.Error(err) })
			close(done)
		}()
		for i := range 1000 {
			recorder.Touch("token-a", now.Add(time.Duration(i)))
		}
		recorder.Touch("token-a", now) // an older use that comes late
		recorder.Touch("token-b", now)
		synctest.Wait()
		if len(kept.written()) != 0 {
			t.Error("a use was written at once")
		}
		time.Sleep(2*time.Minute + time.Second) // nothing happens in the second minute
		recorder.Touch("token-b", now.Add(time.Hour))
		stop()
		<-done
		want := []map[string]time.Time{
			{"token-a": now.Add(999), "token-b": now},
			{"token-b": now.Add(time.Hour)},
		}
		if diff := cmp.Diff(want, kept.written()); diff != "" {
			t.Errorf("batches (-want +got):\n%s", diff)
		}
	})
}

func TestLastUseThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	kept := &keeper{err: errors.New("locked")}
	recorder := developer.NewRecorder(kept)
	recorder.Touch("token-a", now)
	if err := recorder.Flush(t.Context()); !errors.Is(err, kept.err) {
		t.Errorf("Flush: %v, want %v", err, kept.err)
	}
	recorder.Touch("token-b", now)
	kept.err = nil
	if err := recorder.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]map[string]time.Time{{"token-a": now, "token-b": now}}, kept.written()); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}
