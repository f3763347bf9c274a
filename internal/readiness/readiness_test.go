package readiness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func watch(log *strings.Builder, every time.Duration, parts ...Part) *Watch {
	return New(Options{
		Every: every, Limit: 5 * time.Second, Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil)),
		Reason: func(err error) string { return map[bool]string{true: "damaged"}[errors.Is(err, errDamaged)] },
	}, parts...)
}

var errDamaged = errors.New("/secret/path is damaged")

func ask(t *testing.T, w *Watch) (code int, parts map[string]string) {
	t.Helper()
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil))
	if err := json.Unmarshal(answer.Body.Bytes(), &parts); err != nil {
		t.Fatal(err)
	}
	return answer.Code, parts
}

func TestEachPartIsOKOrSaysWhyNotWithoutAPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
		var log strings.Builder
		w := watch(&log, time.Second, Part{"whole", fails(nil)}, Part{"damaged", fails(errDamaged)},
			Part{"full", fails(fmt.Errorf("/secret/path: %w", syscall.ENOSPC))}, Part{"odd", fails(errors.New("/secret/path is odd"))})
		w.Ask(t.Context())
		code, parts := ask(t, w)
		want := map[string]string{
			"whole": "ok", "damaged": "cannot serve: damaged", "full": "cannot serve: disk full",
			"odd": "cannot serve: failing, the server's log says why",
		}
		if code != 503 || !reflect.DeepEqual(parts, want) {
			t.Errorf("%d %v, want 503 %v", code, parts, want)
		}
		if !strings.Contains(log.String(), "/secret/path is odd") {
			t.Errorf("the log does not say why: %s", &log)
		}
	})
}

func TestAPartThatHangsIsNamedAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		answers := make(chan error)
		var log strings.Builder
		w := watch(&log, time.Second, Part{"disk", func(context.Context) error { calls.Add(1); return <-answers }})
		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)
		synctest.Wait()
		if code, parts := ask(t, w); code != 503 || parts["disk"] != "cannot serve: not checked yet" {
			t.Errorf("before the first answer: %d %v", code, parts)
		}
		answers <- nil
		synctest.Wait()
		if code, parts := ask(t, w); code != 200 || parts["disk"] != "ok" {
			t.Errorf("after it: %d %v", code, parts)
		}

		time.Sleep(time.Minute)
		began := time.Now()
		code, parts := ask(t, w)
		if code != 503 || !strings.HasPrefix(parts["disk"], "cannot serve: hanging since 2000-01-01T00:00:01Z") {
			t.Errorf("a minute into the next: %d %v", code, parts)
		}
		if calls.Load() != 2 || time.Since(began) != 0 {
			t.Errorf("%d checks were begun, and the answer waited %v", calls.Load(), time.Since(began))
		}

		answers <- nil
		synctest.Wait()
		if code, parts := ask(t, w); code != 200 {
			t.Errorf("once it answers: %d %v", code, parts)
		}
		if n := strings.Count(log.String(), "not ready"); n != 1 || !strings.Contains(log.String(), "ready again") {
			t.Errorf("the log has it %d times: %s", n, &log)
		}
		cancel()
		close(answers)
	})
}

func TestAProcessThatSleepsChecksWhenItIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var log strings.Builder
		w := watch(&log, 0, Part{"table", func(context.Context) error { calls.Add(1); return nil }})
		w.Run(t.Context())
		for want := int64(1); want <= 2; want++ {
			time.Sleep(time.Hour)
			if code, _ := ask(t, w); code != 200 || calls.Load() != want {
				t.Errorf("answered %d after %d checks, want 200 after %d", code, calls.Load(), want)
			}
		}
	})
}
