package awsdeploy

import (
	"bytes"
	"context"
	"fmt"

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
