package onboard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Address is where the proxy is reached, without the /v1 of its API.
type Address struct{ url *url.URL }

// ParseAddress reads an address as people give it, with /v1 or without.
func ParseAddress(text string) (Address, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(text, "\"\\") {
		return Address{}, fmt.Errorf("%q is not an address of the proxy: use one such as https://codex-proxy.example.com", text)
	}
	u.Path, u.RawPath = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1"), ""
	return Address{u}, nil
}

func (a Address) String() string { return a.url.String() }

// Host is the address's host, with the port.
func (a Address) Host() string { return a.url.Host }

// BaseURL is what Codex is configured with.
func (a Address) BaseURL() string { return a.url.String() + "/v1" }

// Identity is whose a token is, as GET /whoami says.
type Identity struct {
	Developer string          `json:"developer"`
	Name      string          `json:"name"`
	Team      string          `json:"team"`
	TokenID   string          `json:"token_id"`
	Expires   time.Time       `json:"expires"`
	Budget    json.RawMessage `json:"budget,omitempty"`
}

// Offer is what the proxy says of itself at GET /setup.json.
type Offer struct {
	BaseURL   string `json:"base_url"`
	WebSocket bool   `json:"websocket"`
	// ProviderName is the name that Codex's provider is to have; empty where the
	// proxy is older than that.
	ProviderName string `json:"provider_name"`
	Version      string `json:"version"`
}

// Provider is the proxy as Codex's provider, but for how Codex gets a token.
func (o Offer) Provider(address Address) Provider {
	return Provider{Name: o.ProviderName, BaseURL: address.BaseURL(), WebSocket: o.WebSocket}
}

// Proxy is a codex-proxy as a client sees it.
type Proxy struct {
	address Address
	client  *http.Client
}

// answerLimit bounds what is read of an answer, in bytes.
const answerLimit = 1 << 20

// NewProxy returns the proxy at an address. Nothing is sent yet.
func NewProxy(address Address) *Proxy {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 60 * time.Second
	return &Proxy{address: address, client: &http.Client{
		Transport: transport,
		// A token must not be carried on to wherever an answer points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Refused is a "no" of the proxy's, or of OpenAI's through it.
type Refused struct {
	Status int
	// Sentence is what the answer says.
	Sentence string
	// Reason is the proxy's own word for it; empty when the proxy did not say no.
	Reason    string
	RequestID string
}

func (r *Refused) Error() string {
	if strings.Contains(r.Sentence, r.RequestID) {
		return r.Sentence
	}
	return fmt.Sprintf("%s (request %s)", r.Sentence, r.RequestID)
}

// Whoami asks whose a token is.
func (p *Proxy) Whoami(ctx context.Context, token string) (Identity, error) {
	var who Identity
	if err := p.getJSON(ctx, "/whoami", token, &who); err != nil {
		return who, err
	}
	if who.Developer == "" {
		return who, p.notAProxy("its answer names no developer")
	}
	return who, nil
}

// Offer asks what the proxy serves.
func (p *Proxy) Offer(ctx context.Context) (Offer, error) {
	var offer Offer
	if err := p.getJSON(ctx, "/setup.json", "", &offer); err != nil {
		return offer, err
	}
	if offer.BaseURL == "" {
		return offer, p.notAProxy("its answer names no base_url")
	}
	return offer, nil
}

// getJSON reads one JSON document.
func (p *Proxy) getJSON(ctx context.Context, path, token string, into any) error {
	return p.readJSON(ctx, http.MethodGet, path, token, into)
}

// readJSON reads the one JSON document that a request without a body is answered
// with.
func (p *Proxy) readJSON(ctx context.Context, method, path, token string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, p.address.String()+path, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := p.do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return p.unreachable(err)
	}
	switch {
	case response.StatusCode == http.StatusOK:
		if err := json.Unmarshal(body, into); err != nil {
			return p.notAProxy(fmt.Sprintf("%s %s is not answered with JSON", method, path))
		}
		return nil
	case response.Header.Get(refusalHeader) != "":
		return refused(response, body)
	case response.StatusCode >= 300 && response.StatusCode < 400:
		return p.notAProxy(fmt.Sprintf("it sends clients on to %q. Use the address that it sends them to, if that is the proxy", response.Header.Get("Location")))
	}
	return p.notAProxy(fmt.Sprintf("%s %s is answered with status %d", method, path, response.StatusCode))
}

func (p *Proxy) do(request *http.Request) (*http.Response, error) {
	response, err := p.client.Do(request)
	if err != nil {
		return nil, p.unreachable(err)
	}
	return response, nil
}

// refusalHeader marks an answer as the proxy's own.
const refusalHeader = "X-Codex-Proxy-Refusal"

// refused is the error that an answer is. It never holds what was sent.
func refused(response *http.Response, body []byte) *Refused {
	said := &Refused{Status: response.StatusCode, Reason: response.Header.Get(refusalHeader), RequestID: response.Header.Get("X-Request-Id")}
	var doc struct {
		Error struct{ Message string }
	}
	switch {
	case json.Unmarshal(body, &doc) == nil && doc.Error.Message != "":
		said.Sentence = doc.Error.Message
	case strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") && len(body) > 0:
		said.Sentence = strings.TrimSpace(string(body[:min(len(body), 2000)]))
	default:
		said.Sentence = fmt.Sprintf("the answer has status %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	return said
}

func (p *Proxy) notAProxy(why string) error {
	return fmt.Errorf("%s is not a codex-proxy: %s. Check the address", p.address, why)
}

// unreachable says why no answer came, in words that name what to do.
func (p *Proxy) unreachable(err error) error {
	var (
		name       *net.DNSError
		authority  x509.UnknownAuthorityError
		host       x509.HostnameError
		invalid    x509.CertificateInvalidError
		notTLS     tls.RecordHeaderError
		transport  *url.Error
		unreadable = err
	)
	if errors.As(err, &transport) {
		unreadable = transport.Err // the address is said already
	}
	do := "Check the address, the network and the VPN"
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &name):
		do = "The name is not known here: check the address and the VPN"
	case errors.As(err, &authority):
		do = "The certificate is from an authority that this machine does not trust: install your organisation's root certificate"
	case errors.As(err, &host):
		do = "The certificate is for another name: check the address"
	case errors.As(err, &invalid):
		do = "The certificate is not valid: check this machine's clock, and tell whoever runs the proxy"
	case errors.As(err, &notTLS):
		do = "It does not speak TLS there: check https or http, and the port"
	}
	return fmt.Errorf("the proxy at %s cannot be reached: %w. %s", p.address, unreadable, do)
}
