package dynamodb_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/developer/developertest"
	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/onboard/invite/invitetest"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/redaction/redactiontest"
	"codex-proxy/internal/standin"
)

// newTable makes an empty table of a test's own.
func newTable(t testing.TB, api *sdk.Client, define func(name string) *sdk.CreateTableInput) string {
	t.Helper()
	name := "table-" + rand.Text()
	succeeds(t, dynamodb.CreateTable(t.Context(), api, define(name)))
	return name
}

func succeeds(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func issue(t testing.TB, owner string) (developer.Token, developer.Credential) {
	t.Helper()
	token, credential, err := developer.Issue(rand.Reader, owner, "", time.Now(), time.Time{})
	succeeds(t, err)
	return token, credential
}

func addAlice(t testing.TB, store *dynamodb.Developers) (developer.Token, developer.Credential) {
	t.Helper()
	d, err := developer.New("alice@example.com", "Alice", "", time.Now())
	succeeds(t, err)
	token, credential := issue(t, d.ID)
	succeeds(t, store.AddDeveloper(t.Context(), d, credential))
	return token, credential
}

func TestDevelopersKeepTheStoresContract(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	developertest.Run(t, func(t *testing.T) developer.Store {
		return dynamodb.NewDevelopers(api, newTable(t, api, dynamodb.TokensTable))
	})
}

func TestBatchesKeepTheStoresContract(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	developertest.RunBatches(t, func(t *testing.T) developertest.BatchStore {
		return dynamodb.NewDevelopers(api, newTable(t, api, dynamodb.TokensTable))
	})
}

func TestTidyingKeepsTheStoresContract(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	developertest.RunTidy(t, func(t *testing.T) (server, other developertest.TidyStore) {
		table := newTable(t, api, dynamodb.TokensTable)
		return dynamodb.NewDevelopers(api, table), dynamodb.NewDevelopers(api, table)
	})
}

// TestABatchThatBreaksDownIsFinishedByAskingAgain lets the table fail in the
// middle of a batch.
func TestABatchThatBreaksDownIsFinishedByAskingAgain(t *testing.T) {
	line, store, _, _ := unreliable(t)
	batch := func() (b developer.Batch) {
		there, err := store.Developers(t.Context())
		succeeds(t, err)
		for n := range 30 {
			d, err := developer.New(fmt.Sprintf("dev-%02d@example.com", n), "", "core", time.Now())
			succeeds(t, err)
			if slices.ContainsFunc(there, func(is developer.Developer) bool { return is.ID == d.ID }) {
				continue
			}
			_, credential := issue(t, d.ID)
			b.Add, b.Tokens = append(b.Add, d), append(b.Tokens, credential)
		}
		return b
	}
	var writes atomic.Int64
	line.Fail(func(operation string) standin.Fault {
		if operation == "PutItem" && writes.Add(1) > 60 {
			return standin.Broken
		}
		return standin.None
	})
	if err := store.ApplyBatch(t.Context(), batch()); !errors.Is(err, developer.ErrHalfDone) {
		t.Fatalf("ApplyBatch: %v, want to hear that it is half done", err)
	}
	line.FailAll(standin.None)
	rest := batch()
	if len(rest.Add) == 0 || len(rest.Add) == 30 {
		t.Errorf("%d developers are left to add, so it did not break down in the middle", len(rest.Add))
	}
	succeeds(t, store.ApplyBatch(t.Context(), rest))
	tokens, err := store.Tokens(t.Context(), "")
	succeeds(t, err)
	if len(tokens) != 31 {
		t.Errorf("%d tokens, want one for each of 31 developers", len(tokens))
	}
}

// TestABatchThatBreaksDownIsFinishedByApplyingItAgain applies the very same batch,
// whose tokens may have been handed out, and loses an answer now and then.
func TestABatchThatBreaksDownIsFinishedByApplyingItAgain(t *testing.T) {
	line, store, _, held := unreliable(t)
	alice, err := store.Developer(t.Context(), held.Developer)
	succeeds(t, err)
	moved := alice
	moved.Team = "core"
	batch := developer.Batch{Change: []developer.Change{{Before: alice, After: moved}}}
	for n := range 30 {
		d, err := developer.New(fmt.Sprintf("dev-%02d@example.com", n), "", "core", time.Now())
		succeeds(t, err)
		_, credential := issue(t, d.ID)
		batch.Add, batch.Tokens = append(batch.Add, d), append(batch.Tokens, credential)
	}
	_, more := issue(t, alice.ID)
	batch.Tokens = append(batch.Tokens, more)
	applied := 0
	for broken := true; broken; applied++ {
		var writes atomic.Int64
		line.Fail(func(operation string) standin.Fault {
			n := writes.Add(1)
			switch {
			case n > 100:
				return standin.Broken
			case n%7 == 0 && operation == "PutItem":
				return standin.Lost
			}
			return standin.None
		})
		err := store.ApplyBatch(t.Context(), batch)
		if broken = err != nil; broken && !errors.Is(err, developer.ErrHalfDone) || applied == 20 {
			t.Fatalf("ApplyBatch: %v, want to hear that it is half done", err)
		}
	}
	line.FailAll(standin.None)
	if applied < 2 {
		t.Error("it did not break down")
	}
	succeeds(t, store.ApplyBatch(t.Context(), batch)) // all is done
	for _, c := range batch.Tokens {
		if g, err := store.Grant(t.Context(), c.Hash); err != nil || g.Holder.ID != c.Developer || g.Holder.Team != "core" {
			t.Errorf("the token of %s is %s's in %s, %v", c.Developer, g.Holder.ID, g.Holder.Team, err)
		}
	}
	if all, err := store.Tokens(t.Context(), ""); len(all) != 32 || err != nil {
		t.Errorf("%d tokens, %v; want 32", len(all), err)
	}
	// What somebody has changed since is not undone, and not passed over.
	_, err = store.UpdateDeveloper(t.Context(), batch.Add[0].ID, func(d *developer.Developer) error { d.Name = "Zoe"; return nil })
	succeeds(t, err)
	if err := store.ApplyBatch(t.Context(), batch); !errors.Is(err, developer.ErrExists) || errors.Is(err, developer.ErrHalfDone) {
		t.Errorf("ApplyBatch after somebody's change: %v, want %v", err, developer.ErrExists)
	}
}

func TestTheClaimOfAnInvitationExpires(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	table := newTable(t, api, dynamodb.TokensTable)
	store := dynamodb.NewDevelopers(api, table)
	addAlice(t, store)
	_, sealed, err := invite.New(rand.Reader, "alice@example.com", time.Now(), time.Now().Add(time.Hour))
	succeeds(t, err)
	_, err = store.AddInvitation(t.Context(), sealed, false)
	succeeds(t, err)
	out, err := api.Scan(t.Context(), &sdk.ScanInput{TableName: &table})
	succeeds(t, err)
	var expiring []string
	for _, is := range out.Items {
		if at, expires := is["expires_at"].(*types.AttributeValueMemberN); expires {
			expiring = append(expiring, is["id"].(*types.AttributeValueMemberS).Value)
			if want := fmt.Sprint(sealed.Expires.Add(30 * 24 * time.Hour).Unix()); at.Value != want {
				t.Errorf("it expires at %s, want %s", at.Value, want)
			}
		}
	}
	if want := []string{fmt.Sprintf("invitation#%x", sealed.Hash)}; !slices.Equal(expiring, want) {
		t.Errorf("what expires is %q, want %q", expiring, want)
	}
}

func TestInvitationsKeepTheStoresContract(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	invitetest.Run(t, func(t *testing.T) invitetest.Store {
		return dynamodb.NewDevelopers(api, newTable(t, api, dynamodb.TokensTable))
	})
}

func TestRuleSetsKeepTheStoresContract(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	redactiontest.Run(t, func(t *testing.T) func() redaction.History {
		table := newTable(t, api, dynamodb.TokensTable)
		return func() redaction.History { return dynamodb.NewDevelopers(api, table) }
	})
}

func TestWhatIsMadeOnceIsTheSameForAllReplicas(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	table := newTable(t, api, dynamodb.TokensTable)
	var starting sync.WaitGroup
	kept := make([]string, 6)
	for i := range kept {
		starting.Go(func() {
			value, err := dynamodb.NewDevelopers(api, table).Keep(t.Context(), "key", fmt.Append(nil, "made by ", i))
			if err != nil {
				t.Error(err)
			}
			kept[i] = string(value)
		})
	}
	starting.Wait()
	if kept[0] == "" || len(slices.Compact(kept)) != 1 {
		t.Errorf("replicas have %q", kept)
	}
}

func TestDevelopersKeepTheStoresContractBetweenReplicas(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	developertest.RunShared(t, func(t *testing.T) (server, command developer.Store) {
		table := newTable(t, api, dynamodb.TokensTable)
		return dynamodb.NewDevelopers(api, table), dynamodb.NewDevelopers(api, table)
	})
}

// unreliable returns a store with one developer, and the line to it.
func unreliable(t testing.TB) (*standin.Line, *dynamodb.Developers, developer.Token, developer.Credential) {
	t.Helper()
	line := standin.NewLine(t, standin.DynamoDB(t))
	api := dynamodb.Connect(standin.Config(line.Address))
	store := dynamodb.NewDevelopers(api, newTable(t, api, dynamodb.TokensTable))
	token, credential := addAlice(t, store)
	return line, store, token, credential
}

func TestAnOutageOfTheStoreIsNoVerdictOnTheToken(t *testing.T) {
	for name, fault := range map[string]standin.Fault{"throttled": standin.Throttled, "broken": standin.Broken, "hung": standin.Hung} {
		t.Run(name, func(t *testing.T) {
			line, store, token, _ := unreliable(t)
			line.FailAll(fault)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := developer.NewAuthenticator(store, time.Now).Authenticate(ctx, token.Reveal())
			var refused *developer.TokenError
			if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
				t.Errorf("Authenticate: %v, want an outage", err)
			}
			line.FailAll(standin.None)
			if _, err := developer.NewAuthenticator(store, time.Now).Authenticate(t.Context(), token.Reveal()); err != nil {
				t.Errorf("after the outage: %v", err)
			}
		})
	}
}

