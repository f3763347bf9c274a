package console

import (
	"context"
	"time"
)

// Store keeps what the console alone has: who may sign in, and who has read what
// others wrote.
type Store interface {
	// ConsoleDocument returns a document by its name, and its version, which is 0
	// where there is none.
	ConsoleDocument(ctx context.Context, name string) (content []byte, version int64, err error)
	// SetConsoleDocument puts a document in the place of the version that was read;
	// false where somebody else has since.
	SetConsoleDocument(ctx context.Context, name string, content []byte, version int64) (bool, error)
	// PutReading keeps a reading, or what has become of it.
	PutReading(ctx context.Context, r Reading) error
	// Readings returns those of somebody's words, or of all when developer is
	// empty, that began at or after a time, the newest first.
	Readings(ctx context.Context, developer string, since time.Time) ([]Reading, error)
}

// Reading is that somebody reads what a developer wrote and was answered.
type Reading struct {
	// ID is a UUIDv7.
	ID string
	At time.Time
	// Reader is who reads, and Role what they are.
	Reader string
	Role   string
	// Developer is whose words are read, and Reason why.
	Developer string
	Reason    string
	State     ReadingState
	// Until is when it ends; zero while it waits for a second person.
	Until time.Time
	// DecidedBy is the second person, where one is asked for.
	DecidedBy string
}

// ReadingState is what has become of a wish to read.
type ReadingState string

// The states.
const (
	// Asked: it waits for a second person.
	Asked ReadingState = "asked"
	// Granted: it holds until Reading.Until.
	Granted ReadingState = "granted"
	// Declined: a second person said no.
	Declined ReadingState = "declined"
)
