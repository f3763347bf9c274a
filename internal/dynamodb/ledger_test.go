package dynamodb_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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

// TestAListReadsNoRowsOfWhatNobodyAskedFor looks at which calls are made: the sums
// and the index are asked with Query, rows are read with BatchGetItem.
func TestAListReadsNoRowsOfWhatNobodyAskedFor(t *testing.T) {
	line, store, _ := newLedger(t)
	rows := ledgertest.Rows(9, 100)
	succeeds(t, store.Add(t.Context(), rows))
	for name, list := range map[string]func() (int, error){
		"exchanges": func() (int, error) {
			all, err := store.Exchanges(t.Context(), ledger.ExchangeQuery{Developer: rows[0].Developer, Session: "s9", Limit: 10})
			return len(all), err
		},
		"sessions": func() (int, error) {
			all, err := store.Sessions(t.Context(), ledger.SessionQuery{Model: "none", Limit: 10})
			return len(all), err
		},
	} {
		line.Forget()
		if n, err := list(); n != 0 || err != nil {
			t.Errorf("%d %s, %v; want none", n, name, err)
		}
		if diff := cmp.Diff([]string{"GetItem", "Query"}, line.Operations()); diff != "" {
			t.Errorf("calls for %s (-want +got):\n%s", name, diff)
		}
	}
}
