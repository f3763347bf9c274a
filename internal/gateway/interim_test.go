package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
)

// TestInterimAnswersArriveBeforeTheAnswerAndLeaveNothingInIt also sends more of them
// than anybody needs.
func TestInterimAnswersArriveBeforeTheAnswerAndLeaveNothingInIt(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Link", "</style.css>")
		for range 500 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Del("Link")
		w.Header().Set("X-Final", "yes")
		_, _ = io.WriteString(w, "{}")
	}))
	f := newFixture(t, options{upstream: server})
	hints := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		if hints++; status != http.StatusEarlyHints || header.Get("Link") != "</style.css>" || header.Get("X-Final") != "" {
			t.Errorf("hint %d is %d %v", hints, status, header)
		}
		return nil
	}})
	response, body := f.do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("x"))).WithContext(ctx))
	if response.StatusCode != http.StatusOK || string(body) != "{}" || response.Header.Get("X-Final") != "yes" || response.Header.Get("Link") != "" {
		t.Errorf("the answer is %s %v %q", response.Status, response.Header, body)
	}
	if hints == 0 || hints > 100 {
		t.Errorf("%d hints arrived, want some and at most 100", hints)
	}
}

// TestInterimAnswersReachNobodyWhoHasGone has clients hang up while upstream sends
// hints. What the transport then still reads must touch neither the writer of the
// handler that is gone, nor the next exchange of its connection: the first ends the
// process.
func TestInterimAnswersReachNobodyWhoHasGone(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Link", "</style.css>")
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusEarlyHints)
		}
	}))
	f := newFixture(t, options{upstream: server})
	const clients, requests = 8, 40
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range requests {
				ctx, hangUp := context.WithTimeout(t.Context(), time.Duration(rand.IntN(30_000))*time.Microsecond)
				r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("x"))).WithContext(ctx)
				if response, err := f.proxy.Client().Do(r); err == nil {
					response.Body.Close()
				}
				hangUp()
			}
		})
	}
	all.Wait()
	for deadline := time.Now().Add(10 * time.Second); len(f.gateway.Running()) > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if response, err := f.proxy.Client().Do(f.requestThatIsRefused()); err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("afterwards: %v %v", response, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.ledger {
		if e.Outcome != exchange.ClientCancelled {
			t.Errorf("on record as %s: %s", e.Outcome, e.Error)
		}
	}
}

func (f *fixture) requestThatIsRefused() *http.Request {
	r := f.request("GET", "/v1/models", nil)
	r.Header.Del("Authorization")
	return r
}

// TestHintsDoNotMeetTheServersOwnInterimAnswer: the server asks the client for the body
// (100) when the transport first reads it, which is on another goroutine than hints.
func TestHintsDoNotMeetTheServersOwnInterimAnswer(t *testing.T) {
	onlyOver(t, "HTTP/1.1", "HTTP/1.1 over TLS") // over HTTP/2 they are frames
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection, words, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer connection.Close()
		_, _ = io.WriteString(connection, "HTTP/1.1 100 Continue\r\n\r\n"+strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n", 20))
		body := make([]byte, r.ContentLength)
		_, _ = io.ReadFull(words, body)
		_, _ = fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}))
	f := newFixture(t, options{upstream: server, unsearched: true})
	for range 20 {
		r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("x")))
		r.Header.Set("Expect", "100-continue")
		if response, body := f.do(r); response.StatusCode != http.StatusOK || !bytes.Equal(body, askBody("x")) {
			t.Fatalf("got %s %s", response.Status, body)
		}
	}
}
