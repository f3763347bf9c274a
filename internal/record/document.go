package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/exchange"
)

// Format names the layout of a Document. A reader that meets another one says
// so instead of guessing.
const Format = "codex-proxy/record/1"

// Document is one record as the archive keeps it: a single JSON document,
// compressed with zstd (one or more frames), which says everything about one
// exchange without any other file.
type Document struct {
	Format   string            `json:"format"`
	Exchange exchange.Exchange `json:"exchange"`
	// Purged has a note for each time that secrets were taken out of the record
	// after it was written. A placeholder stands where one was.
	Purged  []Purge `json:"purged,omitempty"`
	Request Message `json:"request"`
	// Response is nil when the exchange ended before upstream or the proxy
	// answered.
	Response *Message `json:"response,omitempty"`
}

// Purge is the note of a purge: what was taken out of a record, and when. It
// names secrets and never tells them.
type Purge struct {
	At      time.Time      `json:"at"`
	Secrets []PurgedSecret `json:"secrets"`
	// Decoded are the sides whose bodies were kept in their content coding and
	// are kept decoded since.
	Decoded []Side `json:"decoded,omitempty"`
}

// PurgedSecret is one secret that was taken out.
type PurgedSecret struct {
	Rule        string `json:"rule"`
	Fingerprint string `json:"fingerprint"`
	// Places counts where it stood in the record.
	Places int `json:"places"`
}

// Message is one side of an exchange as it travelled, credentials removed.
type Message struct {
	// Method and URI are the request's, Status the response's.
	Method string `json:"method,omitempty"`
	URI    string `json:"uri,omitempty"`
	Status int    `json:"status,omitempty"`
	// Header and Trailer have every credential's value replaced by Removed.
	Header  http.Header `json:"headers,omitempty"`
	Trailer http.Header `json:"trailers,omitempty"`
	// Framing is "websocket" when Body holds the frames of a WebSocket, each
	// followed by a line feed.
	Framing string `json:"framing,omitempty"`
	// ContentCoding is the coding (gzip, zstd) that was undone for the record;
	// Body then holds what the coded bytes mean.
	ContentCoding string `json:"content_coding,omitempty"`
	// Body is the body up to its first byte that is not UTF-8, and BodyBase64
	// all that follows, so that the two together are the body, byte for byte.
	Body       string `json:"body"`
	BodyBase64 []byte `json:"body_base64,omitempty"`
	// Incomplete says why the body is not whole; empty when it is.
	Incomplete string `json:"incomplete,omitempty"`
}

// Removed stands in a record's headers where a credential was.
const Removed = "[removed]"

// Bytes returns the body, byte for byte.
func (m *Message) Bytes() []byte {
	return append([]byte(m.Body), m.BodyBase64...)
}

// SetBytes makes body the body, byte for byte.
func (m *Message) SetBytes(body []byte) {
	n := validPrefix(body)
	m.Body, m.BodyBase64 = string(body[:n]), nil
	if n < len(body) {
		m.BodyBase64 = append([]byte(nil), body[n:]...)
	}
}

// ErrTooLarge is wrapped by the error of a document that is larger than its
// reader wants to hold.
var ErrTooLarge = errors.New("the record is too large to be read as a whole")

// ReadDocument reads one document as the archive keeps it.
func ReadDocument(r io.Reader) (*Document, error) { return readDocument(r, math.MaxInt64) }

// readDocument reads a document of at most so many bytes, uncompressed.
func readDocument(r io.Reader, most int64) (*Document, error) {
	decoder, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("open the record's compression: %w", err)
	}
	defer decoder.Close()
	var doc Document
	limited := &io.LimitedReader{R: decoder, N: most}
	if err := json.NewDecoder(limited).Decode(&doc); err != nil {
		if limited.N == 0 {
			err = fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, most)
		}
		return nil, fmt.Errorf("decode the record: %w", err)
	}
	if doc.Format != Format {
		return nil, fmt.Errorf("the record's format is %q, and this version reads %q: use the version that wrote it, or a newer one", doc.Format, Format)
	}
	return &doc, nil
}

// Archive keeps documents under keys. It is the truth: the ledger can be
// rebuilt from it.
type Archive interface {
	// Put stores size bytes of doc under key. When it returns nil the document
	// is durable and whole; a reader never sees a part. Putting the same key
	// again replaces the document, so a retry is harmless.
	Put(ctx context.Context, key string, doc io.Reader, size int64) error
	// Get opens the document under key. The error wraps fs.ErrNotExist when
	// there is none.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// Keys yields the keys of records that began on the UTC days from first to
	// last, inclusive, in the order of days. It stops at the first error.
	Keys(ctx context.Context, first, last time.Time) iter.Seq2[string, error]
	// List yields every key that begins with prefix, a directory such as
	// "repricings/", in their order. It stops at the first error.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Key returns where the record of an exchange lives:
// YYYY/MM/DD/<developer>/<id>.json.zst, the day being the UTC day that the
// exchange began.
func Key(e exchange.Exchange) string {
	return e.Started.UTC().Format("2006/01/02/") + pathSegment(e.Developer) + "/" + e.ID + ".json.zst"
}

// pathSegment makes any name one harmless segment of a path. Developers' names
// are checked when they are added; this holds even if that check is ever wrong.
func pathSegment(name string) string {
	escaped := url.PathEscape(name)
	if strings.Trim(escaped, ".") == "" {
		return "%" + escaped
	}
	return escaped
}
