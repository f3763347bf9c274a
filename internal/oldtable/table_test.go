package oldtable_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/oldtable"
)

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func number(s string) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: s}
}
func truth(b bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: b} }

// pages is a table of which every item is a page, and after which comes an
// empty one, as DynamoDB does it.
type pages []item

func (p pages) Scan(_ context.Context, in *dynamodb.ScanInput, _ ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	at := 0
	if start, ok := in.ExclusiveStartKey["page"].(*types.AttributeValueMemberN); ok {
		var err error
		if at, err = strconv.Atoi(start.Value); err != nil {
			return nil, err
		}
	}
	if at == len(p) {
		return &dynamodb.ScanOutput{}, nil
	}
	return &dynamodb.ScanOutput{Items: []map[string]types.AttributeValue{p[at]}, LastEvaluatedKey: item{"page": number(strconv.Itoa(at + 1))}}, nil
}

func read(t *testing.T, mapping map[string]string, items ...item) oldtable.Table {
	t.Helper()
	m, err := oldtable.ParseMapping(mapping)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	table, err := oldtable.Read(t.Context(), pages(items), "users", m, func(n int) { seen = n })
	if err != nil {
		t.Fatal(err)
	}
	if table.Items != len(items) || seen != len(items) {
		t.Fatalf("%d items were read and %d told of, of %d", table.Items, seen, len(items))
	}
	return table
}

const token = "plaintext-token-0001"

func TestAttributesAreFoundByTheirUsualNames(t *testing.T) {
	for name, c := range map[string]struct {
		item    item
		mapping map[string]string
		want    oldtable.Person
	}{
		"all":                   {item{"token": text(token), "user": text("Alice"), "name": text("Alice A."), "team": text("core"), "enabled": truth(true)}, nil, oldtable.Person{ID: "alice", Name: "Alice A.", Team: "core", Enabled: true}},
		"in camel case":         {item{"apiKey": text(token), "userId": text("alice"), "Group": text("core")}, nil, oldtable.Person{ID: "alice", Team: "core", Enabled: true}},
		"the key itself":        {item{"pk": text(token), "email": text("alice@example.com")}, nil, oldtable.Person{ID: "alice@example.com", Enabled: true}},
		"the better one":        {item{"pk": text("USER#1"), "proxy_token": text(token), "developer": text("x"), "email": text("alice@example.com")}, nil, oldtable.Person{ID: "alice@example.com", Enabled: true}},
		"by a mapping":          {item{"token": text("another-token-0000001"), "bearer": text(token), "user": text("x"), "login": text("alice")}, map[string]string{"token": "bearer", "developer": "login"}, oldtable.Person{ID: "alice", Enabled: true}},
		"a status":              {item{"token": text(token), "user": text("alice"), "status": text("Active")}, nil, oldtable.Person{ID: "alice", Enabled: true}},
		"a status that says no": {item{"token": text(token), "user": text("alice"), "status": text("suspended")}, nil, oldtable.Person{ID: "alice"}},
		"disabled":              {item{"token": text(token), "user": text("alice"), "disabled": truth(true)}, nil, oldtable.Person{ID: "alice"}},
		"not disabled":          {item{"token": text(token), "user": text("alice"), "disabled": number("0")}, nil, oldtable.Person{ID: "alice", Enabled: true}},
		"one of two says no":    {item{"token": text(token), "user": text("alice"), "disabled": truth(true), "active": truth(true)}, nil, oldtable.Person{ID: "alice"}},
		"a number for an id":    {item{"token": text(token), "user_id": number("17")}, nil, oldtable.Person{ID: "17", Enabled: true}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Tokens = []oldtable.HeldToken{{Token: token}}
			table := read(t, c.mapping, c.item)
			if diff := cmp.Diff([]oldtable.Person{c.want}, table.People); diff != "" {
				t.Errorf("people (-want +got):\n%s\nleft out: %+v", diff, table.LeftOut)
			}
		})
	}
}

