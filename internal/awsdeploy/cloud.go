// Package awsdeploy makes, changes, shows and removes an installation of the proxy
// on AWS, with the credentials of whoever runs it, and checks from outside what
// only a real account can answer.
//
// An installation is one CloudFormation stack (deploy/aws) and three things that
// the stack does not own, as they must be there before it or outlive it: the
// secret that holds OpenAI's key, the bucket that the function's code is taken
// from, and what is kept when the stack goes, which are the tables and the archive.
//
// All of it is found by the installation's name. Every step first looks at what is
// there: one that was interrupted, or whose answer was lost, is finished by doing
// it again.
package awsdeploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// Account says whose account the credentials are for, and which region is used.
type Account struct {
	// ID is the account's number.
	ID string
	// Caller is the ARN of the user or role that the credentials are of.
	Caller string
	Region string
}

// Cloud is one account in one region.
type Cloud struct {
	Account Account

	say func(line string)
	// owner is the account that must own a bucket, as names of buckets are the whole
	// world's: another's is never read or written.
	owner   string
	pace    time.Duration
	stacks  *cloudformation.Client
	secrets *secretsmanager.Client
	objects *s3.Client
	tables  *dynamodb.Client
	alarms  *cloudwatch.Client
	logs    *cloudwatchlogs.Client
}

// pace is the longest pause between two looks at something that AWS works on; the
// first are shorter.
const pace = 2 * time.Second

// Connect asks AWS who the credentials belong to. say is told, line by line, what
// happens from then on.
func Connect(ctx context.Context, config aws.Config, say func(line string)) (*Cloud, error) {
	if config.Region == "" {
		return nil, errors.New("no AWS region is chosen: name one with --region, or set AWS_REGION")
	}
	if config.Credentials == nil {
		return nil, errNoCredentials
	}
	if _, err := config.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("%w (%w)", errNoCredentials, err)
	}
	who, err := sts.NewFromConfig(config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, fmt.Errorf("ask AWS whose the credentials are: %w", explain(err))
	}
	return &Cloud{
		Account: Account{ID: aws.ToString(who.Account), Caller: aws.ToString(who.Arn), Region: config.Region},
		say:     say, pace: pace, owner: aws.ToString(who.Account),
		stacks:  cloudformation.NewFromConfig(config),
		secrets: secretsmanager.NewFromConfig(config),
		// Bucket names are host names on AWS alone.
		objects: s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil }),
		tables:  dynamodb.NewFromConfig(config),
		alarms:  cloudwatch.NewFromConfig(config),
		logs:    cloudwatchlogs.NewFromConfig(config),
	}, nil
}

var errNoCredentials = errors.New("there are no AWS credentials that work here: sign in ('aws sso login', 'aws configure'), name a profile with --profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")

// wait pauses after so many looks.
func (c *Cloud) wait(ctx context.Context, looks int) error {
	timer := time.NewTimer(min(c.pace, c.pace/32<<min(looks, 5)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// explain adds to AWS's errors what they mean for whoever deploys.
func explain(err error) error {
	var said smithy.APIError
	if !errors.As(err, &said) {
		return err
	}
	switch {
	case credentialsLost(err):
		return fmt.Errorf("AWS no longer takes these credentials: sign in again (%w)", err)
	case isDenied(said.ErrorCode()):
		return fmt.Errorf("AWS does not let these credentials do this: docs/aws.md lists what a deployment needs (%w)", err)
	}
	return err
}

// credentialsLost tells whether AWS does not know the credentials, or not any more.
func credentialsLost(err error) bool {
	var said smithy.APIError
	if !errors.As(err, &said) {
		return false
	}
	switch said.ErrorCode() {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException",
		"SignatureDoesNotMatch", "InvalidSignatureException", "InvalidAccessKeyId", "AuthFailure":
		return true
	}
	return false
}

func isDenied(code string) bool {
	return code == "AccessDenied" || code == "Forbidden" || code == "AccessDeniedException" || code == "UnauthorizedOperation"
}

// is tells whether an error is AWS's of one of these codes.
func is(err error, codes ...string) bool {
	var said smithy.APIError
	if !errors.As(err, &said) {
		return false
	}
	for _, code := range codes {
		if said.ErrorCode() == code {
			return true
		}
	}
	return false
}
