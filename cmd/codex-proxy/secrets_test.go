package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"codex-proxy/internal/secrets"
	"codex-proxy/internal/simulated"
)

func TestProcessesThatMakeTheKeyAtOnceEndWithOne(t *testing.T) {
	for range 20 {
		settings := &Settings{Data: filepath.Join(t.TempDir(), "data")}
		var keys [8]secrets.Key
		var starting sync.WaitGroup
		for i := range keys {
			starting.Go(func() {
				var err error
				if keys[i], err = openSecretsKey(t.Context(), settings); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
		for _, key := range keys {
			if key != keys[0] || key == (secrets.Key{}) {
				t.Fatal("two have different keys, or none")
			}
		}
		if again, err := secretsKey(t.Context(), settings); err != nil || again != keys[0] {
			t.Errorf("the key that is read later is another (%v)", err)
		}
		entries, err := os.ReadDir(settings.Data)
		if err != nil || len(entries) != 1 {
			t.Fatalf("the directory holds %d files (%v), want the key's alone", len(entries), err)
		}
		info, err := entries[0].Info()
		if err != nil || runtime.GOOS != "windows" && info.Mode() != fs.FileMode(0o600) {
			t.Errorf("the key's mode is %v (%v)", info.Mode(), err)
		}
	}
}

func TestADamagedKeyIsAnErrorThatDoesNotQuoteIt(t *testing.T) {
	settings := &Settings{Data: t.TempDir()}
	damaged := strings.Repeat("ab", 31)
	write(t, secretsKeyFile(settings), []byte(damaged))
	if _, err := openSecretsKey(t.Context(), settings); err == nil || strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), secretsKeyFile(settings)) {
		t.Errorf("it says %v", err)
	}
}

// ticket is a secret by the rule of ticketRule.
const ticket = "ticket-123456"

const ticketRule = `
[[secrets.rule]]
id = "ticket"
pattern = "ticket-[0-9]{6}"
class = "distinctive"
`

// startWith starts serve under the settings of a file's text.
func startWith(t *testing.T, data, upstream, settings string) *server {
	t.Helper()
	t.Setenv("OPENAI_API_KEY", "sk-test")
	config := filepath.Join(t.TempDir(), "codex-proxy.toml")
	write(t, config, []byte(settings))
	return startServer(t, data, "serve", "--upstream", upstream, "--config", config)
}

// sendTicket sends the ticket in a session and returns the answer's status.
func (s *server) sendTicket(token, session string) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.address+"/v1/responses",
		strings.NewReader(`{"model":"gpt-5.1-codex","stream":true,"input":"see `+ticket+`"}`))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header = http.Header{"Authorization": {"Bearer " + token}, "Session-Id": {session}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestServeSearchesUnderTheSettingsOfATeam(t *testing.T) {
	openai, upstream := simulatedUpstream(t, simulated.Options{})
	s := startWith(t, filepath.Join(t.TempDir(), "data"), upstream, ticketRule+"[secrets.teams.platform.rules]\nticket = 'block'")
	for team, want := range map[string]int{"research": http.StatusOK, "platform": http.StatusBadRequest} {
		var added struct{ Token string }
		if err := json.Unmarshal([]byte(s.command("developer", "add", team+"@example.com", "--team", team, "--json")), &added); err != nil {
			t.Fatal(err)
		}
		if got := s.sendTicket(added.Token, ""); got != want {
			t.Errorf("%s got %d, want %d", team, got, want)
		}
	}
	if received := openai.Received(); len(received) != 1 || bytes.Contains(received[0].Body, []byte(ticket)) {
		t.Errorf("upstream got %d requests, want one, or the secret", len(received))
	}
}

func TestAConversationKeepsItsRulesOverARestartWithOthers(t *testing.T) {
	openai, upstream := simulatedUpstream(t, simulated.Options{})
	data := filepath.Join(t.TempDir(), "data")
	s := startWith(t, data, upstream, "secrets.mode = 'report'\n"+ticketRule)
	token := s.token("alice@example.com")
	running := uuid.Must(uuid.NewV7()).String()
	s.sendTicket(token, running)
	s.stop()
	s.exit <- <-s.exit

	s = startWith(t, data, upstream, "secrets.mode = 'redact'\n"+ticketRule)
	s.sendTicket(token, running)
	s.sendTicket(token, uuid.Must(uuid.NewV7()).String())
	received := openai.Received()
	if len(received) != 3 {
		t.Fatalf("upstream got %d requests, want 3", len(received))
	}
	for i, leaves := range []bool{true, true, false} {
		if bytes.Contains(received[i].Body, []byte(ticket)) != leaves {
			t.Errorf("request %d: want the secret to leave: %v", i, leaves)
		}
	}
}
