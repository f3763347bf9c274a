package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startUp is the measurement of making the detector, in a fresh process.
const startUp = "start-up of the rules"

// scenario is one measurement. Its bodies are made before the clock runs.
type scenario struct {
	name, goal string
	size       int // bytes that the measured bodies have
	slow       bool
	measure    func(detector) time.Duration
}

const (
	turns    = 30
	turnSize = 50 << 10
)

func scenarios() ([]scenario, error) {
	source, err := standardLibrary()
	if err != nil {
		return nil, err
	}
	var all []scenario
	add := func(name, goal string, slow bool, before [][]byte, measured ...[]byte) {
		size := 0
		for _, body := range measured {
			size += len(body)
		}
		all = append(all, scenario{name, goal, size, slow, func(d detector) time.Duration {
			look := d.session()
			for _, body := range before {
				look(body)
			}
			began := time.Now()
			for _, body := range measured {
				look(body)
			}
			return time.Since(began)
		}})
	}
	news := toolOutput(strings.Repeat("some more text ", 136))
	history := listing(source, 1<<20)
	add("200 KB at first sight", "", false, nil, request(listing(source, 200<<10)))
	add("1 MB at first sight", "≤ 10 ms", false, nil, request(history))
	add("1 MB resent with 2 KB of news", "≤ 1 ms", false, [][]byte{request(history)}, request(append(history[:len(history):len(history)], news)))
	add("1.5 MB with an image as base64", "", false, nil, request([]string{image(1300 << 10), toolOutput(strings.Repeat("a line of the log\n", 1000))}))
	add("1.5 MB of base64 in a tool's output", "", true, nil, request([]string{toolOutput("$ base64 model.bin\n" + noise(1130<<10))}))
	items := listing(source, turns*turnSize)
	var session [][]byte
	for turn := range turns {
		session = append(session, request(items[:len(items)*(turn+1)/turns]))
	}
	add(fmt.Sprintf("%d turns, %d KB new in each", turns, turnSize>>10), "linear in what is new", true, nil, session...)
	add("of these, the first", "", false, nil, session[0])
	add("of these, the last", "", false, session[turns-2:turns-1], session[turns-1])
	return all, nil
}

// standardLibrary returns the source of net/http: what a coding agent reads.
func standardLibrary() ([]string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("ask go where its standard library is: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src", "net", "http", "*.go"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no source of net/http in %s", bytes.TrimSpace(root))
	}
	var all []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, string(text))
	}
	return all, nil
}

// listing returns size bytes of items as Codex sends them: mostly what tools
// printed, as JSON in a JSON string. A few secrets are among them.
func listing(source []string, size int) []string {
	r := rand.New(rand.NewPCG(1, 1))
	var items []string
	for i := 0; size > 0; i++ {
		for text := source[i%len(source)]; len(text) > 0 && size > 0; {
			piece := text[:min(len(text), 6000)]
			text = text[len(piece):]
			if r.IntN(20) == 0 {
				piece += "\nDATABASE_URL=postgres://app:" + fmt.Sprintf("%x", r.Uint64()) + "@db.internal/app\n"
			}
			item := toolOutput(`{"output":` + quote(piece) + `,"metadata":{"exit_code":0}}`)
			if i%3 == 0 {
				item = `{"type":"custom_tool_call_output","call_id":"call_1","output":[{"type":"input_text","text":` + quote(piece) + `}]}`
			}
			items = append(items, item)
			size -= len(item)
		}
	}
	return items
}

func request(items []string) []byte {
	return []byte(`{"model":"gpt-5","instructions":"You are a coding agent.","prompt_cache_key":"c","stream":true,"input":[` + strings.Join(items, ",") + `]}`)
}

func toolOutput(text string) string {
	return `{"type":"function_call_output","call_id":"call_1","output":` + quote(text) + `}`
}

func image(size int) string {
	return `{"type":"message","role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,` + noise(size) + `"}]}`
}

// noise returns base64 of so many random bytes.
func noise(size int) string {
	r := rand.New(rand.NewPCG(2, 2))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return base64.StdEncoding.EncodeToString(data)
}

func quote(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSpace(b.String())
}
