package simulated

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/tidwall/gjson"
)

// list is a list as OpenAI's API gives it.
type list struct {
	Object string `json:"object"`
	Data   any    `json:"data"`
}

type modelInfo struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

// modelNames are the models that are listed. A model call may name any.
func modelNames() []string {
	return []string{
		"gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-5.6-sol", "gpt-5.1", "gpt-5.1-codex",
		"gpt-5", "gpt-5-mini", "gpt-4.1", "gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "gpt-image-1",
	}
}

func describe(name string) modelInfo {
	return modelInfo{ID: name, Object: "model", Created: 1763000000, OwnedBy: "system"}
}

// models answers GET /v1/models.
func (x *turn) models() {
	infos := []modelInfo{}
	for _, name := range modelNames() {
		infos = append(infos, describe(name))
	}
	x.json(http.StatusOK, list{"list", infos})
}

// model answers GET /v1/models/{id}.
func (x *turn) model(id string) {
	for _, name := range modelNames() {
		if name == id {
			x.json(http.StatusOK, describe(name))
			return
		}
	}
	x.refuse(unknownModel(id))
}

// search answers POST /v1/alpha/search, by which Codex searches the web: a page is
// found for each question.
func (x *turn) search() {
	body, err := decoded(x.r, x.body)
	if err != nil {
		x.refuse(bodyUnreadable(err))
		return
	}
	var found strings.Builder
	for _, query := range gjson.GetBytes(body, "commands.search_query.#.q").Array() {
		fmt.Fprintf(&found, "Simulated page about %s (https://example.com/)\n", query.Str)
	}
	x.json(http.StatusOK, map[string]string{"output": found.String()})
}

// embeddings answers POST /v1/embeddings, with vectors of floats.
func (x *turn) embeddings() {
	c, ok := x.call()
	if !ok {
		return
	}
	texts := []gjson.Result{c.input}
	if c.input.IsArray() {
		texts = c.input.Array()
	}
	type vector struct {
		Object    string    `json:"object"`
		Index     int       `json:"index"`
		Embedding []float64 `json:"embedding"`
	}
	vectors := []vector{}
	var used int64
	for i, text := range texts {
		vectors = append(vectors, vector{"embedding", i, embedding(text.String(), 1536)})
		used += tokens(int64(len(text.String())))
	}
	x.json(http.StatusOK, struct {
		list
		Model string           `json:"model"`
		Usage map[string]int64 `json:"usage"`
	}{list{"list", vectors}, c.model, map[string]int64{"prompt_tokens": used, "total_tokens": used}})
}

// embedding is a unit vector that depends on the text alone.
func embedding(text string, dimensions int) []float64 {
	vector := make([]float64, dimensions)
	source := sourceOf(text)
	var length float64
	for i := range vector {
		vector[i] = source.NormFloat64()
		length += vector[i] * vector[i]
	}
	for i := range vector {
		vector[i] /= math.Sqrt(length)
	}
	return vector
}

// images answers POST /v1/images/generations with a small PNG, whose colour
// depends on the prompt.
func (x *turn) images() {
	shade := sourceOf(gjson.GetBytes(x.body, "prompt").Str).Uint32()
	picture := image.NewPaletted(image.Rect(0, 0, 64, 64), color.Palette{
		color.RGBA{byte(shade), byte(shade >> 8), byte(shade >> 16), 255},
	})
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, picture); err != nil {
		x.refuseAs(&Fault{Status: http.StatusInternalServerError, Message: err.Error()})
		return
	}
	x.json(http.StatusOK, map[string]any{
		"created": x.options.Now().Unix(),
		"data":    []map[string]string{{"b64_json": base64.StdEncoding.EncodeToString(encoded.Bytes())}},
		"usage":   map[string]int64{"input_tokens": 50, "output_tokens": 272, "total_tokens": 322},
	})
}

// file is an uploaded file.
type file struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Bytes     int64  `json:"bytes"`
	CreatedAt int64  `json:"created_at"`
	Filename  string `json:"filename"`
	Purpose   string `json:"purpose"`
	Status    string `json:"status"`
}

// upload answers POST /v1/files. The file itself is counted and dropped.
func (x *turn) upload() {
	_, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		x.refuse(invalidRequest("The Content-Type must be multipart/form-data with a boundary.", "", ""))
		return
	}
	made := file{ID: newID("file-"), Object: "file", CreatedAt: x.options.Now().Unix(), Status: "processed"}
	parts := multipart.NewReader(bytes.NewReader(x.body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			x.refuse(bodyUnreadable(err))
			return
		}
		data, err := io.ReadAll(part)
		if err != nil {
			x.refuse(bodyUnreadable(err))
			return
		}
		switch part.FormName() {
		case "purpose":
			made.Purpose = string(data)
		case "file":
			made.Filename, made.Bytes = part.FileName(), int64(len(data))
		}
	}
	if made.Filename == "" {
		x.refuse(missingParameter("file"))
		return
	}
	x.json(http.StatusOK, made)
}

// files answers GET /v1/files: nothing is stored.
func (x *turn) files() {
	x.json(http.StatusOK, list{"list", []file{}})
}
