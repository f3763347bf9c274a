// Package upstream is the way to OpenAI's API, or to whatever speaks it: its
// address, the organisation's key, and the HTTP transport.
package upstream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// receiveBuffer is how much of an answer, in bytes, upstream may send ahead of a
// client that reads slowly, so that a thousand such clients cost megabytes and not
// gigabytes. Over HTTP/1.1 it is the kernel's buffer of the connection, over HTTP/2
// the window of the stream.
const receiveBuffer = 64 << 10

// With these a connection over HTTP/2 that died without a word, which all requests
// share, is noticed and replaced within the sum of both, and not when TCP gives up
// after a quarter of an hour.
const (
	pingAfter   = 15 * time.Second // without a word of upstream's
	pingTimeout = 10 * time.Second
)

// maxHeader is the largest header of an answer, in bytes.
const maxHeader = 1 << 20

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

// Transport is the way to upstream. It never adds or undoes a content coding, and
// takes its outbound proxy from HTTPS_PROXY and NO_PROXY.
type Transport struct{ *http.Transport }

// RoundTrip implements http.RoundTripper. It bounds the kernel's buffer of each new
// connection that carries one answer at a time. One of HTTP/2 carries a hundred, whose
// windows bound what each may send ahead: with a bound on the whole they would share
// its few kilobytes a round trip.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			limitReceiveBuffer(info.Conn)
		}
	}}
	return t.Transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
}

func limitReceiveBuffer(connection net.Conn) {
	if secured, ok := connection.(*tls.Conn); ok {
		if secured.ConnectionState().NegotiatedProtocol == "h2" {
			return
		}
		connection = secured.NetConn()
	}
	if socket, ok := connection.(syscall.Conn); ok {
		setReceiveBuffer(socket)
	}
}

// NewTransport returns a Transport.
func NewTransport(options TransportOptions) *Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &Transport{&http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        options.TLS,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  options.AnswerTimeout,
		ExpectContinueTimeout:  5 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    512,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			// The window of the whole connection stays at 1 GiB: streams that nobody
			// reads fill theirs, and must not take it from the others.
			MaxReceiveBufferPerStream: receiveBuffer,
			SendPingTimeout:           pingAfter,
			PingTimeout:               pingTimeout,
		},
	}}
}
