package record

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/exchange"
)

// Side is one of the two messages of a record.
type Side string

// The sides.
const (
	SideRequest  Side = "request"
	SideResponse Side = "response"
)

const (
	// chunkSize is how much of a document is held at a time, in bytes.
	chunkSize = 64 << 10
	// factsLimit bounds the JSON of an exchange's facts, in bytes.
	factsLimit = 4 << 20
	// keyLimit bounds a member's name, in bytes.
	keyLimit = 4 << 10
)

// visitor is told what walk comes across. A function that is nil is not called;
// an error that one returns ends the walk and is returned.
type visitor struct {
	facts func(exchange.Exchange) error
	// body gets a body piece by piece, as it travelled. The piece is valid until
	// body returns.
	body func(side Side, piece []byte) error
}

// walk reads a record from end to end and never holds a whole body.
func walk(ctx context.Context, archive Source, place Place, v visitor) error {
	file, err := archive.Get(ctx, place.Key)
	if err != nil {
		return fmt.Errorf("open the record %s: %w", place.ID, err)
	}
	defer file.Close() // only read
	decoder, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return fmt.Errorf("open the compression of the record %s: %w", place.ID, err)
	}
	defer decoder.Close()
	w := walker{ctx: ctx, in: bufio.NewReaderSize(decoder, chunkSize), visitor: v}
	if err := w.document(); err != nil {
		return fmt.Errorf("read the record %s: %w", place.ID, err)
	}
	return nil
}

// walker is a reader of the JSON of one document.
type walker struct {
	ctx context.Context
	in  *bufio.Reader
	visitor
}

func (w *walker) document() error {
	return w.object(func(name string) error {
		switch name {
		case "format":
			return w.format()
		case "exchange":
			return w.exchange()
		case string(SideRequest), string(SideResponse):
			return w.message(Side(name))
		}
		return w.skip()
	})
}

func (w *walker) format() error {
	raw, err := w.value(keyLimit)
	if err != nil {
		return err
	}
	var format string
	if err := json.Unmarshal(raw, &format); err != nil {
		return err
	}
	if format != Format {
		return fmt.Errorf("its format is %q, and this version reads %q: use the version that wrote it, or a newer one", format, Format)
	}
	return nil
}

func (w *walker) exchange() error {
	raw, err := w.value(factsLimit)
	if err != nil || w.facts == nil {
		return err
	}
	var facts exchange.Exchange
	if err := json.Unmarshal(raw, &facts); err != nil {
		return fmt.Errorf("decode the facts: %w", err)
	}
	return w.facts(facts)
}

func (w *walker) message(side Side) error {
	if w.body == nil {
		return w.skip()
	}
	deliver := func(piece []byte) error { return w.body(side, piece) }
	return w.object(func(name string) error {
		switch name {
		case "body":
			return w.unescaped(deliver)
		case "body_base64":
			return w.base64(deliver)
		}
		return w.skip()
	})
}

// unescaped passes on what a string means.
func (w *walker) unescaped(deliver func([]byte) error) error {
	var u unescaper
	err := w.text(func(raw []byte) error {
		piece, _ := u.write(raw)
		return deliver(piece)
	})
	if err != nil {
		return err
	}
	piece, _ := u.flush()
	return deliver(piece)
}

// base64 passes on the bytes that a string of base64 stands for.
func (w *walker) base64(deliver func([]byte) error) error {
	var pending, decoded []byte
	err := w.text(func(raw []byte) error {
		pending = append(pending, raw...)
		whole := len(pending) / 4 * 4
		var err error
		if decoded, err = base64.StdEncoding.AppendDecode(decoded[:0], pending[:whole]); err != nil {
			return fmt.Errorf("decode a body: %w", err)
		}
		pending = append(pending[:0], pending[whole:]...)
		return deliver(decoded)
	})
	if err == nil && len(pending) > 0 {
		err = errors.New("a body's base64 breaks off")
	}
	return err
}

var errDamaged = errors.New("its JSON is damaged")

