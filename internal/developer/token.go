package developer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"strings"
)

// Prefix begins every token that the proxy makes, so that a person and a secret
// scanner recognise one.
const Prefix = "codexproxy_"

// IDLength is how many characters a token's public id has.
const IDLength = 8

const (
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	secretLength = 27 // log2(62^27) = 160.8 bits
	sumLength    = 6  // 62^6 > 2^32
	tokenLength  = len(Prefix) + IDLength + 1 + secretLength + sumLength

	// Bounds of a token that the proxy did not make, in bytes. Those that are
	// imported now have to be longer than those that ever were.
	minToken    = 8
	minImported = 16
	maxToken    = 4096
)

// Token is a developer's token in the clear: codexproxy_<id>_<secret><crc>, or
// any string that was imported. It masks itself wherever it is printed, logged
// or marshalled; only Reveal gives the text.
type Token string

// NewToken makes a token from random bytes: a public id, a secret of 160 bits,
// and the CRC-32 (IEEE) of everything before it, in base62.
func NewToken(random io.Reader) (Token, error) {
	id, err := randomText(random, IDLength)
	if err != nil {
		return "", err
	}
	return newToken(random, id)
}

// newToken makes a token with this public id.
func newToken(random io.Reader, id string) (Token, error) {
	secret, err := randomText(random, secretLength)
	if err != nil {
		return "", err
	}
	body := Prefix + id + "_" + secret
	return Token(body + checksum(body)), nil
}

// ParseToken checks a token that the proxy made for typos and returns its
// public id. It says nothing about whether the token is valid.
func ParseToken(text string) (id string, err error) {
	if !hasOurShape(text) {
		return "", errNotOurs
	}
	if body, sum := text[:tokenLength-sumLength], text[tokenLength-sumLength:]; checksum(body) != sum {
		return "", errors.New("the token's checksum does not fit, so a character is wrong: copy it again, whole")
	}
	return text[len(Prefix):][:IDLength], nil
}

var errNotOurs = fmt.Errorf("a token of this proxy's has %d characters and begins with %s: this one is cut short, too long or misshapen, or another program made it", tokenLength, Prefix)

// hasOurShape tells whether text has the very form of the tokens that the proxy
// makes, the checksum aside. Other programs make tokens that begin as ours do and
// go on otherwise.
func hasOurShape(text string) bool {
	rest, ok := strings.CutPrefix(text, Prefix)
	if !ok || len(text) != tokenLength || rest[IDLength] != '_' {
		return false
	}
	foreign := func(r rune) bool { return !strings.ContainsRune(alphabet, r) }
	return !strings.ContainsFunc(rest[:IDLength], foreign) && !strings.ContainsFunc(rest[IDLength+1:], foreign)
}

// CheckToken tells whether text can be a token at all, without any look-up: 8 to
// 4096 visible ASCII characters, and a checksum that fits where they have the very
// form of the tokens that the proxy makes. The error never quotes the token.
func CheckToken(text string) error {
	if hasOurShape(text) {
		_, err := ParseToken(text)
		return err
	}
	if len(text) < minToken || len(text) > maxToken {
		return fmt.Errorf("a token has %d to %d characters", minToken, maxToken)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return errors.New("a token holds no spaces, line breaks or characters outside ASCII")
		}
	}
	return nil
}

// CheckImported tells whether a token that exists elsewhere may be taken over:
// as CheckToken, with at least 16 characters, as fewer could be guessed from the
// hash that is kept. All that imports tokens asks here. The error never quotes the
// token.
func CheckImported(token Token) error {
	text := token.Reveal()
	if len(text) < minImported || len(text) > maxToken {
		return fmt.Errorf("a token to import has at least %d characters, and at most %d: issue a new one in place of one that is shorter or longer", minImported, maxToken)
	}
	err := CheckToken(text)
	if err != nil && hasOurShape(text) {
		return errors.New("the token has the very form of this proxy's own, but its checksum does not fit: a character is wrong, so copy it again, whole; or another program made it, so issue a new one in its place")
	}
	return err
}

// Hash is what is kept of a token. The tokens that the proxy makes are random,
// so a plain SHA-256 cannot be guessed backwards.
func (t Token) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(t)) }

// Reveal returns the token in the clear, to be shown once to its developer.
func (t Token) Reveal() string { return string(t) }

// String returns the token's public part.
func (t Token) String() string {
	if id, err := ParseToken(string(t)); err == nil {
		return Prefix + id + "_…"
	}
	return "[token]"
}

// Format masks the token under every verb of package fmt.
func (t Token) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, t.String()) }

// LogValue masks the token in logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText masks the token in JSON and the like.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// randomText returns n characters of the alphabet, each equally likely.
func randomText(random io.Reader, n int) (string, error) {
	const fair = 256 - 256%len(alphabet) // bytes from here on would favour some
	text := make([]byte, 0, n)
	var buffer [32]byte
	for {
		if _, err := io.ReadFull(random, buffer[:]); err != nil {
			return "", fmt.Errorf("read random bytes: %w", err)
		}
		for _, b := range buffer {
			if int(b) >= fair {
				continue
			}
			if text = append(text, alphabet[int(b)%len(alphabet)]); len(text) == n {
				return string(text), nil
			}
		}
	}
}

func checksum(body string) string {
	return inAlphabet(uint64(crc32.ChecksumIEEE([]byte(body))), sumLength)
}

// inAlphabet writes the last digits of a number, in base62.
func inAlphabet(number uint64, digits int) string {
	text := make([]byte, digits)
	for i := digits - 1; i >= 0; i-- {
		text[i] = alphabet[number%uint64(len(alphabet))]
		number /= uint64(len(alphabet))
	}
	return string(text)
}
