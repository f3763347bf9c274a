package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"time"

	"codex-proxy/internal/contentcoding"
	"codex-proxy/internal/gateway/keymask"
)

// maskingTransport masks the organisation's key in whatever upstream, or something
// before it, sends back: what it quotes of the request is neither for the developer
// nor for the record.
type maskingTransport struct {
	http.RoundTripper
	keys *keyring
}

// RoundTrip implements http.RoundTripper.
func (t *maskingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	mask := t.keys.mask.Load()
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, header textproto.MIMEHeader) error { // before whoever else looks
			mask.Fields(header)
			return nil
		},
	})
	response, err := t.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		if text := mask.Text(err.Error()); text != err.Error() {
			err = errors.New(text) // it quotes what is no HTTP
		}
		return response, err
	}
	mask.Fields(response.Header)
	response.Status = mask.Text(response.Status)
	switch {
	case response.StatusCode == http.StatusSwitchingProtocols: // its messages are masked one by one
	case !isCoded(response.Header):
		response.Body = &maskedAnswer{mask.Reader(response.Body), response, response.Body, mask}
	default:
		if response.StatusCode >= http.StatusBadRequest {
			maskCodedError(mask, response)
		}
		response.Body = &maskedAnswer{response.Body, response, response.Body, mask}
	}
	return response, nil
}

// maskedAnswer is an answer's body; it masks the trailers, which come behind it.
type maskedAnswer struct {
	io.Reader
	response *http.Response
	io.Closer
	mask *keymask.Mask
}

func (b *maskedAnswer) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.mask.Fields(b.response.Trailer)
	}
	return n, err
}

// What is read of a coded error, in bytes, to look for the key in it, and for how
// long.
const (
	maxCodedError   = 1 << 20
	codedErrorLimit = 30 * time.Second
)

// maskCodedError masks the key in an error that has a content coding: pages of
// errors are what quotes requests. With a key in it the coding is undone; else the
// body is as it came. What breaks off goes on as far as it came.
func maskCodedError(mask *keymask.Mask, response *http.Response) {
	source := response.Body
	timer := time.AfterFunc(codedErrorLimit, func() { _ = source.Close() })
	defer timer.Stop()
	sent, err := io.ReadAll(io.LimitReader(source, maxCodedError))
	rest := io.Reader(source)
	if err != nil {
		rest = failing{err}
	}
	response.Body = readCloser{io.MultiReader(bytes.NewReader(sent), rest), source}
	if len(sent) == maxCodedError {
		return
	}
	var text []byte
	coding := strings.Join(response.Header["Content-Encoding"], ",")
	decoder, ok := contentcoding.NewDecoder(coding, maxCodedError, func(p []byte) { text = append(text, p...) })
	if !ok {
		return
	}
	_, _ = decoder.Write(sent)
	_ = decoder.Close() // what cannot be decoded has no key that could be read
	if masked := mask.Bytes(text); !bytes.Equal(masked, text) {
		response.Header.Del("Content-Encoding")
		response.Header.Del("Content-Length")
		response.ContentLength = -1
		response.Body = readCloser{io.MultiReader(bytes.NewReader(masked), rest), source}
	}
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
