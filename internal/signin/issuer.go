package signin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/time/rate"
)

// The limits on talking to the issuer.
const (
	issuerTimeout = 10 * time.Second
	// issuerRetry is how long a failure to discover the issuer is taken for granted.
	issuerRetry = 2 * time.Second
	// issuerAnswer bounds an answer of the issuer's, in bytes.
	issuerAnswer = 1 << 20
	// maxIDToken bounds an ID token, in bytes.
	maxIDToken = 64 << 10
)

// person is whom an ID token is about.
type person struct {
	Email string
	// IsUnverified says that the issuer does not vouch for the address.
	IsUnverified bool
	Name         string
	Groups       []string
	// AreGroupsElsewhere says that the issuer left the groups out, as they are too
	// many for a token.
	AreGroupsElsewhere bool
	Issued             time.Time
	// Nonce is what the sign-in was begun with.
	Nonce string
	// Proof is what the issuer has signed: all of the claims, as they were written. It
	// is the same however the text of the ID token around it is varied.
	Proof []byte
}

// unreachableError says that the issuer could not be asked, so that nothing is
// known about a token.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// issuer is the OpenID Connect issuer, as far as believing its ID tokens goes.
type issuer struct {
	config Config
	client *http.Client
	now    func() time.Time

	mu     sync.Mutex
	known  *known // nil until it is discovered
	failed error
	again  time.Time // when to try after failed
}

// known is what discovery tells.
type known struct {
	keys       oidc.KeySet
	algorithms []string
	endpoint   oauth2.Endpoint
}

func newIssuer(config Config, now func() time.Time) *issuer {
	return &issuer{config: config, now: now, client: newClient(&modest{newTransport(), rate.NewLimiter(rate.Every(time.Second), 10)})}
}

func newTransport() *http.Transport { return http.DefaultTransport.(*http.Transport).Clone() }

func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Timeout: issuerTimeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// maxCodes bounds how many codes the issuer is asked about at once.
const maxCodes = 8

// newCodesClient returns what asks the issuer about the codes that browsers bring.
// Strangers may bring any, so they take turns, each for as long as the issuer takes to
// answer: a limit by time would keep out who brings a good one.
func newCodesClient() *http.Client {
	return newClient(&inTurn{newTransport(), make(chan struct{}, maxCodes)})
}

// inTurn bounds how many requests run at once; the others wait for their turn.
type inTurn struct {
	next  http.RoundTripper
	turns chan struct{}
}

