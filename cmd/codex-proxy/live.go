package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"codex-proxy/internal/terminal"
)

// liveCommand is what runs now in a server, which it is asked for by its API.
type liveCommand struct {
	List liveListCommand `cmd:"" default:"withargs" help:"List the exchanges that run now in a server (the default)."`
	Stop liveStopCommand `cmd:"" help:"End a running exchange; Codex says so and does not begin again."`
}

// apiSettings say which server's API is asked, and with what.
type apiSettings struct {
	URL      string `name:"url" help:"The server's address." default:"http://127.0.0.1:8080" placeholder:"URL"`
	APIToken string `name:"api-token" help:"Credential of 'codex-proxy console token add'." placeholder:"CREDENTIAL"`
}

// call asks the API of a server.
func (a *apiSettings) call(ctx context.Context, method, path string, answer any) error {
	u, err := url.Parse(a.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return misuse("--url %q is no address of a server", a.URL)
	}
	if a.APIToken == "" {
		return misuse("the server asks for a credential: make one with 'codex-proxy console token add', and give it as CODEX_PROXY_API_TOKEN or --api-token")
	}
	const limit = 10 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, u.JoinPath("/api/v1", path).String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+a.APIToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the server at %s: %w", u.Host, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("read the answer of the server at %s: %w", u.Host, err)
	}
	if response.StatusCode != http.StatusOK {
		var said struct{ Error struct{ Message string } }
		_ = json.Unmarshal(body, &said) // what is no JSON says nothing
		return fmt.Errorf("the server at %s answers %s: %s", u.Host, response.Status, terminal.Safe(said.Error.Message))
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("read the answer of the server at %s: %w", u.Host, err)
	}
	return nil
}

type liveListCommand struct {
	apiSettings
	jsonFlag
}

func (cmd *liveListCommand) Run(c *console) error {
	var live json.RawMessage
	if err := cmd.call(c.ctx, http.MethodGet, "live", &live); err != nil {
		return err
	}
	if cmd.JSON {
		_, err := fmt.Fprintf(c.stdout, "%s\n", live)
		return err
	}
	var list struct {
		Running []struct {
			ID, Developer, Team, Model, Transport string
			Seconds                               float64
			ResponseBytes                         int64 `json:"response_bytes"`
			OutputTokens                          int64 `json:"output_tokens_estimated"`
		}
	}
	if err := json.Unmarshal(live, &list); err != nil {
		return fmt.Errorf("read what runs: %w", err)
	}
	cells := [][]string{}
	for _, r := range list.Running {
		cells = append(cells, []string{
			r.ID, strconv.FormatFloat(r.Seconds, 'f', 0, 64) + " s", r.Developer, r.Team, r.Model, r.Transport, grouped(r.ResponseBytes), "~" + grouped(r.OutputTokens),
		})
	}
	return printTable(c.stdout, strings.Split("ID,AGE,DEVELOPER,TEAM,MODEL,TRANSPORT,BYTES,TOKENS OUT", ","), cells)
}

type liveStopCommand struct {
	apiSettings
	ID string `arg:"" help:"The exchange, as the list shows it."`
}

func (cmd *liveStopCommand) Run(c *console) error {
	var answer json.RawMessage
	if err := cmd.call(c.ctx, http.MethodPost, "live/"+url.PathEscape(cmd.ID)+"/stop", &answer); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.stdout, "%s is stopped.\n", terminal.Safe(cmd.ID))
	return err
}
