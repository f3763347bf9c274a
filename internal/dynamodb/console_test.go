package dynamodb_test

import (
	"testing"

	"codex-proxy/internal/console"
	"codex-proxy/internal/console/consoletest"
	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/standin"
)

func TestTheConsoleKeepsTheStoresContract(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	consoletest.Run(t, func(t *testing.T) console.Store {
		return dynamodb.NewDevelopers(api, newTable(t, api, dynamodb.TokensTable))
	})
}
