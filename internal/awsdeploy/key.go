package awsdeploy

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// KeySecret is the name of the secret that holds an installation's key unless
// another is named.
func KeySecret(name string) string { return name + "/openai-key" }

// Key is the text of OpenAI's key, which masks itself wherever it is printed.
type Key interface{ Reveal() string }

// Secret is a secret that is there.
type Secret struct {
	ARN string
	// Leaving tells that it is marked for deletion, and cannot be read until it is
	// restored.
	Leaving bool
}

// FindSecret looks for a secret by name or ARN; found is false where there is none.
func (c *Cloud) FindSecret(ctx context.Context, id string) (s Secret, found bool, err error) {
	out, err := c.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &id})
	if is(err, "ResourceNotFoundException") {
		return Secret{}, false, nil
	}
	if err != nil {
		return Secret{}, false, fmt.Errorf("look for the secret %s: %w", id, explain(err))
	}
	return Secret{ARN: aws.ToString(out.ARN), Leaving: out.DeletedDate != nil}, true, nil
}

// StoreKey makes a secret hold the key and returns its ARN. A secret that is marked
// for deletion is restored; one that holds the key already stays as it is.
func (c *Cloud) StoreKey(ctx context.Context, id string, key Key) (arn string, err error) {
	secret, found, err := c.FindSecret(ctx, id)
	if err != nil {
		return "", err
	}
	text := key.Reveal()
	if !found {
		out, err := c.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
			Name: &id, SecretString: &text, Description: aws.String("OpenAI's key, for codex-proxy"),
		})
		if err != nil {
			return "", fmt.Errorf("store the key in the secret %s: %w", id, explain(err))
		}
		c.say("The key is stored in Secrets Manager as " + id + ".")
		return aws.ToString(out.ARN), nil
	}
	if err := c.restore(ctx, id, secret); err != nil {
		return "", err
	}
	held, err := c.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil && !is(err, "ResourceNotFoundException") { // a secret without a value yet
		return "", fmt.Errorf("compare the key with the secret %s: %w", id, explain(err))
	}
	if err == nil && aws.ToString(held.SecretString) == text {
		c.say("The secret " + id + " holds this key already.")
		return secret.ARN, nil
	}
	if _, err := c.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: &text}); err != nil {
		return "", fmt.Errorf("store the key in the secret %s: %w", id, explain(err))
	}
	c.say("The secret " + id + " now holds another key; the proxy uses it within 5 minutes.")
	return secret.ARN, nil
}

// UseSecret makes sure that a secret which was found can be read.
func (c *Cloud) UseSecret(ctx context.Context, id string, s Secret) (arn string, err error) {
	return s.ARN, c.restore(ctx, id, s)
}

// restore takes back that a secret is marked for deletion.
func (c *Cloud) restore(ctx context.Context, id string, s Secret) error {
	if !s.Leaving {
		return nil
	}
	if _, err := c.secrets.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &id}); err != nil {
		return fmt.Errorf("restore the secret %s, which is marked for deletion: %w", id, explain(err))
	}
	c.say("The secret " + id + " was marked for deletion and is restored.")
	return nil
}
