package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"codex-proxy/internal/exchange"
)

func TestAMarkIsListedWithItsSecretAndTakenBack(t *testing.T) {
	data := t.TempDir()
	e := asked("2026-02-16T09:00:00Z", "alice@example.com", "gpt-5.1-codex", used(1000, 0, 10, 0))
	e.Findings = []exchange.Finding{{Rule: "password", Fingerprint: "aabbccdd222222220000000000000002", Mode: exchange.Reported, Path: "instructions", New: true}}
	if err := settleExchanges(data, []exchange.Exchange{e}); err != nil {
		t.Fatal(err)
	}
	ask := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), append([]string{"--data", data}, args...), nil, &stdout, &stderr); code != want {
			t.Fatalf("%q ends with %d, want %d: %s", args, code, want, stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	listed := func() *markJSON {
		t.Helper()
		var rows []incidentRow
		if err := json.Unmarshal([]byte(ask(exitDone, "secrets", "list", "2026-02-16", "--json")), &rows); err != nil || len(rows) != 1 {
			t.Fatalf("%d secrets are listed, %v", len(rows), err)
		}
		return rows[0].Mark
	}
	chosen := func(mark string) bool {
		t.Helper()
		return strings.Contains(ask(exitDone, "secrets", "list", "2026-02-16", "--mark", mark), "aabbccdd22222222")
	}
	if !chosen("open") || chosen("rotated") || chosen("false-positive") {
		t.Error("without a mark, it is not chosen as open alone")
	}
	if mark := listed(); mark != nil {
		t.Errorf("it is marked %+v before anybody has", mark)
	}
	if said := ask(exitDone, "secrets", "mark", "aabbccdd2", "false-positive", "--note", "a test tenant"); !strings.Contains(said, "aabbccdd22222222 is marked false-positive") {
		t.Errorf("marking says %q", said)
	}
	if mark := listed(); mark == nil || mark.As != "false-positive" || mark.Note != "a test tenant" || !strings.HasPrefix(mark.By, "command line") {
		t.Errorf("it is marked %+v", mark)
	}
	if chosen("open") || chosen("rotated") || !chosen("false-positive") {
		t.Error("marked as a false positive, it is not chosen as that alone")
	}
	if said := ask(exitDone, "secrets", "list", "2026-02-16"); !strings.Contains(said, "false-positive") {
		t.Errorf("the list says %q", said)
	}
	if said := ask(exitDone, "secrets", "show", "aabbccdd2"); !strings.Contains(said, "a test tenant") {
		t.Errorf("show says %q", said)
	}
	ask(exitMisuse, "secrets", "mark", "aabbccdd2", "rotated", "--note", strings.Repeat("x", 501))
	ask(exitMisuse, "secrets", "mark", "aabbccdd2", "fine")
	ask(exitDone, "secrets", "mark", "aabbccdd2", "open")
	if mark := listed(); mark != nil {
		t.Errorf("it is marked %+v after the mark was taken back", mark)
	}
}
