package visit

import (
	"encoding/json"
	"net/http"
	"time"
)

// mostAsked bounds what a program asks for, in bytes.
const mostAsked = 64 << 10

// ReadJSON reads what a program asks for in JSON; example shows how it may look.
func ReadJSON(w http.ResponseWriter, r *http.Request, into any, example string) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostAsked))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return BadRequest("Send JSON such as %s.", example)
	}
	return nil
}

// Day reads a day as addresses write it; otherwise where there is none.
func Day(text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return at, BadRequest("A day is written as 2026-02-16.")
	}
	return at, nil
}