func TestWhatIsNotUnderstoodIsLeftOutWithoutItsValues(t *testing.T) {
	user := text("alice")
	for name, c := range map[string]struct {
		item item
		want string
	}{
		"no token":               {item{"user": user, "total": number("12345")}, "no token"},
		"no developer":           {item{"token": text(token)}, "no developer"},
		"an empty developer":     {item{"token": text(token), "user": text(" ")}, "no developer"},
		"a checksum of ours":     {item{"token": text("codexproxy_hiddenhi_" + strings.Repeat("z", 33)), "user": user}, `"token": the token has the very form of this proxy's own`},
		"a short token":          {item{"token": text("hidden"), "user": user}, `"token": a token to import has at least 16 characters`},
		"a token with a blank":   {item{"token": text("hidden hidden hidden"), "user": user}, `"token": a token holds no spaces`},
		"a key of another kind":  {item{"pk": text("hidden#hidden-hidden"), "user": user}, `"pk" holds no bare token`},
		"no id":                  {item{"token": text(token), "user": text("hidden hidden")}, `cannot be kept: "user"`},
		"an unprintable name":    {item{"token": text(token), "user": user, "name": text("hidden\x1b")}, `cannot be kept: "user", "name"`},
		"an unknown status":      {item{"token": text(token), "user": user, "status": text("hidden")}, `"status" has a value that says neither`},
		"a muddled yes or no":    {item{"token": text(token), "user": user, "disabled": text("active")}, `"disabled" has a value that says neither`},
		"an end that is no time": {item{"token": text(token), "user": user, "expires_at": text("hidden")}, `"expires_at" has a value that is no time`},
		"a token that is a map":  {item{"token": &types.AttributeValueMemberM{Value: item{"hidden": user}}, "user": user}, `"token" is neither text`},
	} {
		t.Run(name, func(t *testing.T) {
			table := read(t, nil, c.item, c.item)
			if len(table.People) != 0 || len(table.LeftOut) != 1 {
				t.Fatalf("%+v", table)
			}
			left := table.LeftOut[0]
			if left.Items != 2 || len(left.Attributes) != len(c.item) || !strings.Contains(left.Why, c.want) {
				t.Errorf("left out: %+v, want two because of %q", left, c.want)
			}
			if c.item["user"] == user && !slices.Equal(left.Developers, []string{"alice"}) {
				t.Errorf("it is told of %v, want alice", left.Developers)
			}
			if all := left.Why + strings.Join(left.Attributes, " ") + strings.Join(left.Developers, " "); strings.Contains(all, "hidden") || strings.Contains(all, token) || strings.Contains(all, "12345") {
				t.Errorf("it quotes a value: %s", all)
			}
		})
	}
}

func TestATokenKeepsItsEndByWhateverNameAndForm(t *testing.T) {
	end := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	for name, attributes := range map[string]item{
		"a date":       {"expires": text("2027-01-31")},
		"a time":       {"expiresAt": text("2027-01-31T01:00:00+01:00")},
		"seconds":      {"ttl": number("1801353600")},
		"milliseconds": {"valid_until": number("1801353600000")},
		"as text":      {"expires_at": text("1801353600")},
	} {
		t.Run(name, func(t *testing.T) {
			attributes["token"], attributes["user"] = text(token), text("alice")
			table := read(t, nil, attributes)
			if len(table.People) != 1 || !table.People[0].Tokens[0].Expires.Equal(end) {
				t.Errorf("people: %+v, left out: %+v", table.People, table.LeftOut)
			}
		})
	}
	if table := read(t, nil, item{"token": text(token), "user": text("alice"), "ttl": number("0")}); len(table.People) != 1 || !table.People[0].Tokens[0].Expires.IsZero() {
		t.Errorf("a token without an end: %+v", table)
	}
}

func TestWhatMayBeATokenIsNotTold(t *testing.T) {
	for user, named := range map[string]bool{
		"alice@example.com": true, "alice": true, "codexproxy_Zm9vYmFyYmF6": false, "a-login-of-16-char": false,
	} {
		table := read(t, nil, item{"token": text("too short"), "user": text(user)})
		if got := slices.Contains(table.LeftOut[0].Developers, user); got != named {
			t.Errorf("%s is told: %v, want %v", user, got, named)
		}
	}
}

func TestTheTokensOfDisabledItemsStayOutWhileOthersWork(t *testing.T) {
	of := func(n, user string, enabled bool) item {
		return item{"token": text(token + n), "user": text(user), "enabled": truth(enabled), "name": text("Name " + n)}
	}
	table := read(t, nil, of("1", "bob", false), of("2", "alice", false), of("3", "Alice", true), of("4", "bob", false), of("5", "alice", true))
	want := []oldtable.Person{
		{ID: "alice", Name: "Name 2", Enabled: true, Tokens: []oldtable.HeldToken{{Token: token + "3"}, {Token: token + "5"}}},
		{ID: "bob", Name: "Name 1", Tokens: []oldtable.HeldToken{{Token: token + "1"}, {Token: token + "4"}}},
	}
	if diff := cmp.Diff(want, table.People); diff != "" {
		t.Errorf("people (-want +got):\n%s", diff)
	}
	if len(table.LeftOut) != 1 || table.LeftOut[0].Items != 1 || !strings.Contains(table.LeftOut[0].Why, "alice") {
		t.Errorf("left out: %+v", table.LeftOut)
	}
	if diff := cmp.Diff([]string{"token"}, table.Attributes[oldtable.Token]); diff != "" {
		t.Errorf("attributes of tokens (-want +got):\n%s", diff)
	}
}

type failing struct{ err error }

func (f failing) Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	return nil, f.err
}

func TestATableThatFailsIsNoEmptyTable(t *testing.T) {
	down := errors.New("connection refused")
	if _, err := oldtable.Read(t.Context(), failing{down}, "users", nil, func(int) {}); !errors.Is(err, down) {
		t.Errorf("error: %v, want one that wraps %v", err, down)
	}
}
