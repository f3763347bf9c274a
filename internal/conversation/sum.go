package conversation

import (
	"crypto/sha256"
	"hash"
	"io"
	"strings"

	"github.com/tidwall/gjson"
)

// Image is a picture that stands in a body as text.
type Image struct {
	// Media is the media type that the body claims, such as "image/png".
	Media string
	// Base64 is the picture, as it stood.
	Base64 string
}

// Sum names what an entry says: a part of a SHA-256.
type Sum [16]byte

// sumOf is the sum of an entry. The tool's name is left out of an output's, as
// only a request that has the call too tells it. What is sealed (the encrypted
// thoughts of a model) stands for all else.
func sumOf(e Entry, sealed string) (sum Sum) {
	h := sha256.New()
	field(h, string(e.Kind))
	switch {
	case sealed != "":
		field(h, sealed)
	default:
		if e.Kind != Output {
			field(h, e.Name)
		}
		field(h, strings.TrimSuffix(e.Text, "\n"))
		for _, image := range e.Images {
			field(h, image.Base64)
		}
	}
	copy(sum[:], h.Sum(nil))
	return sum
}

// field adds a text to a hash so that its end can be told.
func field(h hash.Hash, text string) {
	_, _ = io.WriteString(h, text) // a hash takes anything
	_, _ = h.Write([]byte{0})
}

// imagesIn returns the pictures that an item holds: those of a message, of a
// tool's output, and one that the model drew.
func imagesIn(item gjson.Result) (images []Image) {
	if item.Get("type").String() == "image_generation_call" {
		if drawn := item.Get("result").String(); drawn != "" {
			images = append(images, Image{Media: "image/" + drawnFormat(item), Base64: drawn})
		}
	}
	for _, list := range []string{"content", "output"} {
		parts := item.Get(list)
		if !parts.IsArray() {
			continue
		}
		parts.ForEach(func(_, part gjson.Result) bool {
			for _, path := range []string{"image_url.url", "image_url"} {
				if image, ok := dataImage(part.Get(path)); ok {
					images = append(images, image)
					break
				}
			}
			return true
		})
	}
	return images
}

// drawnFormat is the format of a picture that the model drew.
func drawnFormat(item gjson.Result) string {
	if format := item.Get("output_format").String(); format != "" {
		return format
	}
	return "png"
}

// dataImage reads a data URL of a picture.
func dataImage(url gjson.Result) (Image, bool) {
	if url.Type != gjson.String {
		return Image{}, false
	}
	header, encoded, _ := strings.Cut(url.String(), ",")
	media, isData := strings.CutPrefix(header, "data:")
	media, isBase64 := strings.CutSuffix(media, ";base64")
	if !isData || !isBase64 || !strings.HasPrefix(media, "image/") || encoded == "" {
		return Image{}, false
	}
	return Image{Media: media, Base64: encoded}, true
}
