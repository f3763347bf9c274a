package dynamodb

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// packed is a value in few bytes: JSON under zstd.
type packed []byte

// mostUnpacked bounds what a packed value can unpack to, in bytes.
const mostUnpacked = 64 << 20

// coders are made once; their *All methods may be called concurrently.
var coders = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	// These fail only on options that do not fit together.
	encoder, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	decoder, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostUnpacked))
	return encoder, decoder
})

func pack(value any) (packed, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	encoder, _ := coders()
	return encoder.EncodeAll(raw, nil), nil
}

func (p packed) unpack(into any) error {
	_, decoder := coders()
	raw, err := decoder.DecodeAll(p, nil)
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("an item is not as this program writes them: %w", err)
	}
	return nil
}
