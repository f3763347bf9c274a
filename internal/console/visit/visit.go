// Package visit is one request to the console by somebody who is signed in, and how it
// is answered: with a page, with what the API tells, or with what is wrong.
package visit

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"codex-proxy/internal/console/access"
)

// APIPath begins the paths of the API, which is answered in JSON.
const APIPath = "/api/v1/"

// IsCall reports whether a request is one to the API.
func IsCall(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, APIPath) }

// Frame is what the console has around all pages.
type Frame interface {
	// Who returns who asks, for a page or by the API. It answers the request itself,
	// and returns false, when nobody is signed in.
	Who(w http.ResponseWriter, r *http.Request) (access.Viewer, bool)
	// Layout writes a page with the given title around what body writes. Body may
	// flush what it wrote.
	Layout(w http.ResponseWriter, r *http.Request, title string, body func(io.Writer) error) error
	// Hidden returns the fields that a form must have to be posted.
	Hidden(r *http.Request) template.HTML
}

// Site is what all pages of one kind have in common.
type Site struct {
	Frame Frame
	// Templates are those of the pages; "failure" shows a sentence about what is
	// wrong.
	Templates *template.Template
	Log       *slog.Logger
}

// Visit is one request by somebody who is signed in.
type Visit struct {
	W      http.ResponseWriter
	R      *http.Request
	Viewer access.Viewer

	site  *Site
	begun part
}

// part is what of an answer has begun.
type part int

const (
	nothing part = iota
	aPage
	aFile
)

// Handler makes a handler of what serves a visit. An error that is no Problem is for
// the log alone.
func (s *Site) Handler(serve func(*Visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		viewer, ok := s.Frame.Who(w, r)
		if !ok {
			return
		}
		v := &Visit{W: w, R: r, Viewer: viewer, site: s}
		if err := serve(v); err != nil {
			v.fail(err)
		}
	}
}

// Problem is an error that the visitor is told.
type Problem struct {
	// Status is the answer's; Code names the problem for programs.
	Status int
	Code   string
	// Text is a sentence or two.
	Text string
}

func (p Problem) Error() string { return p.Text }

// NotFound is the Problem of what is not there.
func NotFound(format string, args ...any) error {
	return Problem{http.StatusNotFound, "not_found", fmt.Sprintf(format, args...)}
}

// BadRequest is the Problem of a question that cannot be meant.
func BadRequest(format string, args ...any) error {
	return Problem{http.StatusBadRequest, "bad_request", fmt.Sprintf(format, args...)}
}

// Forbidden is the Problem of who may not do something.
func Forbidden(format string, args ...any) error {
	return Problem{http.StatusForbidden, "not_allowed", fmt.Sprintf(format, args...)}
}

// fail answers with an error.
func (v *Visit) fail(err error) {
	if v.R.Context().Err() != nil {
		return // nobody waits for it
	}
	shown := Problem{http.StatusInternalServerError, "unavailable", "This could not be read just now. The server's log says why."}
	if !errors.As(err, &shown) {
		v.site.Log.Error("the console could not answer", "path", v.R.URL.Path, "error", err)
	}
	switch {
	case v.begun == aFile:
		return // it is cut, which its reader sees
	case v.begun == aPage: // it says so where it ends
		err = v.Part(v.W, "failure", shown.Text)
	case IsCall(v.R):
		WriteProblem(v.W, shown)
		return
	default:
		v.W.WriteHeader(shown.Status)
		err = v.Page("Not shown", "failure", shown.Text)
	}
	if err != nil {
		v.site.Log.Error("a page of the console could not be written", "path", v.R.URL.Path, "error", err)
	}
}

// WriteProblem answers a call of the API with a problem.
func WriteProblem(w http.ResponseWriter, p Problem) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": p.Code, "message": p.Text}}) // the caller may be gone
}

// Page writes a page of one template.
func (v *Visit) Page(title, name string, data any) error {
	return v.Layout(title, func(w io.Writer) error { return v.Part(w, name, data) })
}

// Layout writes a page around what body writes.
func (v *Visit) Layout(title string, body func(io.Writer) error) error {
	v.begun = aPage
	return v.site.Frame.Layout(v.W, v.R, title, body)
}

// Part writes a part of a page.
func (v *Visit) Part(w io.Writer, name string, data any) error {
	if err := v.site.Templates.ExecuteTemplate(w, name, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// Tell answers a program in JSON.
func (v *Visit) Tell(what any) error {
	raw, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	_, err = v.File("application/json").Write(append(raw, '\n'))
	return err
}

// File begins an answer that is no page, and returns where it is written.
func (v *Visit) File(mediaType string) io.Writer {
	v.W.Header().Set("Content-Type", mediaType)
	v.begun = aFile
	return v.W
}

// Flush sends what was written. The server gives the reader time for each part.
func (v *Visit) Flush() {
	_ = http.NewResponseController(v.W).Flush() // not every writer buffers
}