// object reads an object, or a null in its place, and calls member for each of
// its members, which must read the member's value.
func (w *walker) object(member func(name string) error) error {
	first, err := w.token()
	if err != nil {
		return err
	}
	if first == 'n' {
		_, err := w.in.Discard(len("ull"))
		return damaged(err)
	}
	if first != '{' {
		return errDamaged
	}
	for {
		next, err := w.token()
		switch {
		case err != nil:
			return err
		case next == '}':
			return nil
		case next == ',':
			continue
		case next != '"':
			return errDamaged
		}
		if err := w.in.UnreadByte(); err != nil {
			return err
		}
		raw, err := w.value(keyLimit)
		if err != nil {
			return err
		}
		var name string
		if err := json.Unmarshal(raw, &name); err != nil {
			return errDamaged
		}
		if colon, err := w.token(); err != nil || colon != ':' {
			return errors.Join(errDamaged, err)
		}
		if err := member(name); err != nil {
			return err
		}
	}
}

// token reads the next byte that is not white space.
func (w *walker) token() (byte, error) {
	for {
		b, err := w.in.ReadByte()
		if err != nil {
			return 0, damaged(err)
		}
		if b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return b, nil
		}
	}
}

// text reads a string and passes on what stands between its quotes, escapes and
// all, in pieces.
func (w *walker) text(deliver func(raw []byte) error) error {
	if quote, err := w.token(); err != nil || quote != '"' {
		return errors.Join(errDamaged, err)
	}
	escaped := false // the piece before ended inside an escape
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if _, err := w.in.Peek(1); err != nil {
			return damaged(err)
		}
		piece, err := w.in.Peek(w.in.Buffered())
		if err != nil {
			return err
		}
		end, inside := closingQuote(piece, escaped)
		ended := end >= 0
		if !ended {
			end = len(piece)
		}
		if err := deliver(piece[:end]); err != nil {
			return err
		}
		if ended {
			end++
		}
		if _, err := w.in.Discard(end); err != nil {
			return err
		}
		if ended {
			return nil
		}
		escaped = inside
	}
}

// closingQuote is where the quote is that ends a string, or -1 and whether the
// piece ends inside an escape. escaped says that its first byte is escaped.
func closingQuote(piece []byte, escaped bool) (end int, inside bool) {
	start := 0
	if escaped {
		start = 1
	}
	for {
		quote := bytes.IndexByte(piece[start:], '"')
		stop := len(piece)
		if quote >= 0 {
			stop = start + quote
		}
		slashes := 0
		for stop-slashes > start && piece[stop-slashes-1] == '\\' {
			slashes++
		}
		if quote < 0 {
			return -1, slashes%2 == 1
		}
		if slashes%2 == 0 {
			return stop, false
		}
		start = stop + 1
	}
}

// value reads one value of any kind and returns its JSON, which may not be
// longer than limit bytes.
func (w *walker) value(limit int) ([]byte, error) {
	var raw []byte
	err := w.each(func(b byte) error {
		if len(raw) == limit {
			return fmt.Errorf("a value is longer than %d bytes", limit)
		}
		raw = append(raw, b)
		return nil
	})
	return raw, err
}

// skip reads one value of any kind.
func (w *walker) skip() error { return w.each(func(byte) error { return nil }) }

// each reads one value of any kind, byte by byte.
func (w *walker) each(deliver func(byte) error) error {
	depth := 0
	for inString, escaped := false, false; ; {
		b, err := w.in.ReadByte()
		if err != nil {
			return damaged(err)
		}
		scalarEnds := depth == 0 && !inString && (b == ',' || b == '}' || b == ']')
		if scalarEnds { // it belongs to what holds the value
			return w.in.UnreadByte()
		}
		if err := deliver(b); err != nil {
			return err
		}
		switch {
		case escaped:
			escaped = false
		case inString && b == '\\':
			escaped = true
		case b == '"':
			inString = !inString
			if !inString && depth == 0 {
				return nil
			}
		case inString:
		case b == '{' || b == '[':
			depth++
		case b == '}' || b == ']':
			if depth--; depth == 0 {
				return nil
			}
		}
	}
}

// damaged says of an end that comes too early that it does.
func damaged(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("it breaks off: %w", io.ErrUnexpectedEOF)
	}
	return err
}
