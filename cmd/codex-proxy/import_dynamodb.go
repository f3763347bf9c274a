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
	Map          map[string]string `help:"Attributes of the table with names of their own, such as token=bearer,developer=login; also name, team, enabled and disabled." mapsep:"," placeholder:"FIELD=ATTRIBUTE,…" env:"-"`
	DryRun       bool              `help:"Show what would be done, and do nothing." env:"-"`
	jsonFlag
}

// Help is the long form of the command's help.
func (*importCommand) Help() string {
	return `--from-data takes over from another codex-proxy, such as when moving from one machine to DynamoDB (--store): developers and teams who are not there yet, and tokens that are still valid, by their hashes, so that nobody needs a new one. Nothing is written to the other.

--from-dynamodb takes over from a table of plain tokens. An item of the table is a token in plain text and whose it is. Its attributes are found by their names, in this order and however they are written (user_id, userId): token: token, api_key, proxy_token, pk; developer: user, user_id, email, developer; name: name; team: team, group; enabled: enabled, active, status; disabled: disabled. --map names others.

Developers who are not there yet are added, and tokens stored as SHA-256 only, so that everybody's Codex goes on with the token that it has. Who is there already stays as they are. The token of an item that is disabled is taken only when the developer is disabled too. What cannot be understood is left out and listed, by names of attributes and never by values. Nothing is written to that table, of which dynamodb:Scan is all that is needed; run again, it adds only what is new.`
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
		return cmd.print(c, taken)
	})
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

// planTable works out what is new in an older table.
func planTable(c *console, store developer.Store, table oldtable.Table) (takenTable, error) {
	existing, err := store.Developers(c.ctx)
	if err != nil {
		return takenTable{}, err
	}
	at := now()
	var list roster.Roster
	for _, p := range table.People {
		list.Entries = append(list.Entries, roster.Entry{ID: p.ID, Name: p.Name, Team: p.Team})
	}
	plan := roster.PlanImport(list, existing, false, at)
	taken := takenTable{Table: table}
	seen := map[[sha256.Size]byte]string{}
	for i, person := range table.People {
		step := &plan.Steps[i]
		d := &step.After
		if step.Action == roster.Differs {
			d = &step.Before
		}
		if step.Action == roster.Add && !person.Enabled {
			d.Disable("", at)
		}
		row := takenRow{Action: step.Action, ID: d.ID, Name: d.Name, Team: d.Team, Enabled: d.Enabled}
		for _, token := range person.Tokens {
			if owner, twice := seen[token.Hash()]; twice {
				if owner != d.ID {
					taken.leaveOut(fmt.Sprintf("a token of %s that %s has too", d.ID, owner))
				}
				continue
			}
			seen[token.Hash()] = d.ID
			if !person.Enabled && d.Enabled {
				taken.leaveOut(fmt.Sprintf("disabled, while %s is enabled here", d.ID))
				continue
			}
			kept, err := findToken(c, store, d.ID, token)
			if err != nil {
				return takenTable{}, err
			}
			switch {
			case kept.problem != "":
				taken.leaveOut(fmt.Sprintf("a token of %s: %s", d.ID, kept.problem))
			case kept.there:
				row.TokensThere++
			default:
				credential, err := developer.Import(rand.Reader, token, d.ID, "", at, time.Time{})
				if err != nil {
					return takenTable{}, err
				}
				taken.batch.Tokens = append(taken.batch.Tokens, credential)
				row.TokensImported++
			}
		}
		taken.people = append(taken.people, row)
	}
	taken.batch.Add = plan.Batch().Add
	return taken, nil
}

func (t *takenTable) leaveOut(why string) {
	t.LeftOut = append(t.LeftOut, oldtable.LeftOut{Items: 1, Why: why})
}

// leftOutRow is a kind of items that were left out, in JSON.
type leftOutRow struct {
	Items      int      `json:"items"`
	Attributes []string `json:"attributes"`
	Why        string   `json:"why"`
}

func (cmd *importCommand) print(c *console, taken takenTable) error {
	left := rows(taken.LeftOut, func(l oldtable.LeftOut) leftOutRow {
		return leftOutRow{l.Items, append([]string{}, l.Attributes...), l.Why}
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
		fmt.Fprintf(c.stderr, "codex-proxy: left out %s%s: %s\n", plural(l.Items, "item"), terminal.Safe(attributes), terminal.Safe(l.Why))
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
