// Package secrets finds credentials in text, replaces them by placeholders and
// puts them back.
//
// The problem: developers paste keys, and tools print the files that hold them,
// so secrets reach a model's prompt, mostly as text inside JSON inside a JSON
// string. A Scanner finds them in any text, whatever it is wrapped in; a Vault
// belongs to one conversation, replaces what a policy tells it to replace in a
// request's body, and remembers in memory, and nowhere else, what each
// placeholder stands for; a Restorer undoes it in the answer.
//
// The invariants:
//   - No secret is stored, logged or returned: a Finding has offsets and a rule.
//   - Only the bytes of a secret change; every other byte stays as it was.
//   - The same secret gives the same placeholder, in every turn and after every
//     restart, so that the model's prompt cache keeps hitting.
//   - What was replaced once in a conversation is replaced wherever it returns.
//
// Not looked into, and never altered, are a few members by their place in a
// request (see rootPlace): documented ids, ciphertext, and the data of images,
// audio and files. A secret in one of these leaves.
//
// The package knows nothing of HTTP, of records or of who is asking.
package secrets

// Class says how sure a rule is of what it found.
type Class uint8

const (
	// Suspicious rests on a name or on randomness: "token = ...".
	Suspicious Class = iota
	// Distinctive rests on the form of the value itself or of what holds it: a
	// documented prefix, a PEM block, a password inside a URL.
	Distinctive
)

// String returns the class as it is written in settings and listings.
func (c Class) String() string {
	if c == Distinctive {
		return "distinctive"
	}
	return "suspicious"
}

// Encoding says what a secret is wrapped in where it was found.
type Encoding uint8

const (
	Plain  Encoding = iota
	JSON            // the span is part of a JSON string and has its escapes
	URL             // the span is percent-encoded
	Base64          // the span is a whole run of base64, of which the secret is a part
)

// String returns the encoding's usual name.
func (e Encoding) String() string {
	return [...]string{"plain", "json", "url", "base64"}[e]
}

// Finding is one secret seen in a text. It never holds the secret.
type Finding struct {
	// Rule is the id of the rule that matched, such as "github-token".
	Rule string
	// Class is the rule's certainty.
	Class Class
	// Start and End are the bytes of the text, as it was given, that the secret
	// takes, encoded as Encoding says.
	Start, End int
	// Encoding is the outermost wrapping of those bytes.
	Encoding Encoding
}

// rule is what a matcher reports: a name, its certainty and its rank. Where two
// matches overlap the higher rank stays.
type rule struct {
	id    string
	class Class
	rank  uint8
}

const (
	rankName  = 1 // a telling name
	rankPlace = 2 // the place that holds it: a URL, a header, a .netrc
	rankForm  = 3 // the form of the value itself
)
