package simulated

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"
)

// call is one model call: the body of POST /v1/responses or of
// /v1/chat/completions, or a response.create frame. Only its top level is read
// at once; the conversation, which is nearly all of it, when somebody asks.
type call struct {
	model       string
	serviceTier string
	cacheKey    string
	previousID  string
	stream      bool
	warmUp      bool // generate is false
	reasoning   bool // encrypted reasoning is to be included
	usage       bool // chat: stream_options.include_usage

	input, tools gjson.Result
	size         int64        // bytes
	before       conversation // what previousID stands for
	read         *conversation
}

// readCall reads a call's top level in one pass.
func readCall(body []byte) (*call, *apiError) {
	if !gjson.ValidBytes(body) {
		return nil, notJSON()
	}
	c := &call{size: int64(len(body))}
	gjson.ParseBytes(body).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "model":
			c.model = strings.Clone(value.Str)
		case "service_tier":
			c.serviceTier = strings.Clone(value.Str)
		case "prompt_cache_key":
			c.cacheKey = strings.Clone(value.Str)
		case "previous_response_id":
			c.previousID = strings.Clone(value.Str)
		case "stream":
			c.stream = value.Bool()
		case "generate":
			c.warmUp = value.Type == gjson.False
		case "include":
			c.reasoning = strings.Contains(value.Raw, "reasoning.encrypted_content")
		case "stream_options":
			c.usage = value.Get("include_usage").Bool()
		case "input", "messages":
			c.input = value
		case "tools":
			c.tools = value
		}
		return true
	})
	if c.model == "" {
		return nil, missingParameter("model")
	}
	return c, nil
}

// conversation is what matters of everything said so far. It holds no part of
// the body it was read from.
type conversation struct {
	// prompt is the text of the user's last message, and outputs how many tool
	// outputs came after it.
	prompt  string
	outputs int
	shell   shell
	// compaction says that the last item asks for the history to be compacted.
	compaction bool
	// size is everything said so far, in bytes.
	size int64
	// reasoning says that encrypted reasoning may be part of the answer.
	reasoning bool
}

// conversation reads the input, which continues what was before. It reads once.
func (c *call) conversation() conversation {
	if c.read == nil {
		now := c.readConversation()
		c.read = &now
	}
	return *c.read
}

func (c *call) readConversation() conversation {
	now := c.before
	now.size += c.size
	now.reasoning = c.reasoning
	now.compaction = false
	now.offer(c.tools)
	if c.input.Type == gjson.String {
		now.prompt, now.outputs = strings.Clone(c.input.Str), 0
		return now
	}
	c.input.ForEach(func(_, item gjson.Result) bool {
		kind := item.Get("type").Str
		now.compaction = kind == "compaction_trigger"
		switch {
		case item.Get("role").Str == "user":
			now.prompt, now.outputs = messageText(item.Get("content")), 0
		case kind == "additional_tools":
			now.offer(item.Get("tools"))
		case strings.HasSuffix(kind, "_call_output"):
			now.outputs++
		}
		return true
	})
	return now
}

// offer looks for a way to run commands in a list of tools, namespaces included.
func (c *conversation) offer(tools gjson.Result) {
	tools.ForEach(func(_, tool gjson.Result) bool {
		name := tool.Get("name").Str
		switch tool.Get("type").Str {
		case "namespace":
			c.offer(tool.Get("tools"))
		case "custom":
			if name == "exec" {
				c.shell = shellCode
			}
		case "function":
			if name == "exec_command" {
				c.shell = shellFunction
			}
		}
		return true
	})
}

// messageText joins the texts of a message's content.
func messageText(content gjson.Result) string {
	if content.Type == gjson.String {
		return strings.Clone(content.Str)
	}
	var text strings.Builder
	content.ForEach(func(_, part gjson.Result) bool {
		text.WriteString(part.Get("text").Str)
		return true
	})
	return text.String()
}

// decoded undoes the content coding of a request's body.
func decoded(r *http.Request, body []byte) ([]byte, error) {
	var reader io.Reader
	switch coding := r.Header.Get("Content-Encoding"); coding {
	case "", "identity":
		return body, nil
	case "gzip":
		unzip, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("undo gzip: %w", err)
		}
		reader = unzip
	case "zstd":
		unzstd, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("undo zstd: %w", err)
		}
		defer unzstd.Close()
		reader = unzstd
	default:
		return nil, fmt.Errorf("its content-encoding %q is not supported", coding)
	}
	plain, err := io.ReadAll(io.LimitReader(reader, maxBody))
	if err != nil {
		return nil, fmt.Errorf("undo its content-encoding: %w", err)
	}
	return plain, nil
}

// promptCache remembers the last input's size under each prompt_cache_key.
type promptCache struct {
	mu    sync.Mutex
	sizes map[string]int64 // tokens
}

// maxCacheKeys bounds a promptCache.
const maxCacheKeys = 10_000

// cached notes the input, in tokens, and returns how many of them the cache
// held: those of the key's previous input, in blocks of 128 and at least 1024,
// as OpenAI counts them.
func (p *promptCache) cached(key string, input int64) int64 {
	if key == "" {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	held := min(p.sizes[key], input) / 128 * 128
	if len(p.sizes) >= maxCacheKeys {
		clear(p.sizes)
	}
	p.sizes[key] = input
	if held < 1024 {
		return 0
	}
	return held
}
