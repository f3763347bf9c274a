// Package dynamodb keeps developers and the ledger in two DynamoDB tables, for
// any number of replicas at once.
//
// Every change is the conditional write of a single item; there are no
// transactions. What belongs together is therefore one item, and what is
// computed is computed anew from what lies below it, never added to:
//
// A developer and their tokens are one item of the table of tokens. Adding,
// rotating and revoking tokens, disabling and removing a developer are each one
// write of that item, on the condition that nobody else has written it since it
// was read: there is no halfway. Beside it, claims lead from a token's hash, and
// from its public id, to the developer. A claim makes both unique and decides
// nothing else: a token is valid if the developer's item holds it.
//
// A look-up of a token is one strongly consistent BatchGetItem of the developer
// and their team. A process remembers where a hash leads, as it always leads
// there, and looks in the claim once; it never remembers what it found, so the
// next request after a change sees it. Copies of "enabled" beside each token
// would be found with one read, too, but disabling would then be several writes
// and could stop between them.
//
// The ledger's rows, sums and budgets are described at Ledger.
//
// Every call is tried a few times within callLimit; an SDK that repeats a write
// whose answer was lost does no harm, as each write either says the same again
// or carries a stamp by which it is recognised.
package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/errgroup"
)

const (
	// callLimit bounds one call, with all its attempts.
	callLimit = 1500 * time.Millisecond
	// attempts is how often a call is tried.
	attempts = 4
	// longestPause bounds the wait between two attempts.
	longestPause = 200 * time.Millisecond
	// atOnce is how many calls one operation makes at the same time.
	atOnce = 16
)

// Connect returns a client whose every call is bounded in time and attempts, and
// whose errors say what they mean for whoever runs the proxy.
func Connect(config aws.Config) *sdk.Client {
	return sdk.NewFromConfig(config, func(o *sdk.Options) {
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = attempts
			r.MaxBackoff = longestPause
			// The SDK's quota would keep attempts back long after an outage: it is
			// empty then, and only calls that succeed fill it.
			r.RateLimiter = ratelimit.None
			r.Retryables = append(r.Retryables, retry.IsErrorRetryableFunc(brokenOff))
		})
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("codex-proxy: limit", limited), middleware.Before)
		})
	})
}

// brokenOff asks again for an answer that broke off in the middle, which the SDK
// takes for one that it cannot read.
func brokenOff(err error) aws.Ternary {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// limited bounds a call.
func limited(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, callLimit, errNoAnswer)
	defer cancel()
	out, metadata, err := next.HandleInitialize(bounded, in)
	if err != nil && ctx.Err() == nil && context.Cause(bounded) == errNoAnswer {
		err = fmt.Errorf("%w (%w)", errNoAnswer, err)
	}
	return out, metadata, explain(err)
}

var errNoAnswer = fmt.Errorf("DynamoDB has not answered within %s: see whether it can be reached from here, and the service's health", callLimit)

