package dynamodb_test

import (
	"testing"

	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/ledger/ledgertest"
	"codex-proxy/internal/standin"
)

func TestMarksKeepTheStoresContract(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	ledgertest.RunMarks(t, func(t *testing.T) ledger.Marks {
		return dynamodb.NewDevelopers(api, newTable(t, api, dynamodb.TokensTable))
	})
}
