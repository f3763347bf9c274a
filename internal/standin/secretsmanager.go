package standin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Secrets is a Secrets Manager that holds texts by their names.
type Secrets struct {
	// Address is where it answers.
	Address string

	mu    sync.Mutex
	texts map[string]string
	reads int
}

// SecretsManager starts an empty Secrets Manager that lives as long as the test.
// It knows GetSecretValue alone.
func SecretsManager(t testing.TB) *Secrets {
	t.Helper()
	s := &Secrets{texts: map[string]string{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.Address = server.URL
	return s
}

// Set keeps a text under a name; an empty one removes it.
func (s *Secrets) Set(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[name] = text
}

// Reads returns how often a secret was read.
func (s *Secrets) Reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// ServeHTTP answers as Secrets Manager does.
func (s *Secrets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var asked struct{ SecretId string }
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	refuse := func(code string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "no"})
	}
	if r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" || json.NewDecoder(r.Body).Decode(&asked) != nil {
		refuse("InvalidRequestException")
		return
	}
	s.mu.Lock()
	s.reads++
	text := s.texts[asked.SecretId]
	s.mu.Unlock()
	if text == "" {
		refuse("ResourceNotFoundException")
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"Name": asked.SecretId, "SecretString": text})
}
