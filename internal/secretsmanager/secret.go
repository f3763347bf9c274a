// Package secretsmanager reads a secret, such as OpenAI's key, from AWS Secrets
// Manager, and keeps it at hand: rotating it there needs no restart.
package secretsmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
)

const (
	// Lifetime is how long a secret is used before it is read again.
	Lifetime = 5 * time.Minute
	// Pause is the least time between two readings, whatever they are for and
	// however they end.
	Pause = 30 * time.Second

	// attempts is how often one reading is tried, and callLimit bounds it with
	// all its attempts.
	attempts  = 3
	callLimit = 2 * time.Second
)

// Connect returns a client whose attempts are bounded.
func Connect(config aws.Config) *sdk.Client {
	return sdk.NewFromConfig(config, func(o *sdk.Options) {
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = attempts
			r.MaxBackoff = 200 * time.Millisecond
		})
	})
}

// Options are what a Secret needs besides its id.
type Options struct {
	// Member is the member of a secret that is a JSON object, as the console
	// makes them, and may be empty if there is only one.
	Member string
	Log    *slog.Logger
	// Now tells the time (time.Now, outside tests).
	Now func() time.Time
}

// Secret is a secret at hand, as a value that masks itself. Its text is in no
// error and no log.
type Secret[T comparable] struct {
	api     *sdk.Client
	id      string
	parse   func(text string) (T, error)
	options Options

	mu      sync.Mutex
	value   T
	read    time.Time // when value was read
	tried   time.Time // when a reading last began
	reading bool
}

// Open reads the secret with this name or ARN. parse makes the value of its text;
// its errors must not hold the text.
func Open[T comparable](ctx context.Context, api *sdk.Client, id string, parse func(text string) (T, error), o Options) (*Secret[T], error) {
	s := &Secret[T]{api: api, id: id, parse: parse, options: o}
	value, err := s.ask(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the secret %s: %w", id, err)
	}
	s.value, s.read, s.tried = value, o.Now(), o.Now()
	return s, nil
}

// Value returns the secret. When it is older than Lifetime, one caller reads it
// again first, which takes 2 seconds at most, and the others go on with the one
// before; so does everybody when it cannot be read.
func (s *Secret[T]) Value(ctx context.Context) T {
	s.mu.Lock()
	value := s.value
	due := s.options.Now().Sub(s.read) >= Lifetime && s.begin()
	s.mu.Unlock()
	if due {
		value = s.again(ctx)
	}
	return value
}

// Refused tells that upstream has refused a value. Unless there is another one
// already, the secret is read again, once however many callers say so, and not
// sooner than Pause after the last time. It returns whether there is another one
// now.
func (s *Secret[T]) Refused(ctx context.Context, value T) bool {
	s.mu.Lock()
	current := s.value
	due := current == value && s.begin()
	s.mu.Unlock()
	if due {
		current = s.again(ctx)
	}
	return current != value
}

// begin begins a reading, unless there is one or there was one just now. It is
// called with the lock held.
func (s *Secret[T]) begin() bool {
	now := s.options.Now()
	if s.reading || now.Sub(s.tried) < Pause {
		return false
	}
	s.reading, s.tried = true, now
	return true
}

// again ends a reading that has begun and returns the secret, which stays as it
// was when it cannot be read. A caller that goes away does not end it.
func (s *Secret[T]) again(ctx context.Context) T {
	value, err := s.ask(context.WithoutCancel(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
	if err != nil {
		s.options.Log.ErrorContext(ctx, "secret cannot be read again; the one from before stays in use", "secret", s.id, "error", err)
		return s.value
	}
	if value != s.value {
		s.options.Log.InfoContext(ctx, "secret has changed and is in use", "secret", s.id)
	}
	s.value, s.read = value, s.options.Now()
	return value
}

// ask reads the secret's current version.
func (s *Secret[T]) ask(ctx context.Context) (value T, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	out, err := s.api.GetSecretValue(ctx, &sdk.GetSecretValueInput{SecretId: &s.id})
	if err != nil {
		return value, explain(err)
	}
	if out.SecretString == nil {
		return value, errors.New("it is binary: store the key as text")
	}
	text, err := member(*out.SecretString, s.options.Member)
	if err != nil {
		return value, err
	}
	return s.parse(text)
}

// member returns a member of a secret that is a JSON object, and any other
// secret as it is.
func member(secret, name string) (string, error) {
	if !strings.HasPrefix(strings.TrimSpace(secret), "{") {
		return secret, nil
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(secret), &members); err != nil {
		return "", errors.New("it begins like a JSON object and is none: store the key as text alone")
	}
	if name == "" && len(members) == 1 {
		for only := range members {
			name = only
		}
	}
	text, isText := members[name].(string)
	if !isText {
		return "", fmt.Errorf("it is a JSON object of %d members without a text %q: name the member that holds the key, or store the key as text alone", len(members), name)
	}
	return text, nil
}

// explain adds to Secrets Manager's errors what they mean for whoever runs the
// proxy.
func explain(err error) error {
	var said smithy.APIError
	if !errors.As(err, &said) {
		return err
	}
	advice := ""
	switch said.ErrorCode() {
	case "ResourceNotFoundException":
		advice = "there is no such secret: check its name and the region, or store the key ('codex-proxy aws deploy')"
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException":
		advice = "AWS does not let these credentials read it: check the role's policy and the credentials"
	case "DecryptionFailure":
		advice = "it cannot be decrypted: check the policy of the KMS key it is encrypted with"
	case "InvalidRequestException":
		advice = "it cannot be read now, as when it is marked for deletion: restore it"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", advice, err)
}
