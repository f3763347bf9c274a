package oldtable

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"codex-proxy/internal/developer"
)

// Field is something that an item says.
type Field string

// The fields. An item needs a token and a developer.
const (
	Token     Field = "token"
	Developer Field = "developer"
	Name      Field = "name"
	Team      Field = "team"
	// Enabled is a yes or no, or a status such as "active"; Disabled is the
	// opposite. An item that has neither is enabled.
	Enabled  Field = "enabled"
	Disabled Field = "disabled"
	// Expires is when the token ends: a date, a time, or seconds or milliseconds
	// since 1970 UTC. One that has none, or 0, does not end.
	Expires Field = "expires"
)

// inOrder are all fields, with whose an item is first: what is wrong with another is
// told with it.
var inOrder = []Field{Developer, Token, Name, Team, Enabled, Disabled, Expires}

// usual are the names of attributes, as plainName returns them, the better ones
// first.
var usual = map[Field][]string{
	Token:     {"token", "apikey", "proxytoken", partitionKey},
	Developer: {"user", "userid", "email", "developer"},
	Name:      {"name"},
	Team:      {"team", "group"},
	Enabled:   {"enabled", "active", "status"},
	Disabled:  {"disabled"},
	Expires:   {"expires", "expiresat", "expiry", "expiration", "validuntil", "ttl"},
}

// partitionKey often holds the token, and as often something else.
const partitionKey = "pk"

// Mapping names the attributes of fields whose names are not the usual ones.
type Mapping map[Field]string

// ParseMapping checks a mapping as it is given on the command line.
func ParseMapping(given map[string]string) (Mapping, error) {
	m := Mapping{}
	for field, attribute := range given {
		if usual[Field(field)] == nil {
			return nil, fmt.Errorf("%q is nothing that an attribute can be mapped to: use token, developer, name, team, enabled, disabled or expires", field)
		}
		if attribute == "" {
			return nil, fmt.Errorf("the attribute for %s has no name", field)
		}
		m[Field(field)] = attribute
	}
	return m, nil
}

// entry is an item that was understood.
type entry struct {
	id, name, team string
	token          HeldToken
	enabled        bool
	attributes     map[Field]string // where each field was found
}

// understand returns what an item says, or why it cannot be understood.
func (m Mapping) understand(item map[string]types.AttributeValue) (e entry, why string) {
	e.attributes = map[Field]string{}
	texts := map[Field]string{}
	for _, field := range inOrder {
		attribute := m.find(field, item)
		if attribute == "" {
			continue
		}
		text, ok := textOf(item[attribute])
		if !ok {
			return e, fmt.Sprintf("the attribute %q is neither text, a number nor a truth value", attribute)
		}
		if text != "" {
			texts[field], e.attributes[field] = text, attribute
		}
		if field == Developer {
			e.id = nameable(text)
		}
	}
	for _, needed := range []Field{Token, Developer} {
		if texts[needed] == "" {
			return e, fmt.Sprintf("no %s: '--map %s=ATTRIBUTE' names its attribute", needed, needed)
		}
	}
	token := developer.Token(texts[Token])
	if m[Token] == "" && plainName(e.attributes[Token]) == partitionKey && strings.ContainsAny(texts[Token], "#@") {
		return e, fmt.Sprintf("%q holds no bare token: '--map token=ATTRIBUTE' names the attribute that does", e.attributes[Token])
	}
	if err := developer.CheckImported(token); err != nil {
		return e, fmt.Sprintf("%q: %v", e.attributes[Token], err)
	}
	if e.enabled, why = isEnabled(texts, e.attributes); why != "" {
		return e, why
	}
	expires, known := moment(texts[Expires])
	if !known {
		return e, fmt.Sprintf("%q has a value that is no time", e.attributes[Expires])
	}
	d, err := developer.New(texts[Developer], texts[Name], texts[Team], time.Time{})
	if err != nil { // which quotes values
		return e, "the developer, name or team cannot be kept: " + strings.Join(attributesOf(e.attributes, Developer, Name, Team), ", ")
	}
	e.id, e.name, e.team, e.token = d.ID, d.Name, texts[Team], HeldToken{token, expires}
	return e, ""
}

// nameable is the id that a developer's attribute holds, where it can be told of
// an item that is not understood: what is neither an e-mail address nor too short
// for a token may be a token, in a table whose attributes are others.
func nameable(text string) string {
	id, err := developer.ParseID(text)
	if err != nil || !strings.Contains(id, "@") && developer.CheckImported(developer.Token(id)) == nil {
		return ""
	}
	return id
}

// moment reads a time; zero for none. Numbers are seconds since 1970 UTC, or
// milliseconds where seconds would be thousands of years away.
func moment(text string) (at time.Time, known bool) {
	if text == "" || text == "0" {
		return time.Time{}, true
	}
	if number, err := strconv.ParseFloat(text, 64); err == nil {
		const firstMillis, lastMillis = 1e11, 1e15
		switch {
		case number > 0 && number < firstMillis:
			return time.UnixMilli(int64(number * 1000)).UTC(), true
		case number >= firstMillis && number < lastMillis:
			return time.UnixMilli(int64(number)).UTC(), true
		}
		return time.Time{}, false
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// find returns the attribute that holds a field; empty when none does.
func (m Mapping) find(field Field, item map[string]types.AttributeValue) string {
	if mapped := m[field]; mapped != "" {
		if _, there := item[mapped]; there {
			return mapped
		}
		return ""
	}
	best, rank := "", len(usual[field])
	for attribute := range item {
		if at := slices.Index(usual[field], plainName(attribute)); at >= 0 && (at < rank || at == rank && attribute < best) {
			best, rank = attribute, at
		}
	}
	return best
}

// plainName is an attribute's name whatever the convention: "user_id" and
// "userId" are "userid".
func plainName(name string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
}

func textOf(value types.AttributeValue) (text string, ok bool) {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return strings.TrimSpace(v.Value), true
	case *types.AttributeValueMemberN:
		return v.Value, true
	case *types.AttributeValueMemberBOOL:
		return fmt.Sprint(v.Value), true
	case *types.AttributeValueMemberNULL:
		return "", true
	}
	return "", false
}

// isEnabled reads the two fields that say so. A word that is not known must not
// let somebody in, so it is not understood.
func isEnabled(texts map[Field]string, attributes map[Field]string) (enabled bool, why string) {
	enabled = true
	for _, field := range []Field{Enabled, Disabled} {
		if texts[field] == "" {
			continue
		}
		yes, known := truth(texts[field], field == Enabled)
		if !known {
			return false, fmt.Sprintf("%q has a value that says neither enabled nor disabled", attributes[field])
		}
		enabled = enabled && yes == (field == Enabled)
	}
	return enabled, ""
}

// truth reads a yes or no, and where statuses is true a status.
func truth(word string, statuses bool) (yes, known bool) {
	switch word = strings.ToLower(word); word {
	case "true", "1", "yes", "y", "on":
		return true, true
	case "false", "0", "no", "n", "off":
		return false, true
	}
	if !statuses {
		return false, false
	}
	switch word {
	case "enabled", "active", "ok", "valid":
		return true, true
	case "disabled", "inactive", "revoked", "suspended", "blocked", "deleted", "expired":
		return false, true
	}
	return false, false
}

// attributesOf names the attributes of those fields that the item has.
func attributesOf(attributes map[Field]string, fields ...Field) (names []string) {
	for _, field := range fields {
		if name := attributes[field]; name != "" {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	return names
}