func (t *inTurn) RoundTrip(request *http.Request) (*http.Response, error) {
	select {
	case t.turns <- struct{}{}:
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	defer func() { <-t.turns }()
	return bounded(t.next.RoundTrip(request))
}

// modest bounds how often the issuer is asked, as a stranger's token with an
// unknown key makes us ask.
type modest struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

func (m *modest) RoundTrip(request *http.Request) (*http.Response, error) {
	if !m.limit.Allow() {
		return nil, errors.New("it was asked too often just now")
	}
	return bounded(m.next.RoundTrip(request))
}

// bounded bounds how much of an answer is read.
func bounded(response *http.Response, err error) (*http.Response, error) {
	if err == nil {
		response.Body = &limitedBody{io.LimitReader(response.Body, issuerAnswer), response.Body}
	}
	return response, err
}

type limitedBody struct {
	io.Reader
	io.Closer
}

// asymmetric are the signatures that a public key proves.
var asymmetric = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

// discover reads the issuer's discovery document, once. Its errors are
// *unreachableError.
func (i *issuer) discover(ctx context.Context) (*known, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known != nil {
		return i.known, nil
	}
	if i.failed != nil && i.now().Before(i.again) {
		return nil, i.failed
	}
	// One client that goes away must not make it fail for the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), issuerTimeout)
	defer cancel()
	found, err := i.fetch(oidc.ClientContext(ctx, i.client))
	if err != nil {
		i.failed, i.again = &unreachableError{fmt.Errorf("discover the issuer %s: %w", i.config.Issuer, err)}, i.now().Add(issuerRetry)
		return nil, i.failed
	}
	i.known, i.failed = found, nil
	return found, nil
}

func (i *issuer) fetch(ctx context.Context) (*known, error) {
	provider, err := oidc.NewProvider(ctx, i.config.Issuer)
	if err != nil {
		return nil, err
	}
	var says struct {
		Keys       string   `json:"jwks_uri"`
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := provider.Claims(&says); err != nil {
		return nil, err
	}
	if strings.HasPrefix(i.config.Issuer, "https:") && !strings.HasPrefix(says.Keys, "https:") {
		return nil, fmt.Errorf("its keys are at %q, which is not https", says.Keys)
	}
	return &known{
		endpoint:   provider.Endpoint(),
		keys:       oidc.NewRemoteKeySet(ctx, says.Keys),
		algorithms: slices.DeleteFunc(says.Algorithms, func(name string) bool { return !slices.Contains(asymmetric, name) }),
	}, nil
}

// verify returns whom an ID token is about. The error is an *unreachableError
// when that could not be found out, and anything else when the token proves
// nothing; it may quote the token's claims, never the token.
func (i *issuer) verify(ctx context.Context, idToken string) (person, error) {
	if len(idToken) > maxIDToken {
		return person{}, fmt.Errorf("it has %d bytes: at most %d are read", len(idToken), maxIDToken)
	}
	known, err := i.discover(ctx)
	if err != nil {
		return person{}, err
	}
	keys := &watchedKeys{KeySet: known.keys}
	verifier := oidc.NewVerifier(i.config.Issuer, keys, &oidc.Config{
		ClientID: i.config.ClientID, SupportedSigningAlgs: known.algorithms, Now: i.now,
	})
	token, err := verifier.Verify(ctx, idToken)
	switch {
	case keys.unreachable != nil:
		return person{}, &unreachableError{fmt.Errorf("fetch the keys of the issuer %s: %w", i.config.Issuer, keys.unreachable)}
	case err != nil:
		return person{}, err
	case token.IssuedAt.IsZero():
		return person{}, errors.New("it does not say when it was made (iat)")
	}
	var claims idClaims
	if err := token.Claims(&claims); err != nil {
		return person{}, fmt.Errorf("read its claims: %w", err)
	}
	if claims.AuthorizedParty != "" && claims.AuthorizedParty != i.config.ClientID {
		return person{}, fmt.Errorf("it was made for %q (azp)", claims.AuthorizedParty)
	}
	var signed json.RawMessage
	var all map[string]json.RawMessage
	if err := errors.Join(token.Claims(&signed), token.Claims(&all)); err != nil {
		return person{}, fmt.Errorf("read its claims: %w", err)
	}
	groups, err := readGroups(all[i.config.GroupsClaim])
	if err != nil {
		return person{}, fmt.Errorf("read its claim %q: %w", i.config.GroupsClaim, err)
	}
	_, elsewhere := claims.Elsewhere[i.config.GroupsClaim]
	return person{
		Email: claims.Email, IsUnverified: claims.EmailVerified.isFalse, Name: strings.TrimSpace(claims.Name),
		Groups: groups, AreGroupsElsewhere: elsewhere, Issued: token.IssuedAt, Nonce: token.Nonce, Proof: signed,
	}, nil
}

// idClaims are what is read of an ID token (OpenID Connect Core 1.0, 2 and 5.1).
type idClaims struct {
	Email           string            `json:"email"`
	EmailVerified   verified          `json:"email_verified"`
	Name            string            `json:"name"`
	AuthorizedParty string            `json:"azp"`
	Elsewhere       map[string]string `json:"_claim_names"`
}

// verified is email_verified, which some issuers write as a string. It is false
// only where the issuer says so, or says what cannot be read as true.
type verified struct{ isFalse bool }

// UnmarshalJSON reads true, false, "true" and "false".
func (v *verified) UnmarshalJSON(text []byte) error {
	switch strings.ToLower(strings.Trim(string(text), `"`)) {
	case "true", "null":
		v.isFalse = false
	default:
		v.isFalse = true
	}
	return nil
}

// readGroups reads a claim that is a list of names, or one name.
func readGroups(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, errors.New("it is neither a name nor a list of names")
	}
	return many, nil
}

// watchedKeys notices when the keys could not be fetched, which the verifier's
// error does not tell from a wrong signature.
type watchedKeys struct {
	oidc.KeySet
	unreachable error
}

// VerifySignature implements oidc.KeySet.
func (k *watchedKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, token)
	// A remote key set wraps what kept it from fetching, and nothing else.
	k.unreachable = errors.Unwrap(err)
	return payload, err
}
