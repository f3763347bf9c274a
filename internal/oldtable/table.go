// Package oldtable reads the DynamoDB table in which an older installation kept
// its developers' tokens in plain text. It reads only: nothing is ever written
// to DynamoDB.
//
// Such tables were never alike, so attributes are found by the names that are
// usual for them, or by those that a Mapping gives. What cannot be understood is
// told by the names of its attributes, never by their values, as any of these
// may be a token.
package oldtable

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"codex-proxy/internal/developer"
)

// pageLimit bounds the wait for one page of the table, with the SDK's retries.
const pageLimit = time.Minute

// Table is what was understood of a table, and what was not.
type Table struct {
	// Items is the number of items that were read.
	Items int
	// People are the developers, sorted by id.
	People []Person
	// Attributes are the names of the attributes that were used, by field.
	Attributes map[Field][]string
	// LeftOut are the items that were not understood, alike ones together.
	LeftOut []LeftOut
}

// Person is one developer with all their tokens.
type Person struct {
	// ID is the developer's, as developer.ParseID returns it.
	ID string
	// Name and Team are empty where no item has them.
	Name, Team string
	// Enabled is false when every item of theirs is disabled.
	Enabled bool
	// Tokens are those of their enabled items; of all where none is enabled.
	Tokens []HeldToken
}

// HeldToken is a token that somebody has.
type HeldToken struct {
	Token developer.Token
	// Expires is when it ends; zero means never.
	Expires time.Time
}

// LeftOut is a kind of items that were not understood.
type LeftOut struct {
	// Items is the number of them.
	Items int
	// Attributes are the names of all attributes that such an item has.
	Attributes []string
	// Developers are whose they are, sorted, where that can be told without telling
	// what may be a token.
	Developers []string
	// Why says what is missing or wrong.
	Why string
}

// Read reads a whole table, page by page and consistently. progress is told the
// number of items read so far.
func Read(ctx context.Context, client dynamodb.ScanAPIClient, table string, mapping Mapping, progress func(items int)) (Table, error) {
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	c := collector{mapping: mapping, people: map[string]*holder{}, leftOut: map[string]*LeftOut{}, used: map[Field]map[string]bool{}}
	for pages.HasMorePages() {
		page, err := nextPage(ctx, pages)
		var missing *types.ResourceNotFoundException
		if errors.As(err, &missing) {
			return Table{}, fmt.Errorf("there is no table %q in this account and region: check the name, --region and the AWS profile", table)
		}
		if err != nil {
			return Table{}, fmt.Errorf("read the table %q (which needs dynamodb:Scan): %w", table, err)
		}
		for _, item := range page.Items {
			c.add(item)
		}
		progress(c.items)
	}
	return c.table(), nil
}

func nextPage(ctx context.Context, pages *dynamodb.ScanPaginator) (*dynamodb.ScanOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, pageLimit)
	defer cancel()
	return pages.NextPage(ctx)
}

// collector puts items together.
type collector struct {
	mapping Mapping
	items   int
	people  map[string]*holder
	leftOut map[string]*LeftOut
	used    map[Field]map[string]bool
}

// holder is a person whose items are still being read.
type holder struct {
	Person
	enabled, disabled []HeldToken
}

func (c *collector) add(item map[string]types.AttributeValue) {
	c.items++
	e, why := c.mapping.understand(item)
	if why != "" {
		names := slices.Sorted(maps.Keys(item))
		key := strings.Join(names, "\x00") + "\x00" + why
		if c.leftOut[key] == nil {
			c.leftOut[key] = &LeftOut{Attributes: names, Why: why}
		}
		left := c.leftOut[key]
		left.Items++
		if at, there := slices.BinarySearch(left.Developers, e.id); e.id != "" && !there {
			left.Developers = slices.Insert(left.Developers, at, e.id)
		}
		return
	}
	for field, name := range e.attributes {
		if c.used[field] == nil {
			c.used[field] = map[string]bool{}
		}
		c.used[field][name] = true
	}
	p := c.people[e.id]
	if p == nil {
		p = &holder{Person: Person{ID: e.id}}
		c.people[e.id] = p
	}
	if p.Name == "" {
		p.Name = e.name
	}
	if p.Team == "" {
		p.Team = e.team
	}
	if e.enabled {
		p.enabled = append(p.enabled, e.token)
	} else {
		p.disabled = append(p.disabled, e.token)
	}
}

func (c *collector) table() Table {
	t := Table{Items: c.items, Attributes: map[Field][]string{}}
	for field, names := range c.used {
		t.Attributes[field] = slices.Sorted(maps.Keys(names))
	}
	for _, id := range slices.Sorted(maps.Keys(c.people)) {
		p := c.people[id]
		p.Enabled, p.Tokens = len(p.enabled) > 0, p.enabled
		if !p.Enabled {
			p.Tokens = p.disabled
		} else if n := len(p.disabled); n > 0 {
			c.leftOut["disabled\x00"+id] = &LeftOut{Items: n, Developers: []string{id}, Why: fmt.Sprintf("disabled, while %s has others that are enabled", id)}
		}
		t.People = append(t.People, p.Person)
	}
	for _, key := range slices.Sorted(maps.Keys(c.leftOut)) {
		t.LeftOut = append(t.LeftOut, *c.leftOut[key])
	}
	return t
}
