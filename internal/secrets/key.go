package secrets

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// Key is the installation's own key. Under it, and no other, a secret has its
// fingerprint and its placeholder; without it neither can be guessed from a
// list of common passwords. Keep it as safe as the secrets are.
type Key [32]byte

// String keeps the key out of logs and listings.
func (Key) String() string { return "secrets.Key(…)" }

// GoString keeps the key out of %#v.
func (k Key) GoString() string { return k.String() }

// NewKey returns a new key.
func NewKey() Key {
	var k Key
	rand.Read(k[:])
	return k
}

// ParseKey reads a key as Encode writes it. Its errors do not quote the key.
func ParseKey(text []byte) (Key, error) {
	var k Key
	text = bytes.TrimSpace(text)
	if len(text) != hex.EncodedLen(len(k)) {
		return Key{}, errors.New("the key is not 64 hexadecimal digits")
	}
	if _, err := hex.Decode(k[:], text); err != nil {
		return Key{}, errors.New("the key is not 64 hexadecimal digits")
	}
	return k, nil
}

// Encode returns the key for a file of its own, which only the installation may
// read.
func (k *Key) Encode() []byte {
	return append(hex.AppendEncode(nil, k[:]), '\n')
}

// Fingerprint returns 32 hex digits that name a secret without telling it.
func (k *Key) Fingerprint(value []byte) string {
	sum := k.sum("fingerprint", value)
	return hex.EncodeToString(sum[:16])
}

func (k *Key) sum(purpose string, value []byte) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(purpose))
	mac.Write([]byte{0})
	mac.Write(value)
	return mac.Sum(nil)
}
