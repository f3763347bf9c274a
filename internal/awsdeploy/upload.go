package awsdeploy

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// CodeBucket is the name of the bucket that an installation's code is taken from.
// It holds nothing but programs.
func (a Account) CodeBucket(name string) string { return name + "-deploy-" + a.ID + "-" + a.Region }

// Upload makes sure that the code lies in the bucket for it, which is made where it
// is missing: private and encrypted, as all new buckets are.
func (c *Cloud) Upload(ctx context.Context, name string, code Code) error {
	bucket, key := c.Account.CodeBucket(name), code.Key()
	if err := c.makeBucket(ctx, bucket); err != nil {
		return err
	}
	_, err := c.objects.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key, ExpectedBucketOwner: &c.owner})
	if err == nil {
		c.say("This program is uploaded already.")
		return nil
	}
	if !is(err, "NotFound", "NoSuchKey") {
		return fmt.Errorf("look for the program in the bucket %s (it must belong to the account %s): %w", bucket, c.owner, explain(err))
	}
	c.say(fmt.Sprintf("Uploading the program, %.1f MB.", float64(code.Size())/1e6))
	_, err = c.objects.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: bytes.NewReader(code.zip), ContentType: aws.String("application/zip"),
		ChecksumSHA256: aws.String(code.SHA256()), ExpectedBucketOwner: &c.owner,
	})
	if err != nil {
		return fmt.Errorf("upload the program to the bucket %s: %w", bucket, explain(err))
	}
	return nil
}

// Settings returns the settings file that an installation's program has beside it;
// nil where it has none, or where there is no installation.
func (c *Cloud) Settings(ctx context.Context, name string) ([]byte, error) {
	s, err := c.describe(ctx, name)
	if err != nil || s == nil || s.parameters["CodeKey"] == "" {
		return nil, err
	}
	bucket, key := s.parameters["CodeBucket"], s.parameters["CodeKey"]
	out, err := c.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key, ExpectedBucketOwner: &c.owner})
	if err != nil {
		return nil, fmt.Errorf("read the settings that the installation has, from %s in the bucket %s: %w", key, bucket, explain(err))
	}
	defer out.Body.Close()
	packed, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, fmt.Errorf("read the settings that the installation has: %w", err)
	}
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, fmt.Errorf("read the settings that the installation has, from %s in the bucket %s: %w", key, bucket, err)
	}
	settings, err := fs.ReadFile(archive, SettingsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return settings, err
}

func (c *Cloud) makeBucket(ctx context.Context, bucket string) error {
	_, err := c.objects.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket, ExpectedBucketOwner: &c.owner})
	if err == nil {
		return nil
	}
	if !is(err, "NotFound", "NoSuchBucket") {
		return fmt.Errorf("look for the bucket %s (it must belong to the account %s): %w", bucket, c.owner, explain(err))
	}
	in := &s3.CreateBucketInput{Bucket: &bucket}
	if c.Account.Region != "us-east-1" { // which is where buckets are unless told otherwise
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(c.Account.Region)}
	}
	if _, err := c.objects.CreateBucket(ctx, in); err != nil && !is(err, "BucketAlreadyOwnedByYou") {
		return fmt.Errorf("make the bucket %s: %w", bucket, explain(err))
	}
	c.say("Made the bucket " + bucket + " for the function's program.")
	return nil
}
