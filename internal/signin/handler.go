package signin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/refusal"
)

// Paths are the paths that the handler answers.
var Paths = [...]string{"/oidc.json", "/oidc/token"}

// About is what a developer's machine needs in order to sign in; /oidc.json.
type About struct {
	Issuer       string   `json:"issuer"`
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret,omitempty"`
	Scopes       []string `json:"scopes"`
	RedirectPort int      `json:"redirect_port,omitempty"`
}

// Answer is what a sign-in gives; POST /oidc/token.
type Answer struct {
	Token     string `json:"token"`
	Developer string `json:"developer"`
	Team      string `json:"team"`
	// Issued and Expires are the token's, by the proxy's clock.
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

// Service answers GET /oidc.json and POST /oidc/token.
type Service struct {
	config Config
	issuer *issuer
	desk   desk
	log    *slog.Logger
}

// New returns the service of a config that Validate has passed. Nothing is asked
// of the issuer yet. now is time.Now, outside tests.
func New(config Config, store Store, now func() time.Time, log *slog.Logger) *Service {
	return &Service{config: config, issuer: newIssuer(config, now), desk: desk{config, store, now}, log: log}
}

// Check asks the issuer who it is, and returns why that fails.
func (s *Service) Check(ctx context.Context) error {
	_, err := s.issuer.discover(ctx)
	return err
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == Paths[0] && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		write(w, About{s.config.Issuer, s.config.ClientID, s.config.ClientSecret, s.config.Scopes, s.config.RedirectPort})
	case r.URL.Path == Paths[1] && r.Method == http.MethodPost:
		s.exchange(w, r)
	default:
		w.Header().Set("Allow", map[string]string{Paths[0]: "GET, HEAD", Paths[1]: "POST"}[r.URL.Path])
		answer(w, &refusal.Refusal{Reason: "method_not_allowed", Status: http.StatusMethodNotAllowed, Message: "nothing is served here by " + r.Method + "."})
	}
}

// exchange gives a token for an ID token.
func (s *Service) exchange(w http.ResponseWriter, r *http.Request) {
	scheme, idToken, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(idToken) == "" {
		s.refuse(w, person{}, refusal.Token("sign_in_token", "the request carries no ID token. Run 'codex-proxy login'."), nil)
		return
	}
	who, err := s.issuer.verify(r.Context(), strings.TrimSpace(idToken))
	if err != nil {
		s.refuse(w, who, refuseToken(err), err)
		return
	}
	out, err := s.desk.admit(r.Context(), who)
	if no := (*refusal.Refusal)(nil); errors.As(err, &no) {
		s.refuse(w, who, no, nil)
		return
	}
	if err != nil {
		s.refuse(w, who, refusal.Unavailable("the proxy cannot read or write who may use it just now. Try again in a moment; if it stays so, tell whoever runs the proxy."), err)
		return
	}
	s.log.Info("signed in", "developer", out.developer.ID, "team", out.developer.Team, "token", out.info.ID, "expires", out.info.Expires, "first", out.isNew)
	write(w, Answer{out.token.Reveal(), out.developer.ID, out.developer.Team, out.info.Created, out.info.Expires})
}

// refuseToken is what is said about an ID token that does not let anyone in.
func refuseToken(err error) *refusal.Refusal {
	if unreachable := (*unreachableError)(nil); errors.As(err, &unreachable) {
		return refusal.Unavailable("the proxy cannot reach the organisation's sign-in to check who you are. Try again in a moment; if it stays so, tell whoever runs the proxy.")
	}
	return refusal.Token("sign_in_token", "the ID token does not prove who you are here: it has expired, or is not from the issuer and for the application that this proxy trusts. Run 'codex-proxy login'; if that does not help, whoever runs the proxy finds the reason in its log.")
}

func (s *Service) refuse(w http.ResponseWriter, who person, no *refusal.Refusal, because error) {
	level := slog.LevelWarn
	if no.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	facts := []any{"request", answer(w, no), "reason", no.Reason}
	if who.Email != "" {
		facts = append(facts, "email", printable(who.Email))
	}
	if because != nil {
		facts = append(facts, "error", because)
	}
	s.log.Log(context.Background(), level, "a sign-in is refused", facts...)
}

// Off answers for a proxy at which nobody can sign in.
func Off() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, &refusal.Refusal{
			Reason: "sign_in_off", Status: http.StatusNotFound,
			Message: "this proxy has no sign-in. Ask whoever runs it for a token, and run 'codex-proxy setup'.",
		})
	})
}

// answer refuses, and returns the request's id.
func answer(w http.ResponseWriter, no *refusal.Refusal) (requestID string) {
	requestID = uuid.Must(uuid.NewV7()).String()
	no.Answer(w, requestID, false)
	return requestID
}

func write(w http.ResponseWriter, page any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(page) // the asker may be gone
}
