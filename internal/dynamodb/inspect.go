package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

// Inspect compares a table with its definition. The error says why the table cannot
// be used; the remarks, what should be otherwise and how to change it.
func Inspect(ctx context.Context, api *sdk.Client, definition *sdk.CreateTableInput) (remarks []string, err error) {
	name := aws.ToString(definition.TableName)
	out, err := api.DescribeTable(ctx, &sdk.DescribeTableInput{TableName: &name})
	var said smithy.APIError
	if errors.As(err, &said) && said.ErrorCode() == "AccessDeniedException" {
		return []string{"how it is set up cannot be told: allow dynamodb:DescribeTable"}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("describe the table %s: %w", name, err)
	}
	if status := out.Table.TableStatus; status != types.TableStatusActive && status != types.TableStatusUpdating {
		return nil, fmt.Errorf("the table %s is %s: wait until it is ACTIVE", name, status)
	}
	if !slices.EqualFunc(out.Table.KeySchema, definition.KeySchema, sameKey) {
		return nil, fmt.Errorf("the table %s has other keys than this program needs: %w", name, ErrForeign)
	}
	for _, index := range definition.LocalSecondaryIndexes {
		there := slices.ContainsFunc(out.Table.LocalSecondaryIndexes, func(is types.LocalSecondaryIndexDescription) bool {
			return aws.ToString(is.IndexName) == aws.ToString(index.IndexName) && slices.EqualFunc(is.KeySchema, index.KeySchema, sameKey)
		})
		if !there {
			return nil, fmt.Errorf("the table %s lacks the index %s, which cannot be added later: make the table anew, and run 'codex-proxy usage rebuild'", name, aws.ToString(index.IndexName))
		}
	}
	backups, err := api.DescribeContinuousBackups(ctx, &sdk.DescribeContinuousBackupsInput{TableName: &name})
	switch {
	case err != nil:
		remarks = append(remarks, "whether it has point-in-time recovery cannot be told: allow dynamodb:DescribeContinuousBackups")
	case backups.ContinuousBackupsDescription == nil || backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription == nil ||
		backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != types.PointInTimeRecoveryStatusEnabled:
		remarks = append(remarks, "it has no point-in-time recovery: aws dynamodb update-continuous-backups --table-name "+name+" --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true")
	}
	return remarks, nil
}

func sameKey(a, b types.KeySchemaElement) bool {
	return aws.ToString(a.AttributeName) == aws.ToString(b.AttributeName) && a.KeyType == b.KeyType
}
