package simulated

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// echo answers POST /v1/echo, which OpenAI does not have: exactly the bytes of
// the body, with the request's content type and content coding. The query may
// ask for
//
//	chunk=N      N bytes at a time, each flushed; 0 is all at once
//	pause=10ms   a pause between them
//	status=N     that status
//	trailer=1    a trailer, X-Body-Sha256, with the body's hash in hex
//	length=1     a declared Content-Length, instead of chunks
//	cut=N        N bytes, and then a closed connection
func (x *turn) echo() {
	h := x.w.Header()
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		// Nil keeps net/http from guessing a type that the request did not have.
		h[name] = x.r.Header.Values(name)
		if len(h[name]) == 0 {
			h[name] = nil
		}
	}
	x.chunks(x.body)
}

// bytes answers GET /v1/bytes: n bytes that depend on their position alone, with
// the parameters of echo.
func (x *turn) bytes() {
	x.w.Header().Set("Content-Type", "application/octet-stream")
	x.chunks(Bytes(x.number("n")))
}

// Bytes are the first n bytes that GET /v1/bytes sends: incompressible, and the
// same each time.
func Bytes(n int) []byte {
	data := make([]byte, n)
	source := sourceOf("bytes")
	for i := 0; i < n; i += 8 {
		word := source.Uint64()
		for j := i; j < min(i+8, n); j++ {
			data[j] = byte(word)
			word >>= 8
		}
	}
	return data
}

// chunks sends the data as the query asks.
func (x *turn) chunks(data []byte) {
	const trailer = "X-Body-Sha256"
	query, h := x.r.URL.Query(), x.w.Header()
	whole := data
	if query.Has("cut") {
		data = data[:min(len(data), x.number("cut"))]
	}
	if query.Get("trailer") == "1" {
		h.Set("Trailer", trailer)
	}
	if query.Get("length") == "1" {
		h.Set("Content-Length", strconv.Itoa(len(whole)))
	}
	status := x.number("status")
	if status < 200 || status > 999 {
		status = http.StatusOK
	}
	x.begin(status)
	if !x.send(data) {
		return
	}
	if query.Has("cut") {
		panic(http.ErrAbortHandler)
	}
	if query.Get("trailer") == "1" {
		sum := sha256.Sum256(whole)
		h.Set(trailer, hex.EncodeToString(sum[:]))
	}
}

// send writes and flushes the data in the chunks that the query asks for, and
// says whether all of it went out.
func (x *turn) send(data []byte) bool {
	control := http.NewResponseController(x.w)
	pause, _ := time.ParseDuration(x.r.URL.Query().Get("pause")) // none when unreadable
	pacer := newPacer(pause)
	defer pacer.stop()
	size := x.number("chunk")
	if size <= 0 {
		size = max(1, len(data))
	}
	for first := true; len(data) > 0; first = false {
		if !first && x.pause(x.r.Context(), pacer) != nil {
			return false
		}
		n := min(size, len(data))
		if _, err := x.w.Write(data[:n]); err != nil {
			return false
		}
		if control.Flush() != nil {
			return false
		}
		data = data[n:]
	}
	return true
}

// number reads a number from the query; 0 when there is none.
func (x *turn) number(name string) int {
	n := gjson.Parse(x.r.URL.Query().Get(name)).Int()
	return int(max(0, min(n, maxBody)))
}
