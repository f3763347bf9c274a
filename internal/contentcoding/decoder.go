// Package contentcoding undoes the content codings of HTTP (RFC 9110, section
// 8.4) for whoever wants to read a body while its coded bytes travel on as they
// are: gzip, deflate and zstd.
//
// The coded bytes are pushed in as they pass; a goroutine decodes them. A body
// that can't be decoded never disturbs the one who pushes. Memory is flat: it
// depends neither on the body's size nor on what it claims to unfold to.
package contentcoding

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
)

// How decoding ended, when it did not end well; Decoder.Close wraps these.
var (
	// ErrTooLarge: the body unfolds to more than the limit.
	ErrTooLarge = errors.New("the decoded body is larger than the limit")
	// ErrCorrupt: the bytes are not what the coding says they are.
	ErrCorrupt = errors.New("the coded body is corrupt")
	// ErrTruncated: the bytes end too early.
	ErrTruncated = errors.New("the coded body is cut off")
)

// maxCodings is how many codings may be applied one after the other. Two is
// already rare.
const maxCodings = 3

// Decoder decodes one body. Write and Close are for one goroutine at a time.
// Every Decoder must be closed, or its goroutine stays.
type Decoder struct {
	limit int64
	sink  func([]byte)
	err   error

	left  int64         // of the limit, where there is no coding
	pipe  *pipe         // to the goroutine; nil where there is no coding
	ended chan struct{} // closed by the goroutine, after it has set err
}

// NewDecoder returns a Decoder for a body with the given Content-Encoding, such
// as "zstd" or "gzip, zstd" (applied in that order). It hands at most limit
// decoded bytes to sink, in order, which must keep nothing of what it is given.
// Sink is called by a goroutine, one call at a time, and no more after Close; for
// no coding or "identity" it is called by Write itself.
//
// ok is false for a coding that is not known, as "br" is: the body can only be
// taken as it is.
func NewDecoder(coding string, limit int64, sink func([]byte)) (d *Decoder, ok bool) {
	codings, ok := parse(coding)
	if !ok {
		return nil, false
	}
	limit = max(limit, 0)
	d = &Decoder{limit: limit, sink: sink, left: limit}
	if len(codings) > 0 {
		d.pipe = newPipe()
		d.ended = make(chan struct{})
		go func() {
			defer close(d.ended)
			d.err = d.decode(codings)
			d.pipe.abandon()
		}()
	}
	return d, true
}

// parse returns the codings in the order they were applied.
func parse(header string) (codings []string, ok bool) {
	for name := range strings.SplitSeq(header, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		switch name {
		case "", "identity":
			continue
		case "x-gzip":
			name = "gzip"
		}
		if readers[name] == nil {
			return nil, false
		}
		codings = append(codings, name)
	}
	return codings, len(codings) <= maxCodings
}

// Write takes the next coded bytes. It keeps nothing of p, and always returns
// len(p) and no error: how decoding goes is told by Close. It waits only while
// as much as the pipe holds is still to be decoded, and never once decoding has
// ended.
func (d *Decoder) Write(p []byte) (int, error) {
	if d.pipe != nil {
		d.pipe.write(p)
		return len(p), nil
	}
	some := p[:min(int64(len(p)), d.left)]
	d.left -= int64(len(some))
	if len(some) < len(p) {
		d.err = tooLarge(d.limit)
	}
	if len(some) > 0 {
		d.sink(some)
	}
	return len(p), nil
}

// Close waits until what was written has been decoded, and says how that ended:
// nil, or an error that wraps ErrTooLarge, ErrCorrupt or ErrTruncated. A body of
// no bytes at all is no error. Close may be called again.
func (d *Decoder) Close() error {
	if d.pipe != nil {
		d.pipe.close()
		<-d.ended
	}
	return d.err
}

// decode reads the pipe to its end, or to the first error.
func (d *Decoder) decode(codings []string) error {
	var body io.Reader = d.pipe
	for i := len(codings) - 1; i >= 0; i-- {
		limit := d.limit
		if i > 0 {
			limit = betweenLimit(limit)
		}
		l := newLayer(codings[i], body, limit)
		defer l.release()
		body = l
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			d.sink(buf[:n])
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// betweenLimit is the limit of what one coding makes of another: without one it
// could unfold without end to what the next takes for nothing. A body may be a
// little larger coded than it is.
func betweenLimit(limit int64) int64 {
	return limit + min(limit/8+64<<10, math.MaxInt64-limit)
}

func tooLarge(limit int64) error { return fmt.Errorf("%w of %d bytes", ErrTooLarge, limit) }

const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}
