package gateway

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"codex-proxy/internal/contentcoding"
	"codex-proxy/internal/redaction"
)

// codingOf returns the content coding of a request's body, or "" for none. Two of
// them, in one line or in two, are an error: who reads them in which order is not
// known here.
func codingOf(h http.Header) (string, error) {
	lines := h["Content-Encoding"]
	switch {
	case len(lines) == 0:
		return "", nil
	case len(lines) > 1:
		return "", fmt.Errorf("%w: it has more than one line of Content-Encoding", redaction.ErrUnchecked)
	case strings.Contains(lines[0], ","):
		return "", fmt.Errorf("%w: it has more than one content coding", redaction.ErrUnchecked)
	}
	coding := strings.ToLower(strings.TrimSpace(lines[0]))
	if coding == "identity" {
		coding = ""
	}
	return coding, nil
}

// decoded returns what a body in a content coding means. It asks for room for so
// many bytes before it takes them.
func decoded(coding string, sent []byte, limit int64, room func(size int) error) ([]byte, error) {
	if coding == "" {
		return sent, nil
	}
	limit = maxUnfolded(len(sent), limit)
	// Decoded twice, so that memory is taken only for what is known to fit.
	var size int
	var text []byte
	for _, sink := range []func([]byte){
		func(p []byte) { size += len(p) },
		func(p []byte) { text = append(text, p...) },
	} {
		decoder, ok := contentcoding.NewDecoder(coding, limit, sink)
		if !ok {
			return nil, fmt.Errorf("%w: its content coding is not known here", redaction.ErrUnchecked)
		}
		_, _ = decoder.Write(sent) // Close tells
		if err := decoder.Close(); err != nil {
			return nil, fmt.Errorf("%w: its content coding cannot be undone: %w", redaction.ErrUnchecked, err)
		}
		if text == nil {
			if err := room(size); err != nil {
				return nil, err
			}
			text = make([]byte, 0, size)
		}
	}
	return text, nil
}

// holdsMore reports whether a coded body has room for words that decoding does not
// show: a name or a comment of gzip's, a frame of zstd's that is skipped, a second
// member or frame.
func holdsMore(coding string, sent []byte) bool {
	switch coding {
	case "gzip", "x-gzip":
		source := bytes.NewReader(sent)
		r, err := gzip.NewReader(source)
		if err != nil {
			return true
		}
		r.Multistream(false)
		_, err = io.Copy(io.Discard, r)
		return err != nil || source.Len() > 0 || r.Name != "" || r.Comment != "" || len(r.Extra) > 0
	case "zstd":
		end, err := zstdFrame(sent)
		return err != nil || end != len(sent)
	}
	return false
}

var errNoFrame = errors.New("not a zstd frame")

// zstdFrame returns where the frame ends that a text begins with (RFC 8878, 3.1.1).
func zstdFrame(sent []byte) (end int, err error) {
	const magic, head = 0xFD2FB528, 5
	if len(sent) < head || binary.LittleEndian.Uint32(sent) != magic {
		return 0, errNoFrame
	}
	descriptor := sent[4]
	size, single := descriptor>>6, descriptor>>5&1
	end = head + []int{0, 1, 2, 4}[descriptor&3] // the dictionary's id
	if single == 0 {
		end++ // the window
	}
	if size > 0 || single == 1 {
		end += 1 << size // the content's size
	}
	for last := false; !last; {
		if end+3 > len(sent) {
			return 0, errNoFrame
		}
		block := int(sent[end]) | int(sent[end+1])<<8 | int(sent[end+2])<<16
		last = block&1 == 1
		end += 3
		if kind := block >> 1 & 3; kind == 1 { // one byte, so many times
			end++
		} else {
			end += block >> 3
		}
	}
	if descriptor>>2&1 == 1 {
		end += 4 // the checksum
	}
	return end, nil
}