func TestAThrottledTableIsSaidToBeThrottled(t *testing.T) {
	line, store, _, _ := unreliable(t)
	line.FailAll(standin.Throttled)
	if _, err := store.Developers(t.Context()); err == nil || !strings.Contains(err.Error(), "throttles") {
		t.Errorf("Developers: %v, want to hear of throttling", err)
	}
}

func TestAMissingTableIsSaidToBeMissing(t *testing.T) {
	store := dynamodb.NewDevelopers(dynamodb.Connect(standin.Config(standin.DynamoDB(t))), "nowhere")
	if err := store.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "no such table") {
		t.Errorf("Ping: %v, want to hear that the table is missing", err)
	}
}

func TestAnAnswerThatIsTornIsAskedForAgain(t *testing.T) {
	line, store, token, c := unreliable(t)
	torn := map[string]bool{}
	line.Fail(func(operation string) standin.Fault {
		if torn[operation] {
			return standin.None
		}
		torn[operation] = true
		return standin.Torn
	})
	if _, err := developer.NewAuthenticator(store, time.Now).Authenticate(t.Context(), token.Reveal()); err != nil {
		t.Errorf("Authenticate: %v", err)
	}
	if d, err := store.UpdateDeveloper(t.Context(), c.Developer, func(d *developer.Developer) error { d.Name += "!"; return nil }); err != nil || d.Name != "Alice!" {
		t.Errorf("UpdateDeveloper: %q, %v", d.Name, err)
	}
	if all, err := store.Developers(t.Context()); len(all) != 1 || err != nil {
		t.Errorf("Developers: %d, %v", len(all), err)
	}
}

