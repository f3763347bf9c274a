package signintest

import (
	"context"
	"crypto/rsa"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	example "github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// password is everybody's: who sits in front of the browser is the test's word.
const password = "-"

// storage is the example's, with users that come and go, groups in the ID token,
// keys that change, and a device flow that gives refresh tokens.
type storage struct {
	*example.Storage
	issuer *Issuer
}

func newStorage(i *Issuer) *storage {
	clients := map[string]*example.Client{ClientID: example.NativeClient(ClientID, "http://127.0.0.1", "http://127.0.0.1/console/sign-in/callback")}
	return &storage{example.NewStorageWithClients(users{i}, clients), i}
}

// users are the issuer's, to the example's storage.
type users struct{ issuer *Issuer }

func (u users) GetUserByID(id string) *example.User {
	found, ok := u.issuer.user(id)
	if !ok {
		return nil
	}
	return &example.User{ID: found.Email, Username: found.Email, Password: password, FirstName: found.Name, Email: found.Email, EmailVerified: !found.IsUnverified}
}

func (u users) GetUserByUsername(name string) *example.User { return u.GetUserByID(name) }

func (users) ExampleClientID() string { return "service" }

// GetClientByClientID implements op.Storage.
func (s *storage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	found, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{found}, nil
}

// client is one that may use the device flow, with the claims of its scopes in the
// ID token.
type client struct{ op.Client }

func (client) IDTokenUserinfoClaimsAssertion() bool { return true }

func (client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeDeviceCode}
}

func (client) LoginURL(id string) string { return "/login?authRequestID=" + id }

// SetUserinfoFromRequest implements op.CanSetUserinfoFromRequest.
func (s *storage) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	if err := s.Storage.SetUserinfoFromRequest(ctx, info, request, scopes); err != nil {
		return err
	}
	if u, ok := s.issuer.user(request.GetSubject()); ok {
		info.Name = u.Name
		info.AppendClaims("groups", u.Groups)
	}
	return nil
}

// TokenRequestByRefreshToken implements op.Storage: who is removed has none.
func (s *storage) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	request, err := s.Storage.TokenRequestByRefreshToken(ctx, token)
	if err != nil {
		return nil, err
	}
	if _, ok := s.issuer.user(request.GetSubject()); !ok {
		return nil, errors.New("the user is gone")
	}
	return request, nil
}

// CreateAccessAndRefreshTokens implements op.Storage.
func (s *storage) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (accessID, refresh string, expires time.Time, err error) {
	if device, ok := request.(*op.DeviceAuthorizationState); ok {
		request = &example.AuthRequest{ApplicationID: device.ClientID, UserID: device.Subject, Scopes: device.Scopes}
	}
	accessID, refresh, expires, err = s.Storage.CreateAccessAndRefreshTokens(ctx, request, current)
	if err == nil && current != "" {
		s.issuer.refreshs.Add(1)
	}
	return accessID, refresh, expires, err
}

// SigningKey implements op.Storage.
func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	return s.issuer.signingKey(), nil
}

// KeySet implements op.Storage.
func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{s.issuer.signingKey()}}, nil
}

// SignatureAlgorithms implements op.Storage.
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *signingKey) Key() any                                    { return k.private }
func (k *signingKey) ID() string                                  { return k.id }

type publicKey struct{ *signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.private.Public() }
