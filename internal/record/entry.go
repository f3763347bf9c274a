package record

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// kind is what an entry of the log says about its exchange.
type kind uint8

const (
	entryOpened       kind = iota + 1 // JSON: the exchange as it began
	entryAnswer                       // JSON: the answer without its body; the last one counts
	entryClosed                       // JSON: the exchange as it ended
	entrySettled                      // the exchange needs this log no more
	entryRequest                      // chunks of the request's body
	entryResponse                     // chunks of the answer's body
	entryRequestTail                  // bytes of the request's body, until its next chunks hold them
	entryResponseTail                 // the same of the answer's
)

// The header of an entry, little-endian: SHA-256 of all that follows it (32), payload
// length (4), kind (1), sequence number within its exchange (4), time in microseconds
// since 1970 (8), the exchange's id (16).
const headerSize = sha256.Size + 4 + 1 + 4 + 8 + 16

// maxPayload bounds what a damaged length can ask for.
const maxPayload = 64 << 20

// The payload of an entry of chunks has for each chunk its flags (1), the SHA-256 of
// the bytes that it stands for (32), and, unless it is a reference to a chunk that
// stands earlier in the log, the frame's length (4) and the frame.
const (
	chunkBase64    = 1 << iota // the frame's text is base64, as the bytes are not UTF-8
	chunkReference             // the frame stands elsewhere
)

// entryWriter encodes the entries that one exchange appends at once.
type entryWriter struct {
	data    []byte
	entries []pending
}

// pending is an entry that is to be written, and the exchange that waits to know its
// place.
type pending struct {
	writer *Writer
	kind   kind
	start  int // of the payload, within what is written
	length int
	chunks []chunk // whose offsets are within the payload
}

// reset makes the entryWriter one for other entries.
func (b *entryWriter) reset() {
	if b.data = b.data[:0]; cap(b.data) > largestSpare {
		b.data = nil
	}
	clear(b.entries) // not to hold on to their writers
	b.entries = b.entries[:0]
}

// begin appends the header of an entry. end completes it.
func (b *entryWriter) begin(w *Writer, k kind) {
	b.data = append(b.data, make([]byte, sha256.Size+4)...)
	b.data = append(b.data, byte(k))
	b.data = binary.LittleEndian.AppendUint32(b.data, w.sequence)
	b.data = binary.LittleEndian.AppendUint64(b.data, uint64(time.Now().UnixMicro()))
	b.data = append(b.data, w.id[:]...)
	b.entries = append(b.entries, pending{writer: w, kind: k, start: len(b.data)})
	w.sequence++
}

// end completes the entry that begin began.
func (b *entryWriter) end() {
	e := &b.entries[len(b.entries)-1]
	e.length = len(b.data) - e.start
	header := b.data[e.start-headerSize:]
	binary.LittleEndian.PutUint32(header[sha256.Size:], uint32(e.length))
	of := sha256.Sum256(header[sha256.Size:])
	copy(header, of[:])
}

// add appends an entry with a payload.
func (b *entryWriter) add(w *Writer, k kind, payload []byte) {
	b.begin(w, k)
	b.data = append(b.data, payload...)
	b.end()
}

// largestEntry is the size in bytes from which on an entry takes no more chunks.
const largestEntry = 1 << 20

// addChunks appends as many entries as the chunks need.
func (b *entryWriter) addChunks(w *Writer, k kind, chunks []chunk) {
	for len(chunks) > 0 {
		b.begin(w, k)
		e := &b.entries[len(b.entries)-1]
		n := 0
		for n < len(chunks) && len(b.data)-e.start < largestEntry {
			b.addChunk(&chunks[n], e.start)
			n++
		}
		e.chunks, chunks = chunks[:n:n], chunks[n:]
		b.end()
	}
}

func (b *entryWriter) addChunk(c *chunk, start int) {
	flags := byte(0)
	if c.base64 {
		flags |= chunkBase64
	}
	if c.reference {
		b.data = append(append(b.data, flags|chunkReference), c.sum[:]...)
		return
	}
	b.data = append(append(b.data, flags), c.sum[:]...)
	b.data = binary.LittleEndian.AppendUint32(b.data, uint32(len(c.frame)))
	c.at = place{offset: int64(len(b.data) - start), length: len(c.frame)}
	b.data = append(b.data, c.frame...)
	c.frame = nil
}

// readChunks reads the payload of an entry of chunks. The offsets of new ones are
// within the payload; references have no place yet.
func readChunks(payload []byte) (chunks []chunk, err error) {
	for at := 0; at < len(payload); {
		var c chunk
		if len(payload)-at < 1+len(c.sum) {
			return nil, fmt.Errorf("%w: a chunk is cut", errMarred)
		}
		flags := payload[at]
		c.base64 = flags&chunkBase64 != 0
		at += 1 + copy(c.sum[:], payload[at+1:])
		if flags&chunkReference == 0 {
			if len(payload)-at < 4 {
				return nil, fmt.Errorf("%w: a chunk is cut", errMarred)
			}
			length := int64(binary.LittleEndian.Uint32(payload[at:]))
			at += 4
			if length > int64(len(payload)-at) {
				return nil, fmt.Errorf("%w: a chunk is cut", errMarred)
			}
			c.at = place{offset: int64(at), length: int(length)}
			at += int(length)
		}
		c.reference = flags&chunkReference != 0
		chunks = append(chunks, c)
	}
	return chunks, nil
}

// entry is one entry as it is read back.
type entry struct {
	kind     kind
	sequence uint32
	at       time.Time
	id       uuid.UUID
	payload  []byte
	size     int64 // with the header
}

var (
	// errTorn says that a log ends in the middle of an entry.
	errTorn = errors.New("torn entry")
	// errMarred says that an entry is not as it was written: what follows cannot
	// be told apart.
	errMarred = errors.New("damaged entry")
)

// readEntry reads the next entry; io.EOF at a clean end.
func readEntry(r io.Reader) (entry, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return entry{}, fmt.Errorf("%w: the header is cut", errTorn)
		}
		return entry{}, err
	}
	fields := header[sha256.Size:]
	length := binary.LittleEndian.Uint32(fields)
	if length > maxPayload {
		return entry{}, fmt.Errorf("%w: a length of %d bytes", errMarred, length)
	}
	raw := make([]byte, len(fields)+int(length))
	copy(raw, fields)
	if _, err := io.ReadFull(r, raw[len(fields):]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return entry{}, fmt.Errorf("%w: the payload is cut", errTorn)
		}
		return entry{}, err
	}
	if sha256.Sum256(raw) != [sha256.Size]byte(header[:]) {
		return entry{}, fmt.Errorf("%w: the checksum differs", errMarred)
	}
	return entry{
		kind: kind(fields[4]), sequence: binary.LittleEndian.Uint32(fields[5:]),
		at: time.UnixMicro(int64(binary.LittleEndian.Uint64(fields[9:]))).UTC(), id: uuid.UUID(fields[17:]),
		payload: raw[len(fields):], size: headerSize + int64(length),
	}, nil
}
