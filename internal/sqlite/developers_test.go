package sqlite

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/developer/developertest"
)

func openDevelopers(t testing.TB, path string) *Developers {
	t.Helper()
	store, err := OpenDevelopers(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func addAlice(t testing.TB, store *Developers) developer.Token {
	t.Helper()
	now := time.Now()
	d, err := developer.New("alice@example.com", "Alice", "", now)
	if err != nil {
		t.Fatal(err)
	}
	token, credential, err := developer.Issue(rand.Reader, d.ID, "", now, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.AddDeveloper(t.Context(), d, credential); err != nil {
		t.Fatal(err)
	}
	return token
}

func TestDevelopersKeepTheStoresContract(t *testing.T) {
	developertest.Run(t, func(t *testing.T) developer.Store {
		return openDevelopers(t, filepath.Join(t.TempDir(), "developers.db"))
	})
}

func TestTidyingKeepsTheStoresContract(t *testing.T) {
	developertest.RunTidy(t, func(t *testing.T) (server, other developertest.TidyStore) {
		path := filepath.Join(t.TempDir(), "developers.db")
		return openDevelopers(t, path), openDevelopers(t, path)
	})
}

func TestDevelopersKeepTheStoresContractBetweenProcesses(t *testing.T) {
	developertest.RunShared(t, func(t *testing.T) (server, command developer.Store) {
		path := filepath.Join(t.TempDir(), "developers.db")
		return openDevelopers(t, path), openDevelopers(t, path)
	})
}

func TestDevelopersKeepTheContractOfBatches(t *testing.T) {
	developertest.RunBatches(t, func(t *testing.T) developertest.BatchStore {
		return openDevelopers(t, filepath.Join(t.TempDir(), "developers.db"))
	})
}

func TestDevelopersOfTheFirstVersionAreBroughtUpToDate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "developers.db")
	old, err := Open(t.Context(), path, developersMigrations[:1], Own)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(old.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO developers (id, name, team, enabled, created, updated) VALUES ('alice', 'Alice', 'default', 0, 1, 2)`)
		return err
	}), old.Close()); err != nil {
		t.Fatal(err)
	}
	alice, err := openDevelopers(t, path).Developer(t.Context(), "alice")
	if err != nil || alice.Name != "Alice" || alice.Enabled || alice.DisabledBy != "" {
		t.Errorf("alice is %+v, %v", alice, err)
	}
}

func TestAnOutageOfTheStoreIsNoVerdictOnTheToken(t *testing.T) {
	for name, breakStore := range map[string]func(*testing.T, *Developers){
		"closed": func(t *testing.T, s *Developers) {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"table gone": func(t *testing.T, s *Developers) {
			if err := s.db.Write(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), `DROP TABLE tokens`)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := OpenDevelopers(t.Context(), filepath.Join(t.TempDir(), "developers.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() }) // may be closed already
			token := addAlice(t, store)
			breakStore(t, store)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err = developer.NewAuthenticator(store, time.Now).Authenticate(ctx, token.Reveal())
			var refused *developer.TokenError
			if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
				t.Errorf("Authenticate: %v, want an outage", err)
			}
		})
	}
}

func TestTheDatabaseHoldsNoToken(t *testing.T) {
	directory := t.TempDir()
	store := openDevelopers(t, filepath.Join(directory, "developers.db"))
	token := addAlice(t, store).Reveal()
	secret := token[len(token)-33 : len(token)-6]
	files, err := filepath.Glob(filepath.Join(directory, "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("found the files %q, %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(secret)) {
			t.Errorf("%s holds the token", filepath.Base(file))
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	store := openDevelopers(b, filepath.Join(b.TempDir(), "developers.db"))
	token := addAlice(b, store)
	authenticator := developer.NewAuthenticator(store, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := authenticator.Authenticate(b.Context(), token.Reveal()); err != nil {
			b.Fatal(err)
		}
	}
}
