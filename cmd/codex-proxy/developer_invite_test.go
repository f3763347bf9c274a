package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"codex-proxy/internal/simulated"
)

// invited invites a developer, who is added, and returns the link.
func (s *server) invited(id string) string {
	s.t.Helper()
	var made struct{ URL string }
	text := s.command("developer", "invite", id, "--name", "", "--json", "--url", "http://"+s.address)
	if err := json.Unmarshal([]byte(text), &made); err != nil || made.URL == "" {
		s.t.Fatalf("no link: %v", err)
	}
	return made.URL
}

// redeemed redeems a link as a command line does.
func (s *server) redeemed(link string) (token string, status int) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", link, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	var body struct{ Token string }
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		s.t.Fatal(err)
	}
	return body.Token, response.StatusCode
}

func TestAnInvitationGivesAWorkingTokenAndLeavesNoTrace(t *testing.T) {
	_, upstream := simulatedUpstream(t, simulated.Options{})
	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	s := startServer(t, t.TempDir(), "serve", "--upstream", upstream, "--log-level", "debug")
	link := s.invited("alice@example.com")
	path := strings.TrimPrefix(link, "http://"+s.address)
	code := path[strings.LastIndex(path, "/")+1:]
	for _, way := range []string{path, path, "/v1" + path, "/" + path} { // a chat's preview, a person, and links that were mangled
		if status, page := s.get(way); status != http.StatusOK || !strings.Contains(page, "alice@example.com") || strings.Contains(page, "codexproxy_") {
			t.Fatalf("%s is answered with %d", strings.Replace(way, code, "CODE", 1), status)
		}
	}
	token, status := s.redeemed(link)
	if status != http.StatusOK {
		t.Fatalf("it is redeemed with %d", status)
	}
	if response := s.ask(http.DefaultClient, "http", token); response.StatusCode != http.StatusOK {
		t.Errorf("a request with the token is answered with %s", response.Status)
	}
	waitFor(t, "the record is in the archive", func() bool {
		return strings.Contains(s.command("record", "list", "--json"), "alice@example.com")
	})
	// Records are compressed, so they are asked, not only searched as files.
	if list := s.command("record", "list", "--json"); strings.Count(list, `"id":`) != 1 || strings.Contains(list, "invite") {
		t.Errorf("the records are\n%s", list)
	}
	if _, status := s.redeemed(link); status != http.StatusGone {
		t.Errorf("the second time it is redeemed with %d", status)
	}
	if listed := s.command("developer", "invitations", "--all"); !strings.Contains(listed, "used") || strings.Contains(listed, code) {
		t.Errorf("the list is\n%s", listed)
	}

	s.stop()
	if exit := <-s.exit; exit != exitDone {
		t.Errorf("it exited with %d", exit)
	}
	s.exit <- exitDone // for the cleanup
	hidden := map[string]string{"code": code, "token": token[len(token)-33:]}
	for name, text := range hidden {
		if strings.Contains(s.log.String(), text) {
			t.Errorf("the %s is in the log", name)
		}
	}
	files := 0
	err := filepath.WalkDir(s.data, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(file)
		for name, text := range hidden {
			if bytes.Contains(content, []byte(text)) {
				t.Errorf("the %s is in %s", name, entry.Name())
			}
		}
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files were looked through, %v", files, err)
	}
}

func TestAnInvitationOutlivesARestartAndIsRedeemedOnce(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	data := t.TempDir()
	first := startServer(t, data, "serve")
	link := first.invited("alice@example.com")
	first.stop()
	<-first.exit
	first.exit <- exitDone // for the cleanup

	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	s := startServer(t, data, "serve")
	link = "http://" + s.address + link[strings.Index(link, "/invite/"):]
	const n = 4
	status := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			response, err := http.Post(link, "application/x-www-form-urlencoded", nil)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			status[i] = response.StatusCode
		})
	}
	all.Wait()
	redeemed := 0
	for _, code := range status {
		if code == http.StatusOK {
			redeemed++
		}
	}
	if tokens := strings.Count(s.command("token", "list", "--json"), `"id"`); redeemed != 1 || tokens != 1 {
		t.Errorf("%d POSTs got a token, %d tokens were issued: %v", redeemed, tokens, status)
	}
}

func TestAnInvitationEndsWithTheDevelopersAccess(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	s := startServer(t, t.TempDir(), "serve")
	disabled, removed := s.invited("alice@example.com"), s.invited("bob")
	s.command("developer", "disable", "alice@example.com")
	s.command("developer", "remove", "bob", "--yes")
	for name, link := range map[string]string{"disabled": disabled, "removed": removed} {
		if _, status := s.redeemed(link); status != http.StatusGone {
			t.Errorf("after the developer was %s, it is redeemed with %d", name, status)
		}
	}
	s.command("developer", "enable", "alice@example.com")
	if _, status := s.redeemed(disabled); status != http.StatusGone {
		t.Errorf("once the developer is back, it is redeemed with %d", status)
	}
}
