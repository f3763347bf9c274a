package contentcoding

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// reader undoes one coding; it is used for one body after another.
type reader interface {
	io.Reader
	// reset begins a body that is read from source. It returns io.EOF when source
	// has no bytes.
	reset(source io.Reader) error
}

// readers are the codings that are known, by name. A reader's tables and windows
// are large, up to 8 MiB, and are used again.
var readers = map[string]*sync.Pool{
	"gzip":    {New: func() any { return new(gzipReader) }},
	"deflate": {New: func() any { return new(deflateReader) }},
	"zstd":    {New: func() any { return new(zstdReader) }},
}

// layer undoes one of a body's codings, up to a limit of decoded bytes.
type layer struct {
	coding      string
	reader      reader
	source      io.Reader
	begun       bool
	left, limit int64
}

func newLayer(coding string, source io.Reader, limit int64) *layer {
	return &layer{coding: coding, reader: readers[coding].Get().(reader), source: source, left: limit, limit: limit}
}

// release gives the reader back, without the body.
func (l *layer) release() {
	l.reader.reset(nothing{})
	readers[l.coding].Put(l.reader)
}

// Read implements io.Reader. Its errors are io.EOF and those of this package.
func (l *layer) Read(p []byte) (n int, err error) {
	if !l.begun {
		l.begun = true
		err = l.reader.reset(l.source)
	}
	if err == nil {
		n, err = l.reader.Read(p)
	}
	if int64(n) > l.left {
		n, err = int(l.left), tooLarge(l.limit)
	}
	l.left -= int64(n)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrCorrupt), errors.Is(err, ErrTruncated):
		return n, err // of this layer, or of the one below
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, fmt.Errorf("%w (%s)", ErrTruncated, l.coding)
	}
	return n, fmt.Errorf("%w (%s: %w)", ErrCorrupt, l.coding, err)
}

// gzipReader undoes gzip (RFC 1952), of one member or more.
type gzipReader struct {
	in bufio.Reader
	gzip.Reader
}

func (r *gzipReader) reset(source io.Reader) error {
	r.in.Reset(source)
	return r.Reader.Reset(&r.in)
}

// deflateReader undoes what HTTP calls deflate: zlib (RFC 1950), and the bare
// deflate (RFC 1951) that some send under that name.
type deflateReader struct {
	in   bufio.Reader
	zlib io.ReadCloser
	bare io.ReadCloser
	body io.Reader // one of the two
}

func (r *deflateReader) reset(source io.Reader) (err error) {
	r.in.Reset(source)
	head, err := r.in.Peek(2)
	switch {
	case len(head) == 0:
		return err
	case len(head) < 2 || head[0]&0x0f != 8 || (int(head[0])<<8|int(head[1]))%31 != 0:
		if r.bare == nil {
			r.bare = flate.NewReader(&r.in)
		}
		r.body = r.bare
		return r.bare.(flate.Resetter).Reset(&r.in, nil)
	case r.zlib == nil:
		r.zlib, err = zlib.NewReader(&r.in)
	default:
		err = r.zlib.(zlib.Resetter).Reset(&r.in, nil)
	}
	r.body = r.zlib
	return err
}

func (r *deflateReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err == io.EOF {
		if _, err = r.in.Peek(1); err == nil {
			err = errors.New("bytes after the end")
		}
	}
	return n, err
}

// maxWindow is how far back zstd may reach as a content coding, in bytes, and so
// the memory that one takes (RFC 9659).
const maxWindow = 8 << 20

// zstdReader undoes zstd (RFC 8878), of one frame or more, in the goroutine that
// reads.
type zstdReader struct{ *zstd.Decoder }

func (r *zstdReader) reset(source io.Reader) (err error) {
	if r.Decoder == nil {
		r.Decoder, err = zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
	}
	return r.Reset(source)
}

// nothing is a source without bytes.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
