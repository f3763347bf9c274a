package standin_test

import (
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/ledger/ledgertest"
	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/s3"
	"codex-proxy/internal/secretsmanager"
	"codex-proxy/internal/signin"
	"codex-proxy/internal/standin"
)

// TestAServerMakesTheseCallsAndNoOthers takes every step that an exchange needs of
// AWS, as a process that finds the services by its environment. What it is let do
// should be this and no more.
func TestAServerMakesTheseCallsAndNoOthers(t *testing.T) {
	tables := standin.NewLine(t, standin.DynamoDB(t))
	bucket := standin.NewLine(t, standin.S3(t, "archive"))
	keys := standin.SecretsManager(t)
	keys.Set("openai", "sk-example")
	for name, value := range standin.Environment(map[string]string{
		"DYNAMODB": tables.Address, "S3": bucket.Address, "SECRETS_MANAGER": keys.Address,
	}) {
		t.Setenv(name, value)
	}
	ctx := t.Context()
	loaded, err := config.LoadDefaultConfig(ctx)
	check(t, err)

	// What is there before the server is.
	api := dynamodb.Connect(loaded)
	check(t, dynamodb.CreateTable(ctx, api, dynamodb.TokensTable(dynamodb.DefaultTokensTable)))
	check(t, dynamodb.CreateTable(ctx, api, dynamodb.UsageTable(dynamodb.DefaultUsageTable)))
	d, err := developer.New("alice@example.com", "", "", time.Now())
	check(t, err)
	token, credential, err := developer.Issue(rand.Reader, d.ID, "", time.Now(), time.Time{})
	check(t, err)
	admin := dynamodb.NewDevelopers(api, dynamodb.DefaultTokensTable)
	check(t, admin.AddDeveloper(ctx, d, credential))
	code, invitation, err := invite.New(rand.Reader, d.ID, time.Now(), time.Now().Add(time.Hour))
	check(t, err)
	_, err = admin.AddInvitation(ctx, invitation, false)
	check(t, err)
	tables.Forget()

	developers := dynamodb.NewDevelopers(api, dynamodb.DefaultTokensTable)
	check(t, developers.Ping(ctx))
	for range 2 {
		_, err = developer.NewAuthenticator(developers, time.Now).Authenticate(ctx, token.Reveal())
		check(t, err)
	}
	check(t, developers.SetLastUsed(ctx, map[string]time.Time{credential.ID: time.Now()}))
	start(t, developers)
	_, err = developers.Offer(ctx, code.Hash())
	check(t, err)
	check(t, developers.Redeem(ctx, code.Hash(), issue(t, d.ID, time.Time{})))
	signIn(t, developers)
	calls(t, "the table of tokens", tables, standin.ServerCalls.Tokens...)

	usage := dynamodb.NewLedger(api, dynamodb.DefaultUsageTable)
	check(t, usage.Ping(ctx))
	rows := ledgertest.Rows(1, 20)
	for range 2 {
		check(t, usage.Add(ctx, rows))
	}
	_, err = usage.Spent(ctx, d.ID, "", ledgertest.Start, ledgertest.Start.AddDate(0, 1, 0))
	check(t, err)
	_, err = usage.Exchanges(ctx, ledger.ExchangeQuery{Developer: rows[0].Developer, Limit: 10})
	check(t, err)
	_, err = usage.Sessions(ctx, ledger.SessionQuery{Limit: 10})
	check(t, err)
	calls(t, "the table of usage", tables, standin.ServerCalls.Usage...)

	archive := s3.NewArchive(s3.Connect(loaded), s3.Location{Bucket: "archive"}, "")
	check(t, archive.Ping(ctx))
	for _, size := range []int{10, 9 << 20} {
		key := "2026/02/16/alice/" + exchange.NewID(time.Now()) + ".json.zst"
		check(t, archive.Put(ctx, key, strings.NewReader(strings.Repeat("x", size)), int64(size)))
		r, err := archive.Get(ctx, key)
		check(t, err)
		check(t, r.Close())
	}
	check(t, archive.Remove(ctx, "open/"+exchange.NewID(time.Now())+".json"))
	calls(t, "the bucket", bucket, standin.ServerCalls.Archive...)

	secret, err := secretsmanager.Open(ctx, secretsmanager.Connect(loaded), "openai", func(text string) (string, error) { return text, nil },
		secretsmanager.Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	check(t, err)
	if value := secret.Value(ctx); value != "sk-example" {
		t.Errorf("the secret is %q", value)
	}
}

// start does what a server does when it starts: it keeps its rules for secrets and
// the key of their placeholders, and looks at the teams that people sign in to.
func start(t *testing.T, developers *dynamodb.Developers) {
	_, err := developers.Keep(t.Context(), "key", []byte("value"))
	check(t, err)
	check(t, developers.AddRuleSet(t.Context(), redaction.RuleSet{Since: time.Now(), Document: []byte("{}")}))
	_, err = developers.Teams(t.Context())
	check(t, err)
}

// signIn does what is done when a person signs in who was never seen, and when one
// does who has a token that ended.
func signIn(t *testing.T, developers signin.Store) {
	ctx := t.Context()
	d, err := developer.New("bob@example.com", "", "", time.Now())
	check(t, err)
	check(t, developers.AddDeveloper(ctx, d, issue(t, d.ID, time.Now().Add(time.Minute))))
	_, err = developers.UpdateDeveloper(ctx, d.ID, func(d *developer.Developer) error { d.Name = "Bob"; return nil })
	check(t, err)
	check(t, developers.AddTokenAndTidy(ctx, issue(t, d.ID, time.Time{}), func(tokens []developer.TokenInfo) (ended, deleted []string) {
		return nil, []string{tokens[0].ID}
	}))
}

func issue(t *testing.T, owner string, expires time.Time) developer.Credential {
	t.Helper()
	_, credential, err := developer.Issue(rand.Reader, owner, "", time.Now(), expires)
	check(t, err)
	return credential
}

// calls checks which calls were made since the last time.
func calls(t *testing.T, of string, line *standin.Line, want ...string) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), line.Operations()); diff != "" {
		t.Errorf("calls of %s (-want +got):\n%s", of, diff)
	}
	line.Forget()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
