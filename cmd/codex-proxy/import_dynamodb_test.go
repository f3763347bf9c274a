package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/sqlite"
)

// dynaliteProgram serves DynamoDB on a free port, which it prints, for as long
// as its input is open.
const dynaliteProgram = `
const server = require('dynalite')({ createTableMs: 0 })
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('end', () => process.exit()).resume()`

// startDynamoDB starts an empty DynamoDB that lives as long as the test, and
// returns its address. The environment is one in which the AWS SDK works.
func startDynamoDB(t *testing.T) string {
	t.Helper()
	directory, err := filepath.Abs("../../e2e")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(directory, "node_modules", "dynalite")); err != nil {
		t.Skip("dynalite is not installed: npm ci --prefix e2e")
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "eu-central-1", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	program := exec.CommandContext(t.Context(), "node", "-e", dynaliteProgram)
	program.Dir = directory
	program.Stderr = os.Stderr
	input, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Skipf("node does not run: %v", err)
	}
	t.Cleanup(func() {
		_ = input.Close() // which ends it
		_ = program.Wait()
	})
	limit := time.AfterFunc(30*time.Second, func() { _ = program.Process.Kill() })
	defer limit.Stop()
	port, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("dynalite does not start: %v", err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

// fillTable makes a table with the items, whose key is the attribute.
func fillTable(t *testing.T, address, table, key string, items ...map[string]any) *dynamodb.Client {
	t.Helper()
	settings, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := dynamodb.NewFromConfig(settings, func(o *dynamodb.Options) { o.BaseEndpoint = &address })
	if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:            &table,
		KeySchema:            []types.KeySchemaElement{{AttributeName: &key, KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: &key, AttributeType: types.ScalarAttributeTypeS}},
		BillingMode:          types.BillingModePayPerRequest,
	}); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		values := map[string]types.AttributeValue{}
		for name, value := range item {
			switch v := value.(type) {
			case string:
				values[name] = &types.AttributeValueMemberS{Value: v}
			case bool:
				values[name] = &types.AttributeValueMemberBOOL{Value: v}
			default:
				t.Fatalf("a %T is nothing that an item holds here", v)
			}
		}
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: values}); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

