package awsdeploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	template "codex-proxy/deploy/aws"
)

// secretDays is how long a deleted secret can be restored.
const secretDays = 7

// Destroy removes an installation's stack: the function, its URL, role, alarms and
// log. Tables, records, the key and the function's programs stay.
func (c *Cloud) Destroy(ctx context.Context, name string) error {
	s, err := c.describe(ctx, name)
	if err != nil {
		return err
	}
	if s == nil {
		c.say("There is no stack " + name + ".")
		return nil
	}
	if s.isBusy() && s.status != "DELETE_IN_PROGRESS" {
		c.say("CloudFormation is at work on this stack already (" + s.status + "); waiting for it.")
		if s, err = c.follow(ctx, s.id, nil); err != nil {
			return err
		}
	}
	return c.remove(ctx, s)
}

// DeleteData removes for good what an installation has kept: both tables with their
// developers, tokens and usage, the archive with all records, and the bucket of the
// function's programs. The secret of the installation's own name can be restored
// for secretDays days. What is gone already is passed over.
func (c *Cloud) DeleteData(ctx context.Context, name string) error {
	s, err := c.describe(ctx, name)
	if err != nil {
		return err
	}
	if s != nil {
		return errors.New("the stack is still there: its data is not deleted under it")
	}
	for _, table := range []string{template.TokensTable(name), template.UsageTable(name)} {
		_, err := c.tables.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table})
		if err != nil && !is(err, "ResourceNotFoundException") {
			return fmt.Errorf("delete the table %s: %w", table, explain(err))
		}
		c.say("The table " + table + " is deleted.")
	}
	for _, bucket := range []string{template.Bucket(name, c.Account.ID, c.Account.Region), c.Account.CodeBucket(name)} {
		if err := c.deleteBucket(ctx, bucket); err != nil {
			return err
		}
		c.say("The bucket " + bucket + " is deleted.")
	}
	secret := KeySecret(name)
	_, err = c.secrets.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &secret, RecoveryWindowInDays: aws.Int64(secretDays)})
	if err != nil && !is(err, "ResourceNotFoundException", "InvalidRequestException") {
		return fmt.Errorf("delete the secret %s: %w", secret, explain(err))
	}
	if err == nil {
		c.say(fmt.Sprintf("The secret %s is deleted; it can be restored for %d days.", secret, secretDays))
	}
	return nil
}

// deleteBucket deletes a bucket with all that is in it.
func (c *Cloud) deleteBucket(ctx context.Context, bucket string) error {
	pages := s3.NewListObjectsV2Paginator(c.objects, &s3.ListObjectsV2Input{Bucket: &bucket, ExpectedBucketOwner: &c.owner})
	for deleted := 0; pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if is(err, "NoSuchBucket") {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list the bucket %s: %w", bucket, explain(err))
		}
		if len(page.Contents) == 0 {
			continue
		}
		var objects []types.ObjectIdentifier
		for _, object := range page.Contents {
			objects = append(objects, types.ObjectIdentifier{Key: object.Key})
		}
		out, err := c.objects.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &bucket, ExpectedBucketOwner: &c.owner, Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(true)},
		})
		if err != nil {
			return fmt.Errorf("empty the bucket %s: %w", bucket, explain(err))
		}
		if len(out.Errors) > 0 {
			return fmt.Errorf("empty the bucket %s: %s: %s", bucket, aws.ToString(out.Errors[0].Key), aws.ToString(out.Errors[0].Message))
		}
		if deleted += len(objects); deleted%10_000 == 0 {
			c.say(fmt.Sprintf("  %d objects of %s are deleted.", deleted, bucket))
		}
	}
	if _, err := c.objects.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &bucket, ExpectedBucketOwner: &c.owner}); err != nil && !is(err, "NoSuchBucket") {
		return fmt.Errorf("delete the bucket %s: %w", bucket, explain(err))
	}
	return nil
}
