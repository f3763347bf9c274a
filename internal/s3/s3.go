// Package s3 keeps the archive in an S3 bucket, under the same keys as on disk
// (YYYY/MM/DD/<developer>/<id>.json.zst), so that either can be copied into the
// other, and Athena finds the days by partition projection on the path.
//
// An object appears whole or not at all, and replaces the one before it. The
// bucket encrypts what it keeps, under its own default key unless another is
// named.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"codex-proxy/internal/record"
)

var _ record.OpeningStore = (*Archive)(nil)

const (
	// callLimit bounds one call, with all its attempts; of a download, the wait
	// for its next bytes.
	callLimit = 30 * time.Second
	// attempts is how often a call is tried.
	attempts = 4
	// longestPause bounds the wait between two attempts.
	longestPause = time.Second
)

// Location says where an archive is.
type Location struct {
	Bucket string
	// Prefix begins the keys of the archive; it is empty or ends with a slash.
	Prefix string
}

// ParseLocation reads a location such as s3://bucket or s3://bucket/codex.
func ParseLocation(address string) (Location, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" {
		return Location{}, fmt.Errorf("%q names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX", address)
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix == "" {
		return Location{Bucket: u.Host}, nil
	}
	if !isKey(prefix) {
		return Location{}, fmt.Errorf("%q cannot begin the keys of an archive: write s3://BUCKET/PREFIX with plain names between slashes", prefix)
	}
	return Location{Bucket: u.Host, Prefix: prefix + "/"}, nil
}

// String returns the location's address.
func (l Location) String() string { return "s3://" + l.Bucket + "/" + l.Prefix }

// Connect returns a client whose attempts are bounded.
func Connect(config aws.Config) *sdk.Client {
	return sdk.NewFromConfig(config, func(o *sdk.Options) {
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = attempts
			r.MaxBackoff = longestPause
			// The SDK's quota would keep attempts back long after an outage: it is
			// empty then, and only calls that succeed fill it.
			r.RateLimiter = ratelimit.None
		})
		// Bucket names are host names on AWS alone.
		o.UsePathStyle = o.BaseEndpoint != nil
	})
}

// Archive is a record.Archive whose keys are objects in a bucket.
type Archive struct {
	api *sdk.Client
	at  Location
	// kmsKey is the key that objects are encrypted with; empty means the bucket's.
	kmsKey string
	limit  time.Duration
}

// NewArchive returns the archive at a location. kmsKey, an id or ARN, encrypts
// what is put; when it is empty, the bucket's default key does.
func NewArchive(api *sdk.Client, at Location, kmsKey string) *Archive {
	return &Archive{api: api, at: at, kmsKey: kmsKey, limit: callLimit}
}

// Ping returns why the archive cannot be read; nil when it can.
func (a *Archive) Ping(ctx context.Context) error {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	_, err := a.api.ListObjectsV2(ctx, &sdk.ListObjectsV2Input{Bucket: &a.at.Bucket, Prefix: &a.at.Prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return fmt.Errorf("read the archive %s: %w", a.at, a.explain(ctx, err))
	}
	return nil
}

// Get implements record.Archive. The document is read as it arrives; reading
// fails when nothing has arrived for a while.
func (a *Archive) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if !isKey(key) {
		return nil, fmt.Errorf("get from the archive: %q is no key", key)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(a.limit, func() { cancel(errStalled) })
	out, err := a.api.GetObject(ctx, &sdk.GetObjectInput{Bucket: &a.at.Bucket, Key: aws.String(a.at.Prefix + key)})
	if err != nil {
		watch.Stop()
		err = a.explain(ctx, err)
		cancel(nil)
		return nil, fmt.Errorf("get %s from the archive %s: %w", key, a.at, err)
	}
	return &download{ctx: ctx, cancel: cancel, watch: watch, limit: a.limit, body: out.Body}, nil
}

// Remove implements record.OpeningStore.
func (a *Archive) Remove(ctx context.Context, key string) error {
	if !isKey(key) {
		return fmt.Errorf("remove from the archive: %q is no key", key)
	}
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	_, err := a.api.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: &a.at.Bucket, Key: aws.String(a.at.Prefix + key)})
	// S3 says nothing of what is not there; others that speak its language do.
	if err = a.explain(ctx, err); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s from the archive %s: %w", key, a.at, err)
	}
	return nil
}

