package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/google/uuid"
)

// kind is what an entry of the log says about its exchange.
type kind uint8

const (
	entryOpened   kind = iota + 1 // JSON: the exchange as it began
	entryAnswer                   // JSON: the answer without its body; the last one counts
	entryClosed                   // JSON: the exchange as it ended
	entrySettled                  // the exchange needs this log no more
	entryAsked                    // a chunk of the request's body
	entryAskedRaw                 // the same in base64
	entryTold                     // a chunk of the answer's body
	entryToldRaw                  // the same in base64
)

// The header of an entry, little-endian: payload length (4), CRC-32C of all that
// follows it (4), kind (1), sequence number within its exchange (4), the
// exchange's id (16).
const headerSize = 4 + 4 + 1 + 4 + 16

// maxPayload bounds what a damaged length can ask for.
const maxPayload = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendEntry appends an entry as the log holds it.
func appendEntry(dst []byte, k kind, id uuid.UUID, sequence uint32, payload []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = append(dst, 0, 0, 0, 0, byte(k))
	dst = binary.LittleEndian.AppendUint32(dst, sequence)
	dst = append(dst, id[:]...)
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

// entry is one entry as it is read back.
type entry struct {
	kind     kind
	sequence uint32
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
	length := binary.LittleEndian.Uint32(header[:])
	if length > maxPayload {
		return entry{}, fmt.Errorf("%w: a length of %d bytes", errMarred, length)
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return entry{}, fmt.Errorf("%w: the payload is cut", errTorn)
		}
		return entry{}, err
	}
	sum := crc32.Update(crc32.Checksum(header[8:], castagnoli), castagnoli, payload)
	if sum != binary.LittleEndian.Uint32(header[4:]) {
		return entry{}, fmt.Errorf("%w: the checksum differs", errMarred)
	}
	return entry{
		kind: kind(header[8]), sequence: binary.LittleEndian.Uint32(header[9:]), id: uuid.UUID(header[13:]),
		payload: payload, size: headerSize + int64(length),
	}, nil
}
