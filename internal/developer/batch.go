package developer

import (
	"context"
	"errors"
)

// ErrChanged: the developer is no longer as they were when the change was made up.
var ErrChanged = errors.New("was changed meanwhile")

// ErrHalfDone: a part of a batch is done, each developer whole or not at all, and
// the rest is not. To finish it, apply the very same batch again, which finds what
// it has done; or work out anew what is left.
var ErrHalfDone = errors.New("done in part")

// Batch is what is to be done about many developers at once.
type Batch struct {
	// Add are new developers.
	Add []Developer
	// Change are changes of developers that exist.
	Change []Change
	// Tokens are new tokens, of developers in Add or of others.
	Tokens []Credential
}

// Change is one developer before and after. The id and Created stay as they are.
type Change struct{ Before, After Developer }

// Batcher does many things to the developers of a store at once.
type Batcher interface {
	// ApplyBatch does all of a batch, or nothing of it when it returns an error
	// other than ErrHalfDone, which only a store without transactions returns: when
	// it breaks down, or somebody else comes between, in the middle.
	// ErrExists: a developer or token to add already does. ErrNotFound: a
	// developer to change, or whose token it is, does not exist. ErrChanged: a
	// developer is not as Before says (the times aside).
	ApplyBatch(ctx context.Context, batch Batch) error
}