func TestAnOlderTableIsTakenOver(t *testing.T) {
	address := startDynamoDB(t)
	const secret = "plaintext-token-of-"
	const older = "codexproxy_" + secret // another program's, which begins as ours do
	typo := "codexproxy_abcdefgh_" + strings.Repeat("z", 33)
	fillTable(
		t, address, "proxy-users", "token",
		map[string]any{"token": secret + "alice", "user_id": "Alice@example.com", "name": "Alice", "team": "core", "enabled": true},
		map[string]any{"token": older + "alice-2", "user_id": "alice@example.com", "enabled": true, "expires_at": "2099-01-31"},
		map[string]any{"token": secret + "alice-3", "user_id": "alice@example.com", "enabled": false},
		map[string]any{"token": secret + "alice-4", "user_id": "alice@example.com", "expires_at": "2020-01-31"},
		map[string]any{"token": secret + "bob", "user_id": "bob", "enabled": false},
		map[string]any{"token": typo, "user_id": "carol@example.com"},
		map[string]any{"token": "USAGE#2026-11", "total": "17"},
		map[string]any{"token": secret + "nobody", "user_id": "not an id: " + secret},
	)
	data := t.TempDir()
	if err := (&Settings{Data: data}).initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	args := []string{"import", "--from-dynamodb", "proxy-users", "--endpoint", address, "--data", data}

	stdout, stderr, code := command(t, "", append(args, "--dry-run")...)
	if code != 1 || !strings.Contains(stdout, "2 developers to add, 3 tokens to import. Nothing was changed.") {
		t.Fatalf("the dry run exited with %d: %s%s", code, stdout, stderr)
	}
	for _, want := range []string{
		"left out 1 item with the attributes token, total: no developer",
		`left out 1 item with the attributes token, user_id: the developer, name or team cannot be kept: "user_id"`,
		"left out 1 item of alice@example.com: disabled, while alice@example.com has others that are enabled",
		"left out 1 item of alice@example.com: a token of alice@example.com that ended on 2020-01-31 00:00 UTC",
		`left out 1 item of carol@example.com with the attributes token, user_id: "token": the token has the very form of this proxy's own`,
		"left out 5 items in all",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("the dry run did not say %q:\n%s", want, stderr)
		}
	}
	if strings.Contains(stdout+stderr, secret) || strings.Contains(stdout+stderr, typo) {
		t.Errorf("the dry run shows a token:\n%s%s", stdout, stderr)
	}

	for i, want := range []int{3, 0} { // the second time all are there
		stdout, stderr, code = command(t, "", append(args, "--json")...)
		var result struct {
			Items          int
			TokensImported int                   `json:"tokens_imported"`
			LeftOut        []struct{ Items int } `json:"left_out"`
		}
		if err := json.Unmarshal([]byte(stdout), &result); err != nil || code != 1 {
			t.Fatalf("import %d exited with %d, %v: %s", i, code, err, stderr)
		}
		if result.Items != 8 || result.TokensImported != want || len(result.LeftOut) != 5 || strings.Contains(stdout, secret) {
			t.Errorf("import %d: %s", i, stdout)
		}
	}
	store, err := sqlite.OpenDevelopers(t.Context(), filepath.Join(data, "developers.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	authenticator := developer.NewAuthenticator(store, time.Now)
	for token, want := range map[string]string{
		secret + "alice":   "<nil>",
		older + "alice-2":  "<nil>",
		secret + "alice-3": string(developer.TokenUnknown),
		secret + "alice-4": string(developer.TokenUnknown),
		secret + "bob":     string(developer.TokenDisabled),
		secret + "nobody":  string(developer.TokenUnknown),
	} {
		who, err := authenticator.Authenticate(t.Context(), token)
		got := fmt.Sprint(err)
		if refused := (*developer.TokenError)(nil); err != nil && errors.As(err, &refused) {
			got = string(refused.Reason)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", token, got, want)
		}
		if ends := token == older+"alice-2"; ends == who.Expires.IsZero() {
			t.Errorf("%s ends on %v", token, who.Expires)
		}
	}
}

// The whole of what older installations with our own prefix need.
func TestNobodyIsLeftOutOfATableOfTokensWithOurPrefix(t *testing.T) {
	address := startDynamoDB(t)
	var items []map[string]any
	for _, who := range []string{"alice", "bob", "carol"} {
		items = append(items, map[string]any{"token": "codexproxy_" + strings.Repeat(who, 7), "user": who + "@example.com"})
	}
	fillTable(t, address, "codex-proxy-tokens", "token", items...)
	_, upstream := simulatedUpstream(t, simulated.Options{})
	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	data := t.TempDir()
	s := startServer(t, data, "serve", "--upstream", upstream)
	stdout, stderr, code := command(t, "", "import", "--from-dynamodb", "codex-proxy-tokens", "--endpoint", address, "--data", data)
	if code != 0 || !strings.Contains(stdout, "3 developers added, 3 tokens imported.") || stderr != "" {
		t.Errorf("the import exited with %d: %s%s", code, stdout, stderr)
	}
	for _, item := range items {
		if response := s.ask(http.DefaultClient, "http", item["token"].(string)); response.StatusCode != http.StatusOK {
			t.Errorf("%s got %s", item["user"], response.Status)
		}
	}
}

func TestALargeTableIsReadToItsEndAndNotWrittenTo(t *testing.T) {
	address := startDynamoDB(t)
	const people = 30
	padding := strings.Repeat("x", 100_000) // a page holds 1 MB
	var items []map[string]any
	for i := range people {
		items = append(items, map[string]any{"bearer": fmt.Sprintf("plaintext-token-%04d", i), "login": fmt.Sprintf("dev%02d", i), "history": padding})
	}
	client := fillTable(t, address, "users", "login", items...)
	args := []string{"import", "--from-dynamodb", "users", "--endpoint", address, "--data", t.TempDir(), "--json"}
	stdout, stderr, code := command(t, "", append(args, "--map", "token=bearer,developer=login")...)
	if code != 0 || !strings.Contains(stdout, `"added": 30`) || !strings.Contains(stdout, `"tokens_imported": 30`) {
		t.Errorf("the import exited with %d: %s%s", code, stdout, stderr)
	}
	count, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("users"), Limit: aws.Int32(3)})
	if err != nil || len(count.Items) != 3 || len(count.Items[0]) != 3 {
		t.Errorf("the table is not as it was: %v", err)
	}
}

func TestATableThatCannotBeReadIsNamed(t *testing.T) {
	address := startDynamoDB(t)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no such table":   {[]string{"--from-dynamodb", "missing"}, 1, `there is no table "missing" in this account and region`},
		"no such field":   {[]string{"--from-dynamodb", "missing", "--map", "tokens=x"}, 2, `"tokens" is nothing that an attribute can be mapped to`},
		"no table at all": {nil, 2, "--from-dynamodb"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := command(t, "", append([]string{"import", "--endpoint", address, "--data", t.TempDir()}, c.args...)...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("exited with %d and said %q, want %d and %q", code, stderr, c.code, c.want)
			}
		})
	}
}
