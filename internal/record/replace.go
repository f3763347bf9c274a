package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// ErrUnchanged is what the change of Replace returns to leave a record as it is.
var ErrUnchanged = errors.New("the record is left as it is")

// Replace reads the record under a key, lets change alter it, and puts it back
// in its own place: whatever happens meanwhile, the archive has the old record
// or the new one, whole. With an error of change's the record stays as it is;
// ErrUnchanged is no error of Replace's.
//
// A record with members that this version does not know is refused, as they
// would be lost.
func Replace(ctx context.Context, archive Archive, key string, change func(*Document) error) error {
	id := placeOf(key).ID
	doc, err := readWhole(ctx, archive, key)
	if err != nil {
		return fmt.Errorf("read the record %s: %w", id, err)
	}
	err = change(doc)
	if errors.Is(err, ErrUnchanged) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("change the record %s: %w", id, err)
	}
	raw, err := doc.encode()
	if err != nil {
		return fmt.Errorf("write the record %s: %w", id, err)
	}
	if err := archive.Put(ctx, key, bytes.NewReader(raw), int64(len(raw))); err != nil {
		return fmt.Errorf("write the record %s: %w", id, err)
	}
	return nil
}

// readWhole reads a document of which nothing may be lost.
func readWhole(ctx context.Context, archive Source, key string) (*Document, error) {
	file, err := archive.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer file.Close() // only read
	unpacked, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("open its compression: %w", err)
	}
	defer unpacked.Close()
	decoder := json.NewDecoder(unpacked)
	decoder.DisallowUnknownFields()
	var doc Document
	if err := decoder.Decode(&doc); err != nil {
		return nil, fmt.Errorf("decode it whole, as a change must lose nothing of it: %w", err)
	}
	if doc.Format != Format {
		return nil, fmt.Errorf("its format is %q, and this version changes %q: use the version that wrote it, or a newer one", doc.Format, Format)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the document")
	}
	return &doc, nil
}

// encode returns the document as the archive keeps it.
func (d *Document) encode() ([]byte, error) {
	var out bytes.Buffer
	packed, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("open the compression: %w", err)
	}
	encoder := json.NewEncoder(packed)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(d)
	if err := errors.Join(err, packed.Close()); err != nil {
		return nil, fmt.Errorf("encode it: %w", err)
	}
	return out.Bytes(), nil
}
