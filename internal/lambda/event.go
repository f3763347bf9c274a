package lambda

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// event is a request as a Function URL gives it (payload format 2.0). Headers of
// several lines come joined, and Cookie by itself.
type event struct {
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	Cookies        []string          `json:"cookies"`
	Headers        map[string]string `json:"headers"`
	RequestContext struct {
		DomainName string `json:"domainName"`
		HTTP       struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
	Body            string `json:"body"`
	IsBase64Encoded bool   `json:"isBase64Encoded"`
}

// parseEvent makes the request that an event tells of.
func parseEvent(raw []byte) (*http.Request, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	if e.RequestContext.HTTP.Method == "" || !strings.HasPrefix(e.RawPath, "/") {
		return nil, errors.New("the event has no method or no path: the function is to be called by its URL")
	}
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, fmt.Errorf("read the event's body: %w", err)
		}
	}
	target := e.target()
	r := &http.Request{
		Method: e.RequestContext.HTTP.Method, URL: target, RequestURI: target.RequestURI(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: http.NoBody, ContentLength: int64(len(body)),
		RemoteAddr: net.JoinHostPort(e.RequestContext.HTTP.SourceIP, "0"),
	}
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	for name, value := range e.Headers {
		r.Header.Set(name, value)
	}
	if len(e.Cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	r.Host = e.RequestContext.DomainName
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	// The platform has read the body: what its framing was says nothing here.
	for _, name := range []string{"Host", "Content-Length", "Transfer-Encoding", "Expect"} {
		r.Header.Del(name)
	}
	if r.Header.Get("X-Forwarded-Proto") != "http" { // which the platform sets, and which is always https
		r.TLS = &tls.ConnectionState{}
	}
	return r, nil
}

// target is the address that was asked for, as it was written where that can be
// read.
func (e event) target() *url.URL {
	if u, err := url.ParseRequestURI(e.RawPath); err == nil && u.Host == "" && u.RawQuery == "" {
		u.RawQuery = e.RawQueryString
		return u
	}
	return &url.URL{Path: e.RawPath, RawQuery: e.RawQueryString}
}
