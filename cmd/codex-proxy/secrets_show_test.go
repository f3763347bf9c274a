package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
)

// TestWhatTheProxyCountedOfSecretsARebuildCountsAgain takes a session of 200
// turns, each with the secret that the first one brought, through the spool.
func TestWhatTheProxyCountedOfSecretsARebuildCountsAgain(t *testing.T) {
	data := t.TempDir()
	var turns []exchange.Exchange
	began := time.Date(2026, 2, 16, 9, 0, 0, 0, time.UTC)
	for turn := range 200 {
		e := asked(began.Add(time.Duration(turn)*time.Minute).Format(time.RFC3339), "alice@example.com", "gpt-5.1-codex", used(1000, 0, 10, 0))
		e.Findings = []exchange.Finding{
			{Rule: "github-token", Fingerprint: "aabbccdd111111110000000000000001", Mode: exchange.Redacted, Path: "input[3].output", Offset: 90, New: turn == 0},
			{Rule: "password", Fingerprint: "aabbccdd222222220000000000000002", Mode: exchange.Reported, Path: "instructions", Offset: 20, New: turn == 100},
		}
		turns = append(turns, e)
	}
	if err := settleExchanges(data, turns); err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) []byte {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), append([]string{"--data", data}, args...), nil, &stdout, &stderr); code != exitDone {
			t.Fatalf("%q ends with %d: %s", args, code, stderr.String())
		}
		return stdout.Bytes()
	}
	questions := [][]string{
		{"secrets", "list", "2026-02-16", "--json"},
		{"secrets", "show", "aabbccdd1", "--json"},
		{"secrets", "show", "aabbccdd2"},
		{"usage", "2026-02-16", "--json"},
	}
	var before [][]byte
	for _, question := range questions {
		before = append(before, ask(question...))
	}
	var listed []incidentRow
	if err := json.Unmarshal(before[0], &listed); err != nil || len(listed) != 2 {
		t.Fatalf("%d secrets are listed, %v; want 2", len(listed), err)
	}
	for _, row := range listed {
		if row.Exchanges != 200 || row.New != 1 || row.Sessions != 1 {
			t.Errorf("a secret of 200 turns is listed as %+v", row)
		}
	}
	ask("usage", "rebuild")
	for i, question := range questions {
		if after := ask(question...); !bytes.Equal(after, before[i]) {
			t.Errorf("%s says after the rebuild\n%s\nand said before\n%s", fmt.Sprint(question), after, before[i])
		}
	}
}
