package simulated

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// apiError is an error as OpenAI's API gives it. Empty code and param are null.
type apiError struct {
	status  int
	header  http.Header
	message string
	kind    string
	code    string
	param   string
	resets  int64 // unix seconds; 0 leaves it out
}

// object is the error's JSON object.
func (e *apiError) object() json.RawMessage {
	return marshal(struct {
		Message  string  `json:"message"`
		Type     string  `json:"type"`
		Param    *string `json:"param"`
		Code     *string `json:"code"`
		ResetsAt int64   `json:"resets_at,omitempty"`
	}{e.message, e.kind, orNull(e.param), orNull(e.code), e.resets})
}

// orNull returns nil, JSON's null, for the empty string.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// refuse answers with the error.
func (x *turn) refuse(e *apiError) {
	for name, values := range e.header {
		x.w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	x.json(e.status, struct {
		Error json.RawMessage `json:"error"`
	}{e.object()})
}

func invalidRequest(message, code, param string) *apiError {
	return &apiError{status: http.StatusBadRequest, message: message, kind: "invalid_request_error", code: code, param: param}
}

func bodyUnreadable(err error) *apiError {
	return invalidRequest("The request's body could not be read: "+err.Error(), "", "")
}

func notJSON() *apiError {
	return invalidRequest("We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)", "", "")
}

func missingParameter(name string) *apiError {
	return invalidRequest("Missing required parameter: '"+name+"'.", "missing_required_parameter", name)
}

func unknownPrevious(id string) *apiError {
	return invalidRequest("Previous response with id '"+id+"' not found.", "previous_response_not_found", "previous_response_id")
}

func unknownURL(method, path string) *apiError {
	return &apiError{
		status: http.StatusNotFound, kind: "invalid_request_error",
		message: fmt.Sprintf("Invalid URL (%s %s)", method, path),
	}
}

func unknownModel(id string) *apiError {
	return &apiError{
		status: http.StatusNotFound, kind: "invalid_request_error", code: "model_not_found", param: "model",
		message: fmt.Sprintf("The model '%s' does not exist or you do not have access to it.", id),
	}
}

// wrongKey is the 401 for a missing or unknown key, which it masks as OpenAI does.
func wrongKey(authorization string) *apiError {
	e := &apiError{
		status: http.StatusUnauthorized, kind: "invalid_request_error",
		header: http.Header{"Www-Authenticate": {`Bearer realm="OpenAI API"`}},
	}
	key, _ := strings.CutPrefix(authorization, "Bearer ")
	if key == "" {
		e.message = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from https://platform.openai.com/account/api-keys."
		return e
	}
	e.code = "invalid_api_key"
	e.message = "Incorrect API key provided: " + mask(key) + ". You can find your API key at https://platform.openai.com/account/api-keys."
	return e
}

// mask shows the two ends of a long key and nothing of a short one.
func mask(key string) string {
	if len(key) < 16 {
		return strings.Repeat("*", len(key))
	}
	return key[:3] + strings.Repeat("*", len(key)-7) + key[len(key)-4:]
}

// apiError is the error that a fault refuses or fails with.
func (f *Fault) apiError() *apiError {
	e := &apiError{status: f.Status, header: f.Header}
	switch f.Status {
	case http.StatusUnauthorized:
		e.message, e.kind, e.code = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.", "invalid_request_error", "invalid_api_key"
	case http.StatusForbidden:
		e.message, e.kind, e.code = "Your organization does not have access to this resource.", "invalid_request_error", "unsupported_country_region_territory"
	case http.StatusTooManyRequests:
		e.message, e.kind, e.code = "Rate limit reached for requests. Please try again in 1s.", "requests", "rate_limit_exceeded"
	case http.StatusInternalServerError:
		e.message, e.kind = "The server had an error while processing your request. Sorry about that!", "server_error"
	case http.StatusServiceUnavailable:
		e.message, e.kind = "The server is temporarily unable to handle the request. Please try again later.", "server_error"
	case 0: // a failed event
		e.message, e.code = "The model could not finish this answer.", "server_error"
	default:
		e.message, e.kind = http.StatusText(f.Status)+".", "invalid_request_error"
	}
	e.message = cmp.Or(f.Message, e.message)
	e.kind = cmp.Or(f.Type, e.kind)
	e.code = cmp.Or(f.Code, e.code)
	if f.Type != "" {
		e.code = f.Code // the default belongs to the default type
	}
	if !f.ResetsAt.IsZero() {
		e.resets = f.ResetsAt.Unix()
	}
	return e
}
