package exchange

import "time"

// Running is what is known of an exchange while it runs. Sizes are bytes.
type Running struct {
	ID        string
	Started   time.Time
	Developer string
	Team      string
	Session   string
	// Client is the client's User-Agent.
	Client    string
	Transport Transport
	// Model is the one that the answer names, or else that the request asks for;
	// empty until either is known.
	Model string
	// RequestBytes and ResponseBytes have been received and passed on so far.
	RequestBytes, ResponseBytes int64
	// Events counts the events of the answer so far, and OutputTokens estimates
	// the tokens of their text.
	Events, OutputTokens int64
	// Stopping says that somebody has stopped it, and that it is about to end.
	Stopping bool
}