var errStalled = errors.New("S3 has sent nothing for too long: see whether it can be reached from here, and the service's health")

// download is the body of an object, which ends when nothing arrives for a while.
type download struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer
	limit  time.Duration
	body   io.ReadCloser
}

// Read reads on and gives S3 time anew.
func (d *download) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	if err == nil {
		d.watch.Reset(d.limit)
	} else if err != io.EOF && context.Cause(d.ctx) == errStalled {
		err = fmt.Errorf("%w (%w)", errStalled, err)
	}
	return n, err
}

// Close ends the download, whether or not all of it was read.
func (d *download) Close() error {
	d.watch.Stop()
	err := d.body.Close()
	d.cancel(nil)
	return err
}

// isKey reports whether a name is one that a document can have, here and on disk.
func isKey(name string) bool { return fs.ValidPath(name) && name != "." }

// Keys implements record.Archive. The order of keys is the order of days, so this
// is one listing that begins at the first day and ends after the last.
func (a *Archive) Keys(ctx context.Context, first, last time.Time) iter.Seq2[string, error] {
	const dayForm = "2006/01/02"
	from, to := first.UTC().Format(dayForm), last.UTC().Format(dayForm)
	return func(yield func(string, error) bool) {
		if from > to {
			return
		}
		for key, err := range a.list(ctx, "", from) {
			if err == nil && key[:min(len(key), len(dayForm))] > to {
				return
			}
			if err != nil || isRecord(key) {
				if !yield(key, err) {
					return
				}
			}
		}
	}
}

// isRecord reports whether a key is one of a record: YYYY/MM/DD/<developer>/<id>.json.zst.
func isRecord(key string) bool {
	parts := strings.Split(key, "/")
	return len(parts) == 5 && strings.Trim(parts[0], "0123456789") == "" && strings.HasSuffix(key, ".json.zst")
}

// List implements record.Archive.
func (a *Archive) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return a.list(ctx, prefix, "")
}

// list yields the keys that begin with prefix and come after another, page by
// page.
func (a *Archive) list(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := &sdk.ListObjectsV2Input{Bucket: &a.at.Bucket, Prefix: aws.String(a.at.Prefix + prefix)}
		if after != "" {
			in.StartAfter = aws.String(a.at.Prefix + after)
		}
		pages := sdk.NewListObjectsV2Paginator(a.api, in)
		for pages.HasMorePages() {
			page, err := a.page(ctx, pages)
			if err != nil {
				yield("", fmt.Errorf("list the archive %s: %w", a.at, err))
				return
			}
			for _, object := range page.Contents {
				key := strings.TrimPrefix(aws.ToString(object.Key), a.at.Prefix)
				if isKey(key) && !yield(key, nil) { // another program's folder marker is no key
					return
				}
			}
		}
	}
}

func (a *Archive) page(ctx context.Context, pages *sdk.ListObjectsV2Paginator) (*sdk.ListObjectsV2Output, error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	page, err := pages.NextPage(ctx)
	return page, a.explain(ctx, err)
}

// bounded limits what a call may take.
func (a *Archive) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, a.limit, errStalled)
}

// explain adds to S3's errors what they mean for whoever runs the proxy. ctx is
// the call's own.
func (a *Archive) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if context.Cause(ctx) == errStalled {
		return fmt.Errorf("%w (%w)", errStalled, err)
	}
	var missing *types.NoSuchKey
	if errors.As(err, &missing) {
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	var said smithy.APIError
	if !errors.As(err, &said) {
		return err
	}
	advice := ""
	switch said.ErrorCode() {
	case "NoSuchKey": // of a call that does not know it as an error of its own
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	case "NoSuchBucket":
		advice = "there is no such bucket: check its name with --archive, or make it ('codex-proxy aws deploy')"
	case "PermanentRedirect", "AuthorizationHeaderMalformed":
		advice = "the bucket is in another region: set AWS_REGION to the bucket's"
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken":
		advice = "AWS does not let these credentials do this: check the role's policy and the credentials"
	case "SlowDown", "Throttling", "RequestLimitExceeded":
		advice = "S3 asks to slow down: try again"
	default:
		return err
	}
	return fmt.Errorf("%s (%w)", advice, err)
}
