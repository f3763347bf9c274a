package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/oldtable"
	"codex-proxy/internal/roster"
	"codex-proxy/internal/terminal"
)

// importCommand takes over what another installation has.
type importCommand struct {
	FromDynamoDB string            `name:"from-dynamodb" required:"" xor:"from" help:"Table of plain tokens of an older installation." placeholder:"TABLE" env:"-"`
	FromData     string            `name:"from-data" required:"" xor:"from" help:"Data directory of another codex-proxy, whose developers, teams and tokens go on here as they are." placeholder:"DIR" env:"-"`
	Region       string            `help:"AWS region of the table, if not that of the AWS profile." env:"-"`
	Endpoint     string            `help:"Address of DynamoDB, if not AWS's own." placeholder:"URL" env:"-"`
	Map          map[string]string `help:"Attributes of the table with names of their own, such as token=bearer,developer=login; also name, team, enabled, disabled and expires." mapsep:"," placeholder:"FIELD=ATTRIBUTE,…" env:"-"`
	DryRun       bool              `help:"Show what would be done, and do nothing." env:"-"`
	jsonFlag
}

// Help is the long form of the command's help.
func (*importCommand) Help() string {
	return `--from-data takes over from another codex-proxy, such as when moving from one machine to DynamoDB (--store): developers and teams who are not there yet, and tokens that are still valid, by their hashes, so that nobody needs a new one. Nothing is written to the other.

--from-dynamodb takes over from a table of plain tokens. An item of the table is a token in plain text and whose it is. Its attributes are found by their names, in this order and however they are written (user_id, userId): token: token, api_key, proxy_token, pk; developer: user, user_id, email, developer; name: name; team: team, group; enabled: enabled, active, status; disabled: disabled; expires: expires, expires_at, expiry, expiration, valid_until, ttl. --map names others.

Developers who are not there yet are added, and tokens stored as SHA-256 only, so that everybody's Codex goes on with the token that it has. Who is there already stays as they are. The token of an item that is disabled is taken only when the developer is disabled too. A token is any text of 16 to 4096 visible ASCII characters, and ends when it would have there. What cannot be understood, is disabled or has ended is left out and listed, by names of attributes and never by values, and the exit code is then 1. Nothing is written to that table, of which dynamodb:Scan is all that is needed; run again, it adds only what is new.`
}

func (cmd *importCommand) Run(c *console) error {
	if cmd.FromData != "" {
		return cmd.importData(c)
	}
	return cmd.importTable(c)
}

func (cmd *importCommand) importTable(c *console) error {
	mapping, err := oldtable.ParseMapping(cmd.Map)
	if err != nil {
		return misuse("--map: %v", err)
	}
	settings, err := config.LoadDefaultConfig(c.ctx, config.WithRegion(cmd.Region))
	if err != nil {
		return fmt.Errorf("read the AWS configuration: %w", err)
	}
	if settings.Region == "" {
		return misuse("in which AWS region is the table? Give --region, or set AWS_REGION")
	}
	client := dynamodb.NewFromConfig(settings, func(o *dynamodb.Options) {
		if cmd.Endpoint != "" {
			o.BaseEndpoint = &cmd.Endpoint
		}
	})
	shown := startProgress(c, "")
	defer shown.clear()
	table, err := oldtable.Read(c.ctx, client, cmd.FromDynamoDB, mapping, func(items int) {
		shown.say(func() string { return "read " + plural(items, "item") })
	})
	if err != nil {
		return err
	}
	shown.clear()
	return withRegister(c, changeUnless(cmd.DryRun), func(store register) error {
		taken, err := planTable(c, store, table)
		if err != nil {
			return err
		}
		if !cmd.DryRun {
			known, err := store.Teams(c.ctx)
			if err != nil {
				return err
			}
			if err := store.ApplyBatch(c.ctx, taken.batch); err != nil {
				return explainBatch(err)
			}
			noteNewTeams(c, known, taken.batch)
		}
		if err := cmd.print(c, taken); err != nil {
			return err
		}
		return leftOut(taken.countLeftOut(), "item")
	})
}

// leftOut fails a command that has done, and told, all that it could.
func leftOut(n int, what string) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("left out %s in all, as listed: put them right and run this again, or issue new tokens to whom they belong", plural(n, what))
}

// takenTable is what an older table asks for.
type takenTable struct {
	oldtable.Table
	batch  developer.Batch
	people []takenRow
}

// takenRow is a developer of an older table, in JSON.
type takenRow struct {
	Action  roster.Action `json:"action"`
	ID      string        `json:"id"`
	Name    string        `json:"name"`
	Team    string        `json:"team"`
	Enabled bool          `json:"enabled"`
	// TokensImported and TokensThere count the developer's tokens of the table.
	TokensImported int `json:"tokens_imported"`
	TokensThere    int `json:"tokens_there"`
}

// tablePlan is what planTable works with.
type tablePlan struct {
	c     *console
	store developer.Store
	at    time.Time
	taken takenTable
	// owners are whose the tokens are that were looked at.
	owners map[[sha256.Size]byte]string
}

// planTable works out what is new in an older table.
func planTable(c *console, store developer.Store, table oldtable.Table) (takenTable, error) {
	existing, err := store.Developers(c.ctx)
	if err != nil {
		return takenTable{}, err
	}
	p := tablePlan{c: c, store: store, at: now(), taken: takenTable{Table: table}, owners: map[[sha256.Size]byte]string{}}
	var list roster.Roster
	for _, person := range table.People {
		list.Entries = append(list.Entries, roster.Entry{ID: person.ID, Name: person.Name, Team: person.Team})
	}
	plan := roster.PlanImport(list, existing, false, p.at)
	for i, person := range table.People {
		step := &plan.Steps[i]
		d := &step.After
		if step.Action == roster.Differs {
			d = &step.Before
		}
		if step.Action == roster.Add && !person.Enabled {
			d.Disable("", p.at)
		}
		row := takenRow{Action: step.Action, ID: d.ID, Name: d.Name, Team: d.Team, Enabled: d.Enabled}
		for _, held := range person.Tokens {
			if err := p.take(&row, held, person.Enabled); err != nil {
				return takenTable{}, err
			}
		}
		p.taken.people = append(p.taken.people, row)
	}
	p.taken.batch.Add = plan.Batch().Add
	return p.taken, nil
}

