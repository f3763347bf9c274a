package onboard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// examineReach looks at the way to the proxy leg by leg: name, connection, TLS,
// first byte; then at the certificate and the clock.
func (d *Doctor) examineReach(ctx context.Context, proxy *Proxy, add func(Finding)) bool {
	var asked, found, dialed, connected, shook, handshake, wrote, first time.Time
	trace := &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { asked = time.Now() },
		DNSDone:              func(httptrace.DNSDoneInfo) { found = time.Now() },
		ConnectStart:         func(string, string) { dialed = time.Now() },
		ConnectDone:          func(string, string, error) { connected = time.Now() },
		TLSHandshakeStart:    func() { shook = time.Now() },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { handshake = time.Now() },
		WroteRequest:         func(httptrace.WroteRequestInfo) { wrote = time.Now() },
		GotFirstResponseByte: func() { first = time.Now() },
	}
	began := d.Now()
	header, state, err := proxy.head(httptrace.WithClientTrace(ctx, trace))
	if err != nil {
		add(Finding{Check: "reach", Verdict: Fail, Detail: err.Error(), Fix: "check the network, the VPN and HTTPS_PROXY; ask whoever runs the proxy whether it is up"})
		return false
	}
	legs := []string{}
	for _, leg := range []struct {
		name     string
		from, to time.Time
	}{{"name", asked, found}, {"connect", dialed, connected}, {"TLS", shook, handshake}, {"answer", wrote, first}} {
		if !leg.from.IsZero() && leg.to.After(leg.from) {
			legs = append(legs, fmt.Sprintf("%s %.1f ms", leg.name, millis(leg.to.Sub(leg.from))))
		}
	}
	add(Finding{Check: "reach", Verdict: OK, Detail: proxy.address.String() + ": " + strings.Join(legs, ", "), Millis: millis(d.Now().Sub(began))})
	add(d.examineTLS(proxy, state))
	add(d.examineClock(header, began))
	return true
}

func (d *Doctor) examineTLS(proxy *Proxy, state *tls.ConnectionState) Finding {
	if state == nil || len(state.PeerCertificates) == 0 {
		host, _, err := net.SplitHostPort(proxy.address.Host())
		if err != nil {
			host = proxy.address.Host()
		}
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
			return Finding{Check: "tls", Verdict: OK, Detail: "plain HTTP, which stays on this machine"}
		}
		return Finding{Check: "tls", Verdict: Warn, Detail: "plain HTTP: your token and your code travel unencrypted", Fix: "ask whoever runs the proxy for an https address"}
	}
	end := state.PeerCertificates[0].NotAfter
	left := end.Sub(d.Now())
	f := Finding{Check: "tls", Verdict: OK, Detail: fmt.Sprintf("%s, the certificate is valid until %s", tls.VersionName(state.Version), end.UTC().Format(time.DateOnly))}
	if left < 14*24*time.Hour {
		f.Verdict, f.Fix = Warn, "tell whoever runs the proxy to renew the certificate"
	}
	return f
}

// examineClock compares this machine's clock with the proxy's, to the second that
// the Date header has.
func (d *Doctor) examineClock(header http.Header, began time.Time) Finding {
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return Finding{Check: "clock", Verdict: Warn, Detail: "the proxy's answer has no Date, so the clock cannot be compared", Fix: "none needed"}
	}
	off := began.Sub(theirs).Round(time.Second)
	if off.Abs() > time.Minute {
		return Finding{Check: "clock", Verdict: Warn, Detail: fmt.Sprintf("this machine's clock is %s off the proxy's: certificates and tokens may seem expired or not valid yet", off.Abs()), Fix: "set the clock, by NTP"}
	}
	return Finding{Check: "clock", Verdict: OK, Detail: "agrees with the proxy's to " + max(off.Abs(), time.Second).String()}
}

