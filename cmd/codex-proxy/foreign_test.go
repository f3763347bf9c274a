package main

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestAnotherProgramsTableIsLeftAloneInWords is about an account in which the table of
// an older installation has the very name that ours has unless it is given another.
func TestAnotherProgramsTableIsLeftAloneInWords(t *testing.T) {
	for name, older := range map[string]struct {
		key   string
		items []map[string]any
	}{
		"another key":            {"token", []map[string]any{{"token": "codexproxy_plaintext-token-of-alice", "user_id": "alice@example.com"}}},
		"another key, and empty": {"token", nil},
		"our key, other items":   {"id", []map[string]any{{"id": "alice@example.com", "token": "codexproxy_plaintext-token-of-alice"}}},
	} {
		t.Run(name, func(t *testing.T) {
			address := startDynamoDB(t)
			t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", address)
			t.Setenv("OPENAI_API_KEY", "sk-organisation")
			client := fillTable(t, address, "codex-proxy-tokens", older.key, older.items...)
			shared := []string{"--store", "dynamodb", "--data", t.TempDir()}
			for _, args := range [][]string{
				{"serve", "--listen", "127.0.0.1:0"},
				{"serve", "--listen", "127.0.0.1:0", "--create-tables"},
				{"developer", "list"},
				{"developer", "add", "bob@example.com"},
				{"token", "list"},
				{"import", "--from-dynamodb", "codex-proxy-tokens"},
			} {
				stdout, stderr, code := command(t, "", append(args, shared...)...)
				if code != 1 || !strings.Contains(stderr, "another program's table") || !strings.Contains(stderr, "--table-prefix") || !strings.Contains(stderr, "codex-proxy-tokens") {
					t.Errorf("%v exited with %d and said %q", args, code, stderr)
				}
				if strings.Contains(stdout+stderr, "plaintext") {
					t.Errorf("%v shows a token", args)
				}
			}
			stdout, _, code := command(t, "", append([]string{"doctor"}, shared...)...)
			if code != 1 || !strings.Contains(stdout, "another program's table") {
				t.Errorf("doctor exited with %d and said %s", code, stdout)
			}
			tables, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
			if err != nil || len(tables.TableNames) != 1 {
				t.Errorf("there are the tables %v, %v", tables, err)
			}
			all, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("codex-proxy-tokens")})
			if err != nil || len(all.Items) != len(older.items) || len(all.Items) == 1 && len(all.Items[0]) != len(older.items[0]) {
				t.Errorf("the table is not as it was: %v, %v", all, err)
			}

			t.Setenv("OPENAI_API_KEY", "sk-organisation") // a server takes it out
			own := append(shared, "--table-prefix", "codex-proxy-2")
			s := startServer(t, own[3], append([]string{"serve", "--create-tables", "--upstream", "http://127.0.0.1:1/v1"}, own...)...)
			s.command("developer", "list", "--store", "dynamodb", "--table-prefix", "codex-proxy-2")
			tables, err = client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"codex-proxy-2-tokens", "codex-proxy-2-usage", "codex-proxy-tokens"}, tables.TableNames, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("tables (-want +got):\n%s", diff)
			}
		})
	}
}
