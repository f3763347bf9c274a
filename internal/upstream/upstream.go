// Package upstream is the way to OpenAI's API, or to whatever speaks it: its
// address, the organisation's key, and the HTTP transport.
package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// receiveBuffer is the kernel's receive buffer of a connection to upstream, in
// bytes. A client that reads slowly fills it and nothing more, so that a
// thousand such clients cost megabytes and not gigabytes.
const receiveBuffer = 64 << 10

// ParseURL checks an upstream address such as https://api.openai.com/v1. It
// must be absolute, http or https, without credentials, query or fragment.
func ParseURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the upstream address is no URL: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		err = errors.New("it must begin with https:// (or http://) and a host")
	case u.User != nil:
		err = errors.New("it must hold no user or password: the key comes from OPENAI_API_KEY or --upstream-key-file")
	case u.RawQuery != "" || u.Fragment != "":
		err = errors.New("it must have no query and no fragment")
	}
	if err != nil {
		return nil, fmt.Errorf("the upstream address %q cannot be used: %w", u.Redacted(), err)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// IsOpenAI tells whether an upstream address is that of OpenAI's API, or of one of
// its regions.
func IsOpenAI(address *url.URL) bool {
	host := strings.TrimSuffix(strings.ToLower(address.Hostname()), ".")
	return host == "api.openai.com" || strings.HasSuffix(host, ".api.openai.com")
}

// TransportOptions are the limits of waiting for upstream.
type TransportOptions struct {
	// AnswerTimeout bounds the wait from the request's last byte to the
	// answer's header. Zero waits as long as the client does.
	AnswerTimeout time.Duration
	// TLS is used for https; nil is the system's default.
	TLS *tls.Config
}

// NewTransport returns the transport to upstream. It never adds or undoes a
// content coding, and takes its outbound proxy from HTTPS_PROXY and NO_PROXY.
func NewTransport(options TransportOptions) *http.Transport {
	dialer := &net.Dialer{
		Timeout: 10 * time.Second, KeepAlive: 30 * time.Second,
		Control: limitReceiveBuffer,
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       options.TLS,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: options.AnswerTimeout,
		ExpectContinueTimeout: 5 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   512,
		DisableCompression:    true,
	}
}
