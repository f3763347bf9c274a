package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// gateway is what is measured: a process that forwards to the upstream.
type gateway struct {
	name    string
	address string
	token   string
	process *exec.Cmd // nil when there is none between
	pids    func() []int
}

// kinds are the gateways, in the order in which they are reported.
var kinds = []string{"direct", "bare proxy", "nginx", "codex-proxy"}

// start starts a gateway on its core and waits until it answers. It returns nil
// for one that is not installed.
func start(ctx context.Context, kind, dir, binary, upstream string) (*gateway, error) {
	if kind == "direct" {
		return &gateway{name: kind, address: upstream, token: "none", pids: func() []int { return nil }}, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	listener.Close()
	g := &gateway{name: kind, address: address, token: "none"}
	var command []string
	environment := os.Environ() // Go sees the one core that it may use
	switch kind {
	case "bare proxy":
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		command = []string{self, "-bare", "http://" + upstream, "-listen", address}
	case "nginx":
		path, err := exec.LookPath("nginx")
		if err != nil {
			return nil, nil
		}
		config := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(config, []byte(nginxConfig(dir, address, upstream)), 0o600); err != nil {
			return nil, err
		}
		command = []string{path, "-c", config, "-p", dir, "-e", filepath.Join(dir, "nginx.log")}
	case "codex-proxy":
		data, err := os.MkdirTemp(dir, "data")
		if err != nil {
			return nil, err
		}
		if g.token, err = issue(ctx, binary, data); err != nil {
			return nil, err
		}
		environment = append(environment, "OPENAI_API_KEY=benchmark")
		command = []string{binary, "serve", "--data", data, "--listen", address, "--upstream", "http://" + upstream + "/v1", "--log-level", "warn"}
	}
	g.process = exec.CommandContext(ctx, "taskset", append([]string{"-c", strconv.Itoa(gatewayCore)}, command...)...)
	g.process.Env = environment
	g.process.Stderr = os.Stderr
	g.process.Cancel = func() error { return g.process.Process.Signal(os.Interrupt) }
	g.process.WaitDelay = 10 * time.Second
	if err := g.process.Start(); err != nil {
		return nil, err
	}
	g.pids = func() []int { return family(g.process.Process.Pid) }
	for range 200 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return g, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("%s does not answer", kind), g.stop())
}

func (g *gateway) stop() error {
	if g.process == nil {
		return nil
	}
	_ = g.process.Process.Signal(os.Interrupt)
	_ = g.process.Wait() // it was told to
	return nil
}

// issue adds the developer of the benchmark and returns their token.
func issue(ctx context.Context, binary, data string) (string, error) {
	out, err := exec.CommandContext(ctx, binary, "--data", data, "--init", "developer", "add", "bench@example.com", "--json").Output()
	if err != nil {
		return "", fmt.Errorf("add a developer: %w", err)
	}
	var added struct{ Token string }
	if err := json.Unmarshal(out, &added); err != nil {
		return "", fmt.Errorf("add a developer: %w", err)
	}
	return added.Token, nil
}

// serveBare is the yardstick: the standard library's reverse proxy, flushing at
// once, with nothing else.
func serveBare(ctx context.Context, listen, upstream string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 512, DisableCompression: true},
	}
	server := &http.Server{Addr: listen, Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func nginxConfig(dir, address, upstream string) string {
	return fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/nginx.pid; user root;
events { worker_connections 20000; }
http {
	access_log off; client_max_body_size 0; keepalive_requests 1000000;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	upstream openai { server %[3]s; keepalive 512; keepalive_requests 1000000; }
	server {
		listen %[2]s;
		location / {
			proxy_pass http://openai; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 300s;
		}
	}
}
`, dir, address, upstream)
}

// threads yields the threads of a process.
func threads(pid int) iter.Seq[int] {
	return func(yield func(int) bool) {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		for _, entry := range entries {
			if id, err := strconv.Atoi(entry.Name()); err == nil && !yield(id) {
				return
			}
		}
	}
}

// family returns a process and its children, such as nginx's workers.
func family(pid int) []int {
	pids := []int{pid}
	for thread := range threads(pid) {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, thread))
		for field := range strings.FieldsSeq(string(raw)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, family(child)...)
			}
		}
	}
	return pids
}

// cpu returns the processor time that the gateway has used, in nanoseconds.
func (g *gateway) cpu() (nanos int64) {
	for _, pid := range g.pids() {
		for thread := range threads(pid) {
			raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/schedstat", pid, thread))
			first, _, _ := bytes.Cut(raw, []byte(" "))
			n, _ := strconv.ParseInt(string(first), 10, 64)
			nanos += n
		}
	}
	return nanos
}

// settledCPU waits until the gateway has nothing more to do, for a few seconds
// at the most, and returns the processor time used by then.
func (g *gateway) settledCPU() int64 {
	last := g.cpu()
	for range 20 {
		time.Sleep(150 * time.Millisecond)
		now := g.cpu()
		if now-last < int64(time.Millisecond) {
			return now
		}
		last = now
	}
	return last
}

// resident returns the gateway's resident memory in bytes.
func (g *gateway) resident() (size int64) {
	for _, pid := range g.pids() {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				size += kb << 10
			}
		}
	}
	return size
}