// explain adds to DynamoDB's errors what they mean for whoever runs the proxy.
func explain(err error) error {
	var said smithy.APIError
	if !errors.As(err, &said) {
		return err
	}
	if isForeign(said) {
		return fmt.Errorf("%w (%w)", ErrForeign, err)
	}
	advice := ""
	switch said.ErrorCode() {
	case "ResourceNotFoundException":
		advice = "there is no such table: check the table's name and the region, or make it ('codex-proxy aws deploy', or 'serve --create-tables')"
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException":
		advice = "AWS does not let these credentials do this: check the role's policy and the credentials"
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded":
		advice = "DynamoDB throttles the table: try again, and see its capacity limits if this persists"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", advice, err)
}

// item is an item as DynamoDB speaks of it.
type item = map[string]types.AttributeValue

// table is one table, and the ways in which this package uses one.
type table struct {
	api  *sdk.Client
	name string
}

// get reads one item, strongly consistently; found is false where there is none.
func (t table) get(ctx context.Context, key item, into any) (found bool, err error) {
	out, err := t.api.GetItem(ctx, &sdk.GetItemInput{TableName: &t.name, Key: key, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return false, fmt.Errorf("read the table %s: %w", t.name, err)
	}
	if out.Item == nil {
		return false, nil
	}
	return true, t.decode(out.Item, into)
}

// most is how many items one BatchGetItem reads.
const most = 100

// getAll reads the items that there are under up to most keys, strongly
// consistently, and calls each with them in any order.
func (t table) getAll(ctx context.Context, keys []item, each func(item) error) error {
	ask := map[string]types.KeysAndAttributes{t.name: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	for attempt := 0; len(ask) > 0; attempt++ {
		if attempt == attempts {
			return fmt.Errorf("read the table %s: %w", t.name, errThrottled)
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		out, err := t.api.BatchGetItem(ctx, &sdk.BatchGetItemInput{RequestItems: ask})
		if err != nil {
			return fmt.Errorf("read the table %s: %w", t.name, err)
		}
		for _, found := range out.Responses[t.name] {
			if err := each(found); err != nil {
				return err
			}
		}
		ask = out.UnprocessedKeys
	}
	return nil
}

var errThrottled = errors.New("DynamoDB throttles the table: try again, and see its capacity limits if this persists")

// put writes a whole item on a condition; written is false where it does not
// hold. Values are those of the condition's names that begin with a colon.
func (t table) put(ctx context.Context, what any, condition string, values item) (written bool, err error) {
	encoded, err := attributevalue.MarshalMap(what)
	if err != nil {
		return false, fmt.Errorf("write to the table %s: %w", t.name, err)
	}
	_, err = t.api.PutItem(ctx, &sdk.PutItemInput{
		TableName: &t.name, Item: encoded, ConditionExpression: &condition, ExpressionAttributeValues: values,
	})
	return t.held("write to", err)
}

// remove deletes an item on a condition; removed is false where it does not hold.
func (t table) remove(ctx context.Context, key item, condition string, values item) (removed bool, err error) {
	_, err = t.api.DeleteItem(ctx, &sdk.DeleteItemInput{
		TableName: &t.name, Key: key, ConditionExpression: &condition, ExpressionAttributeValues: values,
	})
	return t.held("delete from", err)
}

// held tells the outcome of a conditional write.
func (t table) held(what string, err error) (bool, error) {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s the table %s: %w", what, t.name, err)
	}
	return true, nil
}

// query reads all that a query finds, page by page.
func (t table) query(ctx context.Context, q sdk.QueryInput, each func(item) error) error {
	q.TableName, q.ConsistentRead = &t.name, aws.Bool(true)
	pages := sdk.NewQueryPaginator(t.api, &q)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read the table %s: %w", t.name, err)
		}
		for _, found := range page.Items {
			if err := each(found); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan reads the whole table.
func (t table) scan(ctx context.Context, s sdk.ScanInput, each func(item) error) error {
	s.TableName, s.ConsistentRead = &t.name, aws.Bool(true)
	pages := sdk.NewScanPaginator(t.api, &s)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read the table %s: %w", t.name, err)
		}
		for _, found := range page.Items {
			if err := each(found); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t table) decode(from item, into any) error {
	if err := attributevalue.UnmarshalMap(from, into); err != nil {
		return fmt.Errorf("read the table %s: an item is not as this program writes them: %w", t.name, err)
	}
	return nil
}

// ping returns why the table cannot be read; nil when it can.
func (t table) ping(ctx context.Context, key item) error {
	var nothing struct{}
	_, err := t.get(ctx, key, &nothing)
	return err
}

// probe writes an item that says nothing but its key, over the one of the last time:
// a server may not delete from every table.
func (t table) probe(ctx context.Context, key item) error {
	_, err := t.api.PutItem(ctx, &sdk.PutItemInput{TableName: &t.name, Item: key})
	if err != nil {
		return fmt.Errorf("write to the table %s: %w", t.name, err)
	}
	return nil
}

// text and number are attribute values.
func text(value string) types.AttributeValue { return &types.AttributeValueMemberS{Value: value} }

func number(value int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(value)}
}

// pause waits before a further attempt, longer each time and never for the same
// time as somebody else who waits.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	longest := min(10*time.Millisecond<<min(attempt, 10), longestPause)
	timer := time.NewTimer(rand.N(longest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// together calls do for each of all, several at once, and returns the first error.
func together[T any](ctx context.Context, all []T, do func(context.Context, T) error) error {
	group, until := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, one := range all {
		if until.Err() != nil {
			break // the first error, or the caller's end
		}
		group.Go(func() error { return do(until, one) })
	}
	return cmp.Or(group.Wait(), ctx.Err())
}

// sorted returns the keys of a map in their order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// keptTime is how a time is stored: milliseconds since 1970 UTC, 0 meaning none.
func keptTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// timeKept undoes keptTime.
func timeKept(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
