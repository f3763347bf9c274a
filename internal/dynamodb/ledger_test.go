package dynamodb_test

import (
	"testing"

	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/ledger/ledgertest"
	"codex-proxy/internal/standin"
)

func TestTheLedgerKeepsTheStoresContract(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	ledgertest.Run(t, func(t *testing.T) ledger.Store {
		return dynamodb.NewLedger(api, newTable(t, api, dynamodb.UsageTable))
	})
}

func TestTheLedgerIsListed(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	ledgertest.RunBrowse(t, func(t *testing.T) ledgertest.BrowseStore {
		return dynamodb.NewLedger(api, newTable(t, api, dynamodb.UsageTable))
	})
}
