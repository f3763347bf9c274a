package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Probe puts a small document below open/, reads it and removes it, and returns what
// of that failed.
func (a *Archive) Probe(ctx context.Context) error {
	key, text := "open/probe-"+rand.Text(), []byte("probe")
	if err := a.Put(ctx, key, bytes.NewReader(text), int64(len(text))); err != nil {
		return err
	}
	r, err := a.Get(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close() // only read
	if back, err := io.ReadAll(r); err != nil || !bytes.Equal(back, text) {
		return fmt.Errorf("read back what was put into the archive %s: %d bytes, %w", a.at, len(back), err)
	}
	return a.Remove(ctx, key)
}

// Remarks says what should be otherwise about the bucket, and how to change it.
func (a *Archive) Remarks(ctx context.Context) (remarks []string) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	bucket := a.at.Bucket
	blocked, err := a.api.GetPublicAccessBlock(ctx, &sdk.GetPublicAccessBlockInput{Bucket: &bucket})
	switch {
	case err != nil:
		remarks = append(remarks, "whether it can be made public cannot be told: allow s3:GetBucketPublicAccessBlock")
	case blocked.PublicAccessBlockConfiguration == nil || !all(blocked.PublicAccessBlockConfiguration.BlockPublicAcls, blocked.PublicAccessBlockConfiguration.BlockPublicPolicy,
		blocked.PublicAccessBlockConfiguration.IgnorePublicAcls, blocked.PublicAccessBlockConfiguration.RestrictPublicBuckets):
		remarks = append(remarks, "it could be made public: block public access in the bucket's permissions")
	}
	if _, err := a.api.GetBucketEncryption(ctx, &sdk.GetBucketEncryptionInput{Bucket: &bucket}); err != nil {
		remarks = append(remarks, "how it is encrypted cannot be told: allow s3:GetEncryptionConfiguration")
	}
	return remarks
}

func all(values ...*bool) bool {
	for _, value := range values {
		if !aws.ToBool(value) {
			return false
		}
	}
	return true
}