// take takes one token of a developer's, or leaves it out and says why. enabled
// tells whether they were enabled in the older table.
func (p *tablePlan) take(row *takenRow, held oldtable.HeldToken, enabled bool) error {
	hash := held.Token.Hash()
	if owner, twice := p.owners[hash]; twice {
		if owner != row.ID {
			p.taken.leaveOut(row.ID, fmt.Sprintf("a token of %s that %s has too", row.ID, owner))
		}
		return nil
	}
	p.owners[hash] = row.ID
	switch {
	case !enabled && row.Enabled:
		p.taken.leaveOut(row.ID, fmt.Sprintf("disabled, while %s is enabled here", row.ID))
		return nil
	case !held.Expires.IsZero() && !p.at.Before(held.Expires):
		p.taken.leaveOut(row.ID, fmt.Sprintf("a token of %s that ended on %s", row.ID, moment(held.Expires)))
		return nil
	}
	kept, err := findToken(p.c, p.store, row.ID, held.Token)
	switch {
	case err != nil:
		return err
	case kept.problem != "":
		p.taken.leaveOut(row.ID, fmt.Sprintf("a token of %s: %s", row.ID, kept.problem))
	case kept.there:
		row.TokensThere++
	default:
		credential, err := developer.Import(rand.Reader, held.Token, row.ID, "", p.at, held.Expires)
		if err != nil {
			return err
		}
		p.taken.batch.Tokens = append(p.taken.batch.Tokens, credential)
		row.TokensImported++
	}
	return nil
}

func (t *takenTable) leaveOut(id, why string) {
	t.LeftOut = append(t.LeftOut, oldtable.LeftOut{Items: 1, Developers: []string{id}, Why: why})
}

// countLeftOut is the number of items that were left out.
func (t *takenTable) countLeftOut() (n int) {
	for _, left := range t.LeftOut {
		n += left.Items
	}
	return n
}

// leftOutRow is a kind of items that were left out, in JSON.
type leftOutRow struct {
	Items      int      `json:"items"`
	Attributes []string `json:"attributes"`
	Developers []string `json:"developers"`
	Why        string   `json:"why"`
}

// belong says whose the items are, where that is known.
func (l leftOutRow) belong() string {
	const shown = 10
	switch n := len(l.Developers); {
	case n == 0:
		return ""
	case n > shown:
		return fmt.Sprintf(" of %s and %s more", strings.Join(l.Developers[:shown], ", "), thousands(int64(n-shown)))
	}
	return " of " + strings.Join(l.Developers, ", ")
}

func (cmd *importCommand) print(c *console, taken takenTable) error {
	left := rows(taken.LeftOut, func(l oldtable.LeftOut) leftOutRow {
		return leftOutRow{l.Items, append([]string{}, l.Attributes...), append([]string{}, l.Developers...), l.Why}
	})
	if cmd.JSON {
		return printSafeJSON(c.stdout, struct {
			DryRun         bool                        `json:"dry_run"`
			Items          int                         `json:"items"`
			Added          int                         `json:"added"`
			TokensImported int                         `json:"tokens_imported"`
			Attributes     map[oldtable.Field][]string `json:"attributes"`
			Developers     []takenRow                  `json:"developers"`
			LeftOut        []leftOutRow                `json:"left_out"`
		}{cmd.DryRun, taken.Items, len(taken.batch.Add), len(taken.batch.Tokens), taken.Attributes, append([]takenRow{}, taken.people...), left})
	}
	if len(taken.people) > 0 {
		if err := printTable(c.stdout, []string{"DEVELOPER", "ACTION", "ACCESS", "NAME", "TEAM", "NEW TOKENS", "THERE ALREADY"}, rows(taken.people, takenCells)); err != nil {
			return err
		}
	}
	for _, l := range left {
		attributes := ""
		if len(l.Attributes) > 0 {
			attributes = " with the attributes " + strings.Join(l.Attributes, ", ")
		}
		fmt.Fprintf(c.stderr, "codex-proxy: left out %s%s%s: %s\n", plural(l.Items, "item"), terminal.Safe(l.belong()), terminal.Safe(attributes), terminal.Safe(l.Why))
	}
	var found []string
	for _, field := range slices.Sorted(maps.Keys(taken.Attributes)) {
		found = append(found, fmt.Sprintf("%s in %s", field, strings.Join(taken.Attributes[field], ", ")))
	}
	words := [2]string{"added", "imported"}
	end := "."
	if cmd.DryRun {
		words, end = [2]string{"to add", "to import"}, ". Nothing was changed."
	}
	_, err := fmt.Fprintf(c.stdout, "Of %s (%s): %s %s, %s %s%s\n", plural(taken.Items, "item"), terminal.Safe(list(found...)),
		plural(len(taken.batch.Add), "developer"), words[0], plural(len(taken.batch.Tokens), "token"), words[1], end)
	return err
}

func takenCells(r takenRow) []string {
	return []string{
		r.ID, string(r.Action), access(developer.Developer{Enabled: r.Enabled}), r.Name, r.Team,
		strconv.Itoa(r.TokensImported), strconv.Itoa(r.TokensThere),
	}
}
