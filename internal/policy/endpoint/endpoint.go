// Package endpoint is the list of what developers may ask of upstream: method by
// method and path by path. One key of the organisation's stands behind all of
// them, so what is stored there (responses, files, batches) is everybody's, and
// what hands out credentials or runs models by itself goes round every record and
// limit. Only what Codex and the libraries need to ask a model is open unless the
// settings say otherwise.
//
// Methods and paths are compared as they are forwarded, byte for byte: another
// case, a slash too many or an escaped letter makes another path.
package endpoint

import (
	"slices"
	"strings"
)

// Body is what kind of body an endpoint's requests have. It follows from the
// endpoint, whatever the request's content type says.
type Body int

// The kinds of body.
const (
	// BodyUnknown is that of an endpoint that is not in the table.
	BodyUnknown Body = iota
	// BodyNone is no body.
	BodyNone
	// BodyJSON is one JSON text.
	BodyJSON
	// BodyForm is a form with files in it, or JSON where the content type says so.
	BodyForm
)

// Endpoint is one row of the table: methods and a path below /v1, in which "*"
// stands for one segment, whatever it holds.
type Endpoint struct {
	Methods []string
	Path    string
	Body    Body
	// Spends says that a request runs a model or another service that costs money.
	Spends bool
	// WebSocket says that requests open a WebSocket; there is no plain answer.
	WebSocket bool
}

// codex are the endpoints that Codex and the libraries need to ask a model.
var codex = []Endpoint{
	{Methods: []string{"POST"}, Path: "/responses", Body: BodyJSON, Spends: true},
	{Methods: []string{"GET"}, Path: "/responses", Body: BodyNone, Spends: true, WebSocket: true},
	{Methods: []string{"HEAD"}, Path: "/responses", Body: BodyNone}, // 'codex doctor'
	{Methods: []string{"POST"}, Path: "/responses/compact", Body: BodyJSON, Spends: true},
	{Methods: []string{"POST"}, Path: "/responses/input_tokens", Body: BodyJSON},
	{Methods: []string{"GET"}, Path: "/models", Body: BodyNone},
	{Methods: []string{"GET"}, Path: "/models/*", Body: BodyNone},
	{Methods: []string{"POST"}, Path: "/chat/completions", Body: BodyJSON, Spends: true},
	{Methods: []string{"POST"}, Path: "/completions", Body: BodyJSON, Spends: true},
	{Methods: []string{"POST"}, Path: "/embeddings", Body: BodyJSON, Spends: true},
	{Methods: []string{"POST"}, Path: "/moderations", Body: BodyJSON},
	{Methods: []string{"POST"}, Path: "/alpha/search", Body: BodyJSON, Spends: true},
	{Methods: []string{"POST"}, Path: "/images/generations", Body: BodyJSON, Spends: true},
	{Methods: []string{"POST"}, Path: "/images/edits", Body: BodyForm, Spends: true},
	{Methods: []string{"POST"}, Path: "/audio/transcriptions", Body: BodyForm, Spends: true},
	{Methods: []string{"POST"}, Path: "/audio/speech", Body: BodyJSON, Spends: true},
}

// never are the methods that no list can open. TRACE has upstream send back what
// it received, the organisation's key included, and TRACK is its name elsewhere;
// CONNECT names no path.
var never = []string{"CONNECT", "TRACE", "TRACK"}

// Codex returns the table of the endpoints that are open by default.
func Codex() []Endpoint { return slices.Clone(codex) }

// Of returns the row of the table for a method and a path below /v1, whether the
// settings open it or not. An endpoint that is not there has the zero Endpoint.
func Of(method, path string) Endpoint {
	for _, e := range codex {
		if e.matches(method, path) {
			return e
		}
	}
	return Endpoint{}
}

func (e Endpoint) matches(method, path string) bool {
	if !slices.Contains(e.Methods, method) {
		return false
	}
	for {
		want, restWanted, more := strings.Cut(e.Path, "/")
		got, rest, goes := strings.Cut(path, "/")
		if more != goes || want != got && (want != "*" || got == "") {
			return false
		}
		if !more {
			return true
		}
		e.Path, path = restWanted, rest
	}
}

// TakesForm reports whether a path below /v1 takes files as forms: those of the table
// that do, and those that only a wider list opens. All else takes JSON, and so does
// what is not known.
func TakesForm(path string) bool {
	path = strings.TrimSuffix(path, "/")
	if slices.ContainsFunc(codex, func(e Endpoint) bool { return e.Body == BodyForm && e.Path == path }) {
		return true
	}
	switch path {
	case "/files", "/audio/translations", "/images/variations", "/videos", "/skills", "/realtime/calls":
		return true
	}
	return strings.HasPrefix(path, "/uploads/") && strings.HasSuffix(path, "/parts") ||
		strings.HasPrefix(path, "/containers/") && strings.HasSuffix(path, "/files")
}

// Never reports whether no list can open a method.
func Never(method string) bool {
	return slices.ContainsFunc(never, func(name string) bool { return strings.EqualFold(method, name) })
}

// List is what the settings open. The zero List is what Codex needs.
type List struct {
	all  bool
	rows []Endpoint // nil: those of Codex
}

// All reports whether the list opens whatever upstream knows.
func (l List) All() bool { return l.all }

// Allows reports whether a request may be forwarded. path is the one below /v1,
// in the spelling in which it is forwarded.
func (l List) Allows(method, path string) bool {
	switch {
	case Never(method):
		return false
	case l.all:
		return true
	}
	rows := l.rows
	if rows == nil {
		rows = codex
	}
	return slices.ContainsFunc(rows, func(e Endpoint) bool { return e.matches(method, path) })
}
