package openai

import (
	"errors"
	"io"
)

// bytesPerToken is OpenAI's rule of thumb for English text and code: "1 token is
// about 4 characters" (help.openai.com, "What are tokens and how to count them").
// It is a rough one. Text in other scripts has more bytes to a character and
// fewer characters to a token, which evens out in part.
const bytesPerToken = 4

// MediaTokens is what an image or a file in the input is taken to cost, in
// tokens: a 1024x1024 image at high detail, which OpenAI's vision guide counts as
// 85 and four tiles of 170. Its bytes say nothing of its tokens.
const MediaTokens = 85 + 4*170

// EstimateOutput returns the tokens to assume for so many bytes of text in an
// answer that broke off, one for every four, rounded up. Reasoning that is not
// shown is not in it, so that it tends to be low for models that reason.
func EstimateOutput(bytes int64) int64 {
	return (max(bytes, 0) + bytesPerToken - 1) / bytesPerToken
}

// EstimateInput returns the tokens to assume for a request's body whose answer
// said nothing of usage: a quarter of the bytes of all strings in it, the
// backslashes of escapes and member names not counted, and MediaTokens for each image, file or
// sound (image_url, file_data, input_audio, any data URL). Encrypted content is
// not counted: its size says little of what it holds.
//
// A body that is cut off, or no JSON at all, is estimated from what there is.
// Memory does not grow with the body. An error is one of reading r; the tokens
// are then those of what was read.
func EstimateInput(r io.Reader) (tokens int64, err error) {
	var e estimator
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			e.read(c)
		}
		if err != nil {
			e.settle()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return EstimateOutput(e.text) + e.media*MediaTokens, err
		}
	}
}

// dataURL is how a value begins that carries its content within itself.
const dataURL = "data:"

// content is what the strings under a member are.
type content uint8

const (
	text content = iota
	media
	encrypted
)

// contentOf tells what the values of a member are. The members of image_url and
// input_audio, where these are objects, are what they are themselves.
func contentOf(name string, around content) content {
	switch name {
	case "image_url", "file_data", "input_audio":
		return media
	case "url", "data":
		return around
	case "encrypted_content":
		return encrypted
	}
	return text
}

// estimator adds up the strings of a JSON text. Whether a string is a member's
// name or a value is known only after it, by the colon.
type estimator struct {
	text, media int64 // bytes, pieces

	inString, escaped bool
	pending           bool // a string has ended and is not accounted for yet
	length            int64
	start             [32]byte // the first bytes of the string
	of                content  // what the member at hand holds
	opened            bool     // the member at hand has no value yet but what it opens
}

func (e *estimator) read(c byte) {
	switch {
	case e.escaped:
		e.escaped = false
		e.add(c)
	case e.inString && c == '\\':
		e.escaped = true
	case e.inString && c == '"':
		e.inString, e.pending = false, true
	case e.inString:
		e.add(c)
	case c == '"':
		e.settle()
		e.inString = true
	case c == ':' && e.pending:
		around := text
		if e.opened {
			around = e.of
		}
		e.of = contentOf(string(e.start[:min(e.length, int64(len(e.start)))]), around)
		e.pending, e.length, e.opened = false, 0, true
	}
}

func (e *estimator) add(c byte) {
	if e.length < int64(len(e.start)) {
		e.start[e.length] = c
	}
	e.length++
}

// settle accounts for the string at hand, which is a value or was cut off.
func (e *estimator) settle() {
	switch {
	case e.length == 0:
	case e.of == media, e.length >= int64(len(dataURL)) && string(e.start[:len(dataURL)]) == dataURL:
		e.media++
	case e.of == text:
		e.text += e.length
	}
	if e.pending {
		e.opened = false
	}
	e.pending, e.length = false, 0
}
