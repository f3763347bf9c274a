package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

// ErrForeign: the table is another program's, and nothing was changed in it.
var ErrForeign = errors.New("it is another program's table, so nothing was changed in it: name tables of your own with --table-prefix, such as --table-prefix codex-proxy-2. To take over developers and tokens from a table of an older installation: 'codex-proxy import --from-dynamodb TABLE'")

// isForeign tells whether DynamoDB refuses a call as the table has other keys than the
// ones that the call gave.
func isForeign(said smithy.APIError) bool {
	if said.ErrorCode() != "ValidationException" {
		return false
	}
	text := strings.ToLower(said.ErrorMessage())
	return slices.ContainsFunc([]string{
		"key element does not match the schema", "missing the key ", "type mismatch for key ", "number of conditions on the keys is invalid",
	}, func(part string) bool { return strings.Contains(text, part) })
}

// kinds are those of the items of the table of tokens: what their ids begin with, up to
// a #.
var kinds = []string{
	"developer", "team", "hash", "token", "invitation", "rulesets", "ruleset", "kept", "console", "readings", "marks", "probe",
}

// sampled is how many items are looked at to tell whose a table is.
const sampled = 50

// CheckOurs returns an error that wraps ErrForeign where the table is certainly another
// program's: by its keys, or as none of the items in it is of a kind that this program
// writes. What cannot be told, such as of a table that is not there or cannot be
// reached, is no error here. It needs no more rights than a server has.
func (s *Developers) CheckOurs(ctx context.Context) error {
	if err := foreignOrNil(s.Ping(ctx)); err != nil {
		return err
	}
	out, err := s.table.api.Scan(ctx, &sdk.ScanInput{TableName: &s.table.name, Limit: aws.Int32(sampled), ProjectionExpression: aws.String("id")})
	if err != nil || len(out.Items) == 0 || slices.ContainsFunc(out.Items, isOurs) {
		return nil
	}
	return fmt.Errorf("the table %s holds items of a kind that this program does not write: %w", s.table.name, ErrForeign)
}

func isOurs(is item) bool {
	id, ok := is["id"].(*types.AttributeValueMemberS)
	if !ok {
		return false
	}
	kind, _, _ := strings.Cut(id.Value, "#")
	return slices.Contains(kinds, kind)
}

// CheckOurs is as Developers.CheckOurs, by the table's keys.
func (l *Ledger) CheckOurs(ctx context.Context) error { return foreignOrNil(l.Ping(ctx)) }

func foreignOrNil(err error) error {
	if errors.Is(err, ErrForeign) {
		return err
	}
	return nil
}
