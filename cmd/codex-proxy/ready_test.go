package main

import (
	"bytes"
	"database/sql"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/disk/disktest"
	"codex-proxy/internal/simulated"
)

// serving starts a server that has one developer, with their token.
func serving(t *testing.T, data string) (s *server, token string) {
	t.Helper()
	_, upstream := simulatedUpstream(t, simulated.Options{Key: "sk-organisation"})
	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	s = startServer(t, data, "serve", "--upstream", upstream)
	return s, s.token("alice@example.com")
}

// waitUntilReadyzSays waits until a part is as it should be.
func (s *server) waitUntilReadyzSays(code int, want string) {
	s.t.Helper()
	waitFor(s.t, "readyz says "+want, func() bool {
		got, body := s.get("/readyz")
		return got == code && strings.Contains(body, want)
	})
}

func TestReadyzSaysWhatWasMovedAway(t *testing.T) {
	s, _ := serving(t, t.TempDir())
	parts := map[string]string{"developers": "developers.db", "ledger": "ledger.db", "spool": "spool", "archive": "archive"}
	for part := range parts {
		s.waitUntilReadyzSays(http.StatusOK, `"`+part+`":"ok"`)
	}
	for _, name := range parts {
		if err := os.Rename(filepath.Join(s.data, name), filepath.Join(s.data, name+".old")); err != nil {
			t.Fatal(err)
		}
	}
	for part := range parts {
		s.waitUntilReadyzSays(http.StatusServiceUnavailable, `"`+part+`":"cannot serve: moved"`)
	}
}

func TestNobodyIsLetInByADatabaseThatWasMovedAway(t *testing.T) {
	s, token := serving(t, t.TempDir())
	if response := s.ask(http.DefaultClient, "http", token); response.StatusCode != http.StatusOK {
		t.Fatalf("got %s", response.Status)
	}
	file := filepath.Join(s.data, "developers.db")
	if err := os.Rename(file, file+".old"); err != nil {
		t.Fatal(err)
	}
	s.waitUntilReadyzSays(http.StatusServiceUnavailable, `"developers":"cannot serve: moved"`)
	response := s.ask(http.DefaultClient, "http", token)
	if got := response.Header.Get("X-Codex-Proxy-Refusal"); response.StatusCode != http.StatusServiceUnavailable || got != "proxy_unavailable" {
		t.Errorf("got %s, %q, want 503, proxy_unavailable", response.Status, got)
	}

	t.Setenv("CODEX_PROXY_INIT", "false")
	_, stderr, code := command(t, "", "developer", "disable", "alice@example.com", "--data", s.data)
	if code == exitDone || !strings.Contains(stderr, "it has no developers.db") {
		t.Errorf("a command that cannot reach the server's database ends with %d: %s", code, stderr)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the command made an empty database in its place")
	}
}

func TestReadyzSaysThatADatabaseIsDamaged(t *testing.T) {
	data := t.TempDir()
	if err := (&Settings{Data: data}).initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(data, "developers.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	var page, size int
	if err := errors.Join(db.QueryRowContext(t.Context(), `SELECT rootpage FROM sqlite_schema WHERE name = 'tokens'`).Scan(&page),
		db.QueryRowContext(t.Context(), `PRAGMA page_size`).Scan(&size), db.Close()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	copy(raw[(page-1)*size:page*size], bytes.Repeat([]byte("noise"), size))
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	_, upstream := simulatedUpstream(t, simulated.Options{})
	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	s := startServer(t, data, "serve", "--upstream", upstream)
	s.waitUntilReadyzSays(http.StatusServiceUnavailable, `"developers":"cannot serve: damaged"`)
}

func TestAServerOutlivesItsFrozenDisk(t *testing.T) {
	f := disktest.NewFreezable(t)
	s, token := serving(t, filepath.Join(f.Directory, "data"))
	if response := s.ask(http.DefaultClient, "http", token); response.StatusCode != http.StatusOK {
		t.Fatalf("got %s", response.Status)
	}
	s.waitUntilReadyzSays(http.StatusOK, `"spool":"ok"`)
	s.token("bob@example.com") // which the server's next look-up notes in the mapping
	thaw := f.Freeze()
	client := &http.Client{Timeout: 20 * time.Second}
	for range 3 {
		if response := s.ask(client, "http", token); response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a request while nothing can be kept gets %s, want 503", response.Status)
		}
	}
	if code, body := s.get("/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d %s", code, body)
	}
	s.waitUntilReadyzSays(http.StatusServiceUnavailable, `"spool":"cannot serve: hanging since`)
	if _, body := s.get("/readyz"); !strings.Contains(body, `"developers":"cannot serve: hanging`) {
		t.Errorf("readyz: %s", body)
	}
	if !f.Frozen() {
		t.Fatal("the server hung until another process thawed its disk")
	}
	thaw()
	s.waitUntilReadyzSays(http.StatusOK, `"spool":"ok"`)
	waitFor(t, "a request is served", func() bool {
		return s.ask(http.DefaultClient, "http", token).StatusCode == http.StatusOK
	})
}
