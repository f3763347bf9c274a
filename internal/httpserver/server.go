// Package httpserver is the HTTP server that all of the proxy's handlers stand
// behind: what a client may take its time for, and how its connections end.
package httpserver

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits bound how long a client may keep a handler waiting.
type Limits struct {
	// BodyIdle is the longest pause between two pieces of a request's body.
	BodyIdle time.Duration
	// Write is the longest that a client may take to accept one piece of an answer.
	Write time.Duration
}

// DefaultLimits suit patient clients.
func DefaultLimits() Limits { return Limits{BodyIdle: time.Minute, Write: time.Minute} }

// New returns a server, for HTTP/1.1 and, where its listener offers it, HTTP/2.
// What net/http has to say is logged to log.
func New(handler http.Handler, limits Limits, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isFramedTwice(r) {
				w.Header().Set("Connection", "close")
			}
			t := newTimed(w, limits)
			defer t.finish()
			handler.ServeHTTP(t, t.request(r))
		}),
		// No ReadTimeout and no WriteTimeout: they would bound whole requests and
		// whole answers, and an answer may take an hour.
		ReadHeaderTimeout:            10 * time.Second,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               256 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// isFramedTwice reports whether a request may have come with a Content-Length
// beside its Transfer-Encoding. Its connection must be closed (RFC 9112, 6.1 and
// 6.3), as something in front may have taken the other one for its end. net/http
// does not tell: it drops the length, and over HTTP/1.0 the coding. So each
// request that might be one counts; Codex sends none.
func isFramedTwice(r *http.Request) bool {
	return r.ProtoMajor == 1 && (r.ProtoMinor == 0 || len(r.TransferEncoding) > 0)
}