// TestALostAnswerIsNoSecondWrite breaks the connection after each write was
// served: the SDK repeats it, and it must neither fail nor happen twice.
func TestALostAnswerIsNoSecondWrite(t *testing.T) {
	line, store, _, c := unreliable(t)
	loseOnce := func() {
		lost := map[string]bool{}
		line.Fail(func(operation string) standin.Fault {
			if lost[operation] || operation != "PutItem" && operation != "DeleteItem" {
				return standin.None
			}
			lost[operation] = true
			return standin.Lost
		})
	}
	ctx := t.Context()

	loseOnce()
	if d, err := store.UpdateDeveloper(ctx, c.Developer, func(d *developer.Developer) error {
		d.Name += "!"
		return nil
	}); err != nil || d.Name != "Alice!" {
		t.Errorf("UpdateDeveloper: %q, %v", d.Name, err)
	}
	loseOnce()
	token, more := issue(t, c.Developer)
	succeeds(t, store.AddToken(ctx, more))
	if _, err := developer.NewAuthenticator(store, time.Now).Authenticate(ctx, token.Reveal()); err != nil {
		t.Errorf("the added token: %v", err)
	}
	loseOnce()
	if team, err := store.UpdateTeam(ctx, "core", time.Now(), func(p *developer.Policy) error {
		p.RequestsPerMinute++
		return nil
	}); err != nil || team.Policy.RequestsPerMinute != 1 {
		t.Errorf("UpdateTeam: %+v, %v", team.Policy, err)
	}
	loseOnce()
	succeeds(t, store.RemoveDeveloper(ctx, c.Developer))
}

