package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"runtime"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// Bodies are cut into chunks, each of which becomes a zstd frame of its own that
// can stand between any others: settling a record only copies them. A request's
// chunks are cut at fixed positions, because Codex resends the whole history
// with every turn: the same prefix then makes the same chunks, and the log refers
// to one that it holds already.
const (
	requestChunk  = 16 << 10
	responseChunk = 8 << 10 // as thousands of answers are open at once
)

// chunk is a piece of a body: the inside of a JSON string, compressed.
type chunk struct {
	sum       sum    // of the bytes that it stands for
	base64    bool   // the text is base64, as the bytes are not UTF-8
	reference bool   // the log holds it already
	shared    bool   // later bodies may refer to it
	at        place  // where its frame stands in the log, once it does
	frame     []byte // nil when it stands in the log
}

// reader returns a reader of the chunk's frame.
func (c *chunk) reader() io.Reader {
	if c.frame != nil {
		return bytes.NewReader(c.frame)
	}
	return io.NewSectionReader(c.at.segment.file, c.at.offset, c.size())
}

// size returns the size of the chunk's frame, in bytes.
func (c *chunk) size() int64 {
	if c.frame != nil {
		return int64(len(c.frame))
	}
	return int64(c.at.length)
}

// body cuts one body into chunks.
type body struct {
	size   int // of a full chunk, in bytes
	packer *packer
	// find returns where the log holds a full chunk; nil for bodies that nobody
	// resends.
	find func(sum) (place, bool)

	rest   []byte  // what is not packed yet; at most size bytes
	tail   int     // how much of the rest is in the log as it is
	binary bool    // a byte was seen that is not UTF-8
	packed []chunk // and not given to the log yet

	chunks []chunk // those that the log has, in their order
	broken bool    // a chunk was lost: what follows would not be what follows
}

// write takes the next bytes of the body and keeps nothing of p.
func (b *body) write(p []byte) {
	for len(p) > 0 {
		if len(b.rest) == 0 && len(p) >= b.size {
			p = p[b.pack(p[:b.size], false):]
			continue
		}
		n := min(len(p), b.size-len(b.rest))
		b.rest = append(b.rest, p[:n]...)
		p = p[n:]
		if len(b.rest) == b.size {
			b.packRest(false)
		}
	}
}

// packRest packs what has gathered. Unless it is the last, the beginning of a rune
// or of a base64 group stays for what follows.
func (b *body) packRest(last bool) {
	if len(b.rest) > 0 {
		n := b.pack(b.rest, last)
		b.rest = append(b.rest[:0], b.rest[n:]...)
		b.tail = 0 // the chunk takes its place
	}
	if last {
		b.rest = nil
	}
}

// pack packs p, or as much of it as makes whole runes or base64 groups, and
// returns how much that was. A full chunk is never wholly left.
func (b *body) pack(p []byte, last bool) (n int) {
	n = len(p)
	if !last && b.binary {
		n -= n % 3
	} else if !last {
		n -= tornRune(p)
	}
	if n == 0 {
		return 0
	}
	c := chunk{sum: sha256.Sum256(p[:n]), base64: b.binary}
	if b.find != nil && len(p) == b.size && !b.binary {
		c.shared = true
		c.at, c.reference = b.find(c.sum)
	}
	switch {
	case c.reference: // so it is text
	case b.binary:
		c.frame = b.packer.packBinary(p[:n])
	case !utf8.Valid(p[:n]):
		return b.turnBinary(p, last)
	default:
		c.frame = b.packer.packText(p[:n])
	}
	b.packed = append(b.packed, c)
	return n
}

// turnBinary packs p, in which the body's first bytes are that are no text.
func (b *body) turnBinary(p []byte, last bool) int {
	n := validPrefix(p)
	if n > 0 {
		b.packed = append(b.packed, chunk{sum: sha256.Sum256(p[:n]), frame: b.packer.packText(p[:n])})
	}
	b.binary = true
	return n + b.pack(p[n:], last)
}

// tornRune returns how many bytes at p's end begin a rune that what follows may
// complete.
func tornRune(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if end := p[len(p)-n:]; utf8.RuneStart(end[0]) {
			if utf8.FullRune(end) {
				return 0
			}
			return n
		}
	}
	return 0
}

// keep takes up chunks that are in the log.
func (b *body) keep(chunks []chunk) {
	if !b.broken {
		b.chunks = append(b.chunks, chunks...)
	}
}

// validPrefix returns the length of p's longest beginning that is valid UTF-8.
func validPrefix(p []byte) int {
	if utf8.Valid(p) {
		return len(p)
	}
	n := 0
	for {
		r, size := utf8.DecodeRune(p[n:])
		if r == utf8.RuneError && size <= 1 {
			return n
		}
		n += size
	}
}

// packer turns text into frames.
type packer struct {
	encoder *zstd.Encoder
	scratch sync.Pool // *[]byte, for escaped text
}

func newPacker() (*packer, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithWindowSize(64<<10), // a frame holds less
		zstd.WithLowerEncoderMem(true),
	)
	if err != nil {
		return nil, err
	}
	return &packer{
		encoder: encoder,
		scratch: sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

// packText returns the frame of text as it stands inside a JSON string.
func (k *packer) packText(text []byte) []byte {
	return k.with(func(b []byte) []byte { return appendEscaped(b, text) })
}

// packBinary returns the frame of bytes as base64.
func (k *packer) packBinary(p []byte) []byte {
	return k.with(func(b []byte) []byte { return base64.StdEncoding.AppendEncode(b, p) })
}

// packRaw returns the frame of bytes as they are.
func (k *packer) packRaw(p []byte) []byte { return k.encoder.EncodeAll(p, nil) }

func (k *packer) with(build func([]byte) []byte) []byte {
	buffer := k.scratch.Get().(*[]byte)
	defer k.scratch.Put(buffer)
	*buffer = build((*buffer)[:0])
	return k.encoder.EncodeAll(*buffer, nil)
}

// escapes says for each byte whether JSON needs it escaped in a string (RFC
// 8259, section 7), and how.
var escapes = func() (table [256]string) {
	const hex = "0123456789abcdef"
	for c := range 0x20 {
		table[c] = `\u00` + string(hex[c>>4]) + string(hex[c&15])
	}
	table['"'], table['\\'] = `\"`, `\\`
	table['\n'], table['\r'], table['\t'] = `\n`, `\r`, `\t`
	return table
}()

// appendEscaped appends text, which is valid UTF-8, as it stands inside a JSON
// string. Only what must be escaped is.
func appendEscaped(dst, text []byte) []byte {
	from := 0
	for i, c := range text {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		dst = append(dst, escapes[c]...)
		from = i + 1
	}
	return append(dst, text[from:]...)
}
