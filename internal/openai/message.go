package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrNotUTF8 says that a text message is none.
var ErrNotUTF8 = errors.New("it is not UTF-8")

// ReadMessage reads a client's WebSocket message for ReadRequest. The error says
// why another JSON parser might take the message for something else than it is
// taken for here: it is no JSON object, or not one that names its type and all
// else that it is judged by once. What the message says as far as it was read is
// returned with it.
func ReadMessage(p []byte) (*Fields, error) {
	f := NewRequestFields()
	_, _ = f.Write(p) // never fails
	switch {
	case !utf8.Valid(p):
		return f, ErrNotUTF8
	case !json.Valid(p) || !bytes.HasPrefix(bytes.TrimLeft(p, " \t\r\n"), []byte("{")):
		return f, errors.New("it is not one JSON object and nothing else")
	}
	for _, name := range requestShape.paths {
		switch {
		case f.Repeated(name):
			return f, fmt.Errorf("it names %q more than once", name)
		case f.Respelled(name):
			return f, fmt.Errorf("it names %q in other capital letters", name)
		case f.TooLong(name):
			return f, fmt.Errorf("its %q is too long", name)
		}
	}
	if f.String("type") == "" {
		return f, errors.New(`it has no "type" that is a text`)
	}
	return f, nil
}
