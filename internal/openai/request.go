package openai

// Request is what matters of a request's body, over HTTP or in a WebSocket's
// response.create. What the body does not say is empty or false.
type Request struct {
	// Type is a WebSocket message's ("response.create"); a body over HTTP has none.
	Type string
	// StreamID is the lane of the WebSocket that a message belongs to, ResponseID
	// the response that it is about, where it is about one.
	StreamID, ResponseID string
	// Model and Tier are what is asked for; the answer says what was given.
	Model, Tier string
	// PromptCacheKey is the session's id, as Codex uses it.
	PromptCacheKey     string
	PreviousResponseID string
	Stream             bool
	// Warmup is a response.create with "generate": false, which prepares an
	// answer and asks for none.
	Warmup bool
}

var requestShape = newShape([]string{
	"type", "model", "service_tier", "prompt_cache_key", "previous_response_id", "stream", "generate",
	"stream_id", "response_id",
}).watchingCase()

// NewRequestFields returns a Fields for ReadRequest, to be given a request's body
// or a WebSocket message.
func NewRequestFields() *Fields {
	f := fieldsOf(requestShape)
	return &f
}

// ReadRequest returns what the body says that f, made by NewRequestFields, has
// been given so far.
func ReadRequest(f *Fields) Request {
	stream, _ := f.Bool("stream")
	generate, said := f.Bool("generate")
	return Request{
		Type:               f.String("type"),
		StreamID:           f.String("stream_id"),
		ResponseID:         f.String("response_id"),
		Model:              f.String("model"),
		Tier:               f.String("service_tier"),
		PromptCacheKey:     f.String("prompt_cache_key"),
		PreviousResponseID: f.String("previous_response_id"),
		Stream:             stream,
		Warmup:             said && !generate,
	}
}
