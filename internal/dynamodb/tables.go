package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The names that the tables have unless they are given others.
const (
	DefaultTokensTable = "codex-proxy-tokens"
	DefaultUsageTable  = "codex-proxy-usage"
)

// The indexes of the table of usage.
const (
	byQuarter = "by-quarter"
	bySecrets = "by-secrets"
)

// TokensTable is the definition of the table of developers, tokens and teams.
func TokensTable(name string) *sdk.CreateTableInput {
	return define(name, []string{"id"}, nil)
}

// UsageTable is the definition of the ledger's table. Its indexes are local ones,
// as only these can be read strongly consistently; DynamoDB makes them with the
// table and never later.
func UsageTable(name string) *sdk.CreateTableInput {
	return define(name, []string{"part", "sort"}, map[string]index{
		byQuarter: {sort: "quarter_of", included: []string{"counted"}},
		bySecrets: {sort: "secrets_of", included: []string{"secrets"}},
	})
}

// index is a local secondary index: what it sorts by, and what it holds besides
// the keys.
type index struct {
	sort     string
	included []string
}

// define defines a table on demand, encrypted with the key that AWS owns (which
// it is unless another is named). All keys are strings.
func define(name string, keys []string, indexes map[string]index) *sdk.CreateTableInput {
	d := &sdk.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: schema(keys...)}
	attribute := func(name string) {
		d.AttributeDefinitions = append(d.AttributeDefinitions,
			types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS})
	}
	for _, key := range keys {
		attribute(key)
	}
	for _, name := range sorted(indexes) {
		i := indexes[name]
		attribute(i.sort)
		d.LocalSecondaryIndexes = append(d.LocalSecondaryIndexes, types.LocalSecondaryIndex{
			IndexName: &name, KeySchema: schema(keys[0], i.sort),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: i.included},
		})
	}
	return d
}

func schema(names ...string) (schema []types.KeySchemaElement) {
	for i, name := range names {
		schema = append(schema, types.KeySchemaElement{AttributeName: &name, KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]})
	}
	return schema
}

// makeLimit bounds the wait for a new table.
const makeLimit = 2 * time.Minute

// CreateTable makes a table and waits until it can be used. One that exists is
// left as it is.
func CreateTable(ctx context.Context, api *sdk.Client, definition *sdk.CreateTableInput) error {
	name := aws.ToString(definition.TableName)
	_, err := api.CreateTable(ctx, definition)
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("make the table %s: %w", name, err)
	}
	waiter := sdk.NewTableExistsWaiter(api, func(o *sdk.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 2*time.Second
	})
	if err := waiter.Wait(ctx, &sdk.DescribeTableInput{TableName: &name}, makeLimit); err != nil {
		return fmt.Errorf("wait for the table %s: %w", name, err)
	}
	return nil
}