func (d *Doctor) examineWhoami(ctx context.Context, proxy *Proxy, token string, isSignIn bool, add func(Finding)) {
	began := d.Now()
	who, err := proxy.Whoami(ctx, token)
	f := Finding{Check: "token", Verdict: OK, Millis: millis(d.Now().Sub(began))}
	switch {
	case err != nil:
		f.Verdict, f.Detail, f.Fix = Fail, err.Error(), "get a new token from whoever runs the proxy and run 'codex-proxy setup'"
	case who.Expires.IsZero():
		f.Detail = fmt.Sprintf("token %s belongs to %s (team %s) and does not expire", who.TokenID, who.Developer, who.Team)
	default:
		f.Detail = fmt.Sprintf("token %s belongs to %s (team %s) and expires at %s UTC", who.TokenID, who.Developer, who.Team, who.Expires.UTC().Format("2006-01-02 15:04"))
		if !isSignIn && who.Expires.Sub(d.Now()) < 7*24*time.Hour {
			f.Verdict, f.Fix = Warn, "get a new token in time and run 'codex-proxy setup'"
		}
	}
	add(f)
}

// examineWebSocket opens the WebSocket that Codex would open, and closes it.
func (d *Doctor) examineWebSocket(ctx context.Context, proxy *Proxy, token string, settings Settings, add func(Finding)) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	began := d.Now()
	status, reason, err := proxy.upgrade(ctx, token)
	f := Finding{Check: "websocket", Millis: millis(d.Now().Sub(began))}
	switch {
	case status == http.StatusSwitchingProtocols:
		f.Verdict, f.Detail = OK, "opens"
		if !settings.chosen().SupportsWebSockets {
			f.Verdict, f.Detail = Warn, "opens, but Codex is configured not to use it"
			f.Fix = settings.mend("supports_websockets = true")
		}
	case status == http.StatusUpgradeRequired:
		f.Verdict, f.Detail = OK, "not served here (426): Codex uses plain HTTP at once"
	case status != 0 && reason != "":
		f.Verdict, f.Detail = Warn, fmt.Sprintf("the proxy refuses the upgrade with status %d (%s): Codex tries for about 7 s, then uses plain HTTP", status, reason)
		f.Fix = "the same cause holds for plain HTTP: see the other checks, or ask whoever runs the proxy"
	case status != 0:
		f.Verdict, f.Detail = Warn, fmt.Sprintf("the upgrade is answered with status %d: Codex tries for about 7 s, then uses plain HTTP", status)
		f.Fix = "let what stands between here and the proxy pass WebSockets, or set supports_websockets = false"
	default:
		f.Verdict, f.Detail, f.Fix = Warn, "does not open: "+err.Error(), "let what stands between here and the proxy pass WebSockets, or set supports_websockets = false"
	}
	add(f)
}

func (d *Doctor) examineAnswer(ctx context.Context, proxy *Proxy, token, model string, add func(Finding)) {
	reply, err := proxy.Ask(ctx, token, model)
	if err != nil {
		add(Finding{Check: "answer", Verdict: Fail, Detail: err.Error(), Fix: "docs/troubleshooting.md explains each sentence; whoever runs the proxy finds it by its request id with 'codex-proxy record origin ID'"})
		return
	}
	add(Finding{
		Check: "answer", Verdict: OK, Millis: millis(reply.Last),
		Detail: fmt.Sprintf("%q, first event after %.0f ms, all after %.0f ms", reply.Line, millis(reply.First), millis(reply.Last)),
	})
}

// trust replaces the authorities whose certificates are believed.
func (p *Proxy) trust(authorities *x509.CertPool) {
	if authorities != nil {
		p.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: authorities}
	}
}

// head asks for the proxy's own description, for its headers only.
func (p *Proxy) head(ctx context.Context) (http.Header, *tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.address.String()+"/setup.json", nil)
	if err != nil {
		return nil, nil, err
	}
	response, err := p.do(request)
	if err != nil {
		return nil, nil, err
	}
	return response.Header, response.TLS, response.Body.Close()
}

// upgrade opens a WebSocket as Codex does and closes it. It returns the status that the
// upgrade was answered with, 0 when it was not, and the reason of a refusal that is
// the proxy's own.
func (p *Proxy) upgrade(ctx context.Context, token string) (status int, reason string, err error) {
	conn, response, err := websocket.Dial(ctx, p.address.BaseURL()+"/responses", &websocket.DialOptions{
		HTTPClient: p.client,
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token}, "Openai-Beta": {"responses_websockets=2026-02-06"}},
	})
	if response != nil {
		status, reason = response.StatusCode, response.Header.Get("X-Codex-Proxy-Refusal")
	}
	if err != nil {
		return status, reason, err
	}
	return status, "", conn.CloseNow()
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
