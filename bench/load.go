package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// client returns an HTTP client that keeps enough connections.
func client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 10_000, DisableCompression: true,
		DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
	}}
}

func (g *gateway) request(ctx context.Context, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.address+"/v1/responses", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{
		"Authorization": {"Bearer " + g.token}, "Content-Type": {"application/json"}, "Originator": {"codex_exec"},
		"User-Agent": {"codex_exec/0.169.0"}, "Session-Id": {"0198a000-0000-7000-8000-000000000001"},
		"X-Codex-Turn-Metadata": {`{"session_id":"0198a000-0000-7000-8000-000000000001","thread_id":"0198a000-0000-7000-8000-000000000002","request_kind":"turn","sandbox":"danger-full-access"}`},
	}
	return r, nil
}

// exchanges sends n bodies, so many at once, and waits for the whole answers.
func (g *gateway) exchanges(ctx context.Context, n, atOnce int, body func(worker, turn int) []byte) error {
	c := client()
	defer c.CloseIdleConnections()
	var next atomic.Int64
	errs := make(chan error, atOnce)
	for worker := range atOnce {
		go func() {
			for turn := 0; ; turn++ {
				if next.Add(1) > int64(n) {
					errs <- nil
					return
				}
				if err := g.exchange(ctx, c, body(worker, turn)); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range atOnce {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func (g *gateway) exchange(ctx context.Context, c *http.Client, body []byte) error {
	r, err := g.request(ctx, body)
	if err != nil {
		return err
	}
	response, err := c.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"usage"`))) {
		err = fmt.Errorf("%s: %.200s", response.Status, answer)
	}
	return err
}

// streamed is what was seen of streams.
type streamed struct {
	mu             sync.Mutex
	firstByte      []time.Duration
	underWay       []time.Duration // from upstream's sending an event to its arrival
	events, failed int
}

// streams opens n streams at once and reads them to their end.
func (g *gateway) streams(ctx context.Context, n int, opened func()) *streamed {
	c := client()
	defer c.CloseIdleConnections()
	body := []byte(`{"model":"gpt-5.1-codex","stream":true,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]}]}`)
	var seen streamed
	var reading, done sync.WaitGroup
	for range n {
		reading.Add(1)
		done.Go(func() {
			first := sync.OnceFunc(reading.Done)
			defer first()
			if err := g.stream(ctx, c, body, &seen, first); err != nil {
				seen.mu.Lock()
				seen.failed++
				seen.mu.Unlock()
			}
		})
		time.Sleep(200 * time.Microsecond) // not one burst of connections
	}
	if opened != nil {
		reading.Wait()
		opened()
	}
	done.Wait()
	return &seen
}

func (g *gateway) stream(ctx context.Context, c *http.Client, body []byte, seen *streamed, first func()) error {
	r, err := g.request(ctx, body)
	if err != nil {
		return err
	}
	sent := time.Now()
	response, err := c.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReaderSize(response.Body, 2<<10)
	var firstByte time.Duration
	var underWay []time.Duration
	complete := false
	for {
		line, err := lines.ReadSlice('\n')
		if firstByte == 0 && len(line) > 0 {
			firstByte = time.Since(sent)
			first()
		}
		if _, stamp, ok := bytes.Cut(line, []byte(`"obfuscation":"`)); ok {
			now := time.Now().UnixNano()
			if at, err := strconv.ParseInt(string(stamp[:min(19, len(stamp))]), 10, 64); err == nil {
				underWay = append(underWay, time.Duration(now-at))
			}
		}
		complete = complete || bytes.HasPrefix(line, []byte("event: response.completed"))
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			seen.mu.Lock()
			defer seen.mu.Unlock()
			seen.firstByte = append(seen.firstByte, firstByte)
			seen.underWay = append(seen.underWay, underWay...)
			seen.events += len(underWay)
			if !complete {
				return fmt.Errorf("the stream ended early: %w", err)
			}
			return nil
		}
	}
}

// words are what the sample text is made of.
var words = strings.Fields(`func return err nil if for range package import string int64 struct type interface context
	"internal/gateway" const var switch case default := != == && || { } ( ) [ ] // TODO: handle the retry when upstream
	closes early self.assertEqual def class import os sys path join open read write close the a of to and in is it that
	/usr/local/lib/python3.11/site-packages warning: unused variable error[E0502]: cannot borrow 404 127.0.0.1 0x7ffe
	commit author date diff --git a/main.go b/main.go @@ -1,7 +1,9 @@ index build test ok FAIL PASS 0.003s`)

// text returns size bytes of something like code and the output of tools.
func text(random *rand.Rand, size int) string {
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(words[random.IntN(len(words))])
		switch random.IntN(9) {
		case 0:
			b.WriteString("\n\t")
		case 1:
			b.WriteString(strconv.Itoa(random.IntN(100_000)))
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()[:size]
}

// turns makes the bodies of a session: about size bytes of history that every
// turn resends, and 2 KB that are new in each.
func turns(seed uint64, size int, image bool) func(turn int) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	history := text(random, size*9/10) // escapes add the rest
	part := map[string]string{"type": "input_text", "text": history}
	if image {
		pixels := make([]byte, size*3/4)
		for i := range pixels {
			pixels[i] = byte(random.Uint32())
		}
		part = map[string]string{"type": "input_image", "image_url": "data:image/png;base64," + base64.StdEncoding.EncodeToString(pixels)}
	}
	head, err := json.Marshal([]any{map[string]any{"type": "message", "role": "user", "content": []any{part}}})
	if err != nil {
		panic(err) // strings and maps of strings
	}
	prefix := append([]byte(`{"model":"gpt-5.1-codex","input":`), head[:len(head)-1]...)
	return func(turn int) []byte {
		tail, err := json.Marshal(map[string]any{"type": "message", "role": "user", "content": []any{map[string]string{
			"type": "input_text", "text": text(rand.New(rand.NewPCG(seed, uint64(turn)+2)), 2<<10),
		}}})
		if err != nil {
			panic(err)
		}
		body := append(append(append([]byte(nil), prefix...), ','), tail...)
		return append(body, "]}"...)
	}
}
