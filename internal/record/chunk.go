package record

import (
	"bytes"
	"encoding/base64"
	"hash/maphash"
	"runtime"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// Bodies are cut into chunks, each of which becomes a zstd frame of its own that
// can stand between any others: settling a record only copies them. A request's
// chunks are cut at fixed positions, because Codex resends the whole history
// with every turn: the same prefix then makes the same chunks, and one that was
// packed before is not packed again.
const (
	requestChunk  = 16 << 10
	responseChunk = 8 << 10 // as thousands of answers are open at once
)

// chunk is a packed piece of a body: the inside of a JSON string, compressed.
type chunk struct {
	frame  []byte
	base64 bool // the text is base64, as the bytes are not UTF-8
}

// body cuts one body into chunks and hands them to emit.
type body struct {
	size   int // of a full chunk, in bytes
	packer *packer
	reuse  bool // full chunks are worth keeping for the next turn
	emit   func(chunk) error

	rest   []byte // what is not packed yet; at most size bytes
	binary bool   // a byte was seen that is not UTF-8
}

// write takes the next bytes of the body and keeps nothing of p.
func (b *body) write(p []byte) error {
	for len(p) > 0 {
		if len(b.rest) == 0 && len(p) >= b.size {
			n, err := b.pack(p[:b.size], false)
			if err != nil {
				return err
			}
			p = p[n:]
			continue
		}
		n := min(len(p), b.size-len(b.rest))
		b.rest = append(b.rest, p[:n]...)
		p = p[n:]
		if len(b.rest) == b.size {
			if err := b.flush(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush packs what has gathered. Unless it is the last, the beginning of a rune
// or of a base64 group stays for what follows.
func (b *body) flush(last bool) error {
	if len(b.rest) == 0 {
		return nil
	}
	n, err := b.pack(b.rest, last)
	b.rest = append(b.rest[:0], b.rest[n:]...)
	return err
}

// pack emits p, or as much of it as makes whole runes or base64 groups, and
// returns how much that was. A full chunk is never wholly left.
func (b *body) pack(p []byte, last bool) (n int, err error) {
	if b.binary {
		if n = len(p); !last {
			n -= n % 3
		}
		if n == 0 {
			return 0, nil
		}
		return n, b.emit(chunk{frame: b.packer.packBinary(p[:n]), base64: true})
	}
	reuse := b.reuse && len(p) == b.size
	if reuse {
		if known, ok := b.packer.cache.get(p); ok {
			return known.length, b.emit(chunk{frame: known.frame})
		}
	}
	n = validPrefix(p)
	if n < len(p) && (last || utf8.FullRune(p[n:])) {
		if n > 0 {
			if err := b.emit(chunk{frame: b.packer.packText(p[:n])}); err != nil {
				return 0, err
			}
		}
		b.binary = true
		m, err := b.pack(p[n:], last)
		return n + m, err
	}
	if n == 0 {
		return 0, nil
	}
	frame := b.packer.packText(p[:n])
	if reuse {
		b.packer.cache.put(p, n, frame)
	}
	return n, b.emit(chunk{frame: frame})
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
	cache   *chunkCache
	scratch sync.Pool // *[]byte, for escaped text
}

func newPacker(cacheBytes int) (*packer, error) {
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
		cache:   newChunkCache(cacheBytes),
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

// chunkCache knows the frames of chunks that were packed lately. It keeps the
// chunks too and compares them: that a record is exact rests on no hash. Old
// entries go by generations: what was not asked for during one is forgotten
// with it.
type chunkCache struct {
	seed  maphash.Seed
	limit int // of one generation, in bytes

	mu         sync.Mutex
	young, old map[uint64]*packed
	size       int
}

// packed is a chunk, and the frame of its first length bytes.
type packed struct {
	raw    []byte
	length int
	frame  []byte
}

func newChunkCache(limit int) *chunkCache {
	return &chunkCache{seed: maphash.MakeSeed(), limit: limit / 2, young: map[uint64]*packed{}}
}

func (c *chunkCache) get(raw []byte) (*packed, bool) {
	key := maphash.Bytes(c.seed, raw)
	c.mu.Lock()
	found := c.young[key]
	if found == nil {
		if found = c.old[key]; found != nil {
			c.keep(key, found)
		}
	}
	c.mu.Unlock()
	if found == nil || !bytes.Equal(found.raw, raw) {
		return nil, false
	}
	return found, true
}

func (c *chunkCache) put(raw []byte, length int, frame []byte) {
	entry := &packed{raw: bytes.Clone(raw), length: length, frame: frame}
	key := maphash.Bytes(c.seed, raw)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(key, entry)
}

// keep adds an entry to the young generation; the caller holds the lock.
func (c *chunkCache) keep(key uint64, entry *packed) {
	if c.size > c.limit {
		c.old, c.young, c.size = c.young, map[uint64]*packed{}, 0
	}
	c.young[key] = entry
	c.size += len(entry.raw) + len(entry.frame)
}