// TestAClaimOfNobodysIsTakenOver makes a claim such as a crash leaves behind.
func TestAClaimOfNobodysIsTakenOver(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	table := newTable(t, api, dynamodb.TokensTable)
	store := dynamodb.NewDevelopers(api, table)
	_, held := addAlice(t, store)
	claim := func(key, owner string, at time.Time) {
		_, err := api.PutItem(t.Context(), &sdk.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
			"id":        &types.AttributeValueMemberS{Value: key},
			"developer": &types.AttributeValueMemberS{Value: owner},
			"team":      &types.AttributeValueMemberS{Value: ""},
			"stamp":     &types.AttributeValueMemberS{Value: "theirs"},
			"claimed":   &types.AttributeValueMemberN{Value: fmt.Sprint(at.UnixMilli())},
		}})
		succeeds(t, err)
	}
	for _, owner := range []string{"bob", held.Developer} {
		for at, want := range map[time.Time]error{time.Now(): developer.ErrExists, time.Now().Add(-time.Hour): nil} {
			token, c := issue(t, held.Developer)
			claim(fmt.Sprintf("hash#%x", c.Hash), owner, at)
			if err := store.AddToken(t.Context(), c); !errors.Is(err, want) {
				t.Errorf("AddToken beside a claim for %s of %s: %v, want %v", owner, at, err, want)
			}
			_, err := developer.NewAuthenticator(store, time.Now).Authenticate(t.Context(), token.Reveal())
			if (err == nil) != (want == nil) {
				t.Errorf("Authenticate beside a claim for %s of %s: %v", owner, at, err)
			}
		}
	}
	// However old it is, a claim that is borne out stands.
	claim(fmt.Sprintf("hash#%x", held.Hash), held.Developer, time.Now().Add(-time.Hour))
	again := held
	again.ID = "another1"
	if err := store.AddToken(t.Context(), again); !errors.Is(err, developer.ErrExists) {
		t.Errorf("AddToken of a token that is held: %v, want %v", err, developer.ErrExists)
	}
}

// TestADeveloperIsNeverHalfAdded lets every call of adding a developer fail
// in turn. Whatever the outcome, the token works exactly if the developer is
// there, and what was half done stands in nobody's way for good.
func TestADeveloperIsNeverHalfAdded(t *testing.T) {
	for failing := 1; ; failing++ {
		line, store, _, _ := unreliable(t)
		calls := 0
		line.Fail(func(string) standin.Fault {
			if calls++; calls >= failing {
				return standin.Broken
			}
			return standin.None
		})
		token, c := issue(t, "bob")
		d, err := developer.New("bob", "", "core", time.Now())
		succeeds(t, err)
		added := store.AddDeveloper(t.Context(), d, c)
		line.FailAll(standin.None)

		_, missing := store.Developer(t.Context(), "bob")
		_, refused := developer.NewAuthenticator(store, time.Now).Authenticate(t.Context(), token.Reveal())
		if (added == nil) != (missing == nil) || (added == nil) != (refused == nil) {
			t.Errorf("call %d failing: added %v, found %v, authenticated %v", failing, added, missing, refused)
		}
		if added == nil {
			return
		}
		// A fresh token, as its maker would give them one, works at once.
		token, c = issue(t, "bob")
		succeeds(t, store.AddDeveloper(t.Context(), d, c))
		if _, err := developer.NewAuthenticator(store, time.Now).Authenticate(t.Context(), token.Reveal()); err != nil {
			t.Errorf("call %d failing, tried again: %v", failing, err)
		}
	}
}

func TestATokenSeenBeforeIsLookedUpWithOneCall(t *testing.T) {
	line, store, token, _ := unreliable(t)
	authenticator := developer.NewAuthenticator(store, time.Now)
	var calls atomic.Int64
	line.Fail(func(string) standin.Fault { calls.Add(1); return standin.None })
	for range 3 {
		if _, err := authenticator.Authenticate(t.Context(), token.Reveal()); err != nil {
			t.Fatal(err)
		}
	}
	if calls.Load() != 2+1+1 {
		t.Errorf("%d calls for three look-ups, want 4", calls.Load())
	}
}

func TestTheTableHoldsNoToken(t *testing.T) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(t)))
	table := newTable(t, api, dynamodb.TokensTable)
	token, _ := addAlice(t, dynamodb.NewDevelopers(api, table))
	out, err := api.Scan(t.Context(), &sdk.ScanInput{TableName: &table})
	succeeds(t, err)
	var all bytes.Buffer
	for _, item := range out.Items {
		for name, value := range item {
			fmt.Fprintf(&all, "%s %+v\n", name, value)
		}
	}
	text := token.Reveal()
	if all.Len() == 0 || strings.Contains(all.String(), text[len(text)-33:len(text)-6]) {
		t.Errorf("the table holds the token, or nothing: %d bytes", all.Len())
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	api := dynamodb.Connect(standin.Config(standin.DynamoDB(b)))
	store := dynamodb.NewDevelopers(api, newTable(b, api, dynamodb.TokensTable))
	token, _ := addAlice(b, store)
	authenticator := developer.NewAuthenticator(store, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := authenticator.Authenticate(b.Context(), token.Reveal()); err != nil {
			b.Fatal(err)
		}
	}
}
