package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger/ledgertest"
	"codex-proxy/internal/sqlite"
)

// exported exports a ledger of many exchanges and returns where to, and them.
func exported(t *testing.T) (directory string, rows []exchange.Exchange) {
	t.Helper()
	home := t.TempDir()
	store, err := sqlite.OpenLedger(t.Context(), filepath.Join(home, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	rows = ledgertest.Rows(11, 1500)
	if err := store.Add(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	directory = filepath.Join(home, "out")
	for range 2 { // again it says the same
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{
			"record", "export", "--parquet", "--data", home, "--out", directory, "--json",
			ledgertest.Start.Format(time.DateOnly), ledgertest.End.Format(time.DateOnly),
		}, strings.NewReader(""), &out, &errs)
		var days []exportedDay
		if err := json.Unmarshal(out.Bytes(), &days); code != exitDone || err != nil {
			t.Fatalf("exit code %d: %s %v", code, errs.String(), err)
		}
		sum := 0
		for _, day := range days {
			sum += day.Exchanges
		}
		if sum != len(rows) {
			t.Errorf("%d exchanges are exported, want %d", sum, len(rows))
		}
	}
	if left, _ := filepath.Glob(filepath.Join(directory, ".export-*")); len(left) > 0 {
		t.Errorf("half files stay: %v", left)
	}
	return directory, rows
}

// duckDB runs queries on exported files.
func duckDB(t *testing.T, directory string, queries ...string) (results []duckResult) {
	t.Helper()
	const program = "../../internal/parquet/testdata/duckdb"
	if _, err := os.Stat(program + "/node_modules/@duckdb/node-api"); err != nil {
		t.Skipf("DuckDB is not installed (npm install --no-package-lock --prefix internal/parquet/testdata/duckdb): what is exported is not read back")
	}
	asked, err := json.Marshal(map[string]any{"directory": directory, "queries": queries})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "node", program+"/query.js")
	command.Stdin, command.Stderr = bytes.NewReader(asked), os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("run DuckDB: %v", err)
	}
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("read what DuckDB says: %v\n%s", err, out)
	}
	return results
}

type duckResult struct {
	Columns []string
	Rows    [][]any
}

func TestWhatIsExportedIsWhatTheLedgerSays(t *testing.T) {
	directory, rows := exported(t)
	var nanos, tokens, unpriced, secrets int64
	days := map[string]bool{}
	for _, e := range rows {
		days[e.Started.UTC().Format(time.DateOnly)] = true
		if e.Cost.State == exchange.CostPriced {
			nanos += e.Cost.Nanos
		}
		if e.Cost.State == exchange.CostUnpriced {
			unpriced++
		}
		if e.Usage.State != exchange.UsageMissing {
			tokens += e.Usage.Total
		}
		if len(e.Findings) > 0 {
			secrets++
		}
	}
	results := duckDB(t, directory,
		`SELECT count(*), sum(cost_usd_nanos), sum(total_tokens), count(*) FILTER (WHERE cost_usd_nanos IS NULL), count(*) FILTER (WHERE carried_secrets), count(DISTINCT day) FROM exchanges`,
		`SELECT developer, CAST(started_at AS VARCHAR), duration_ms, CAST(day AS VARCHAR) FROM exchanges WHERE id = '`+rows[3].ID+`'`)
	if got, want := fmt.Sprint(results[0].Rows[0]), fmt.Sprintf("[%d %d %d %d %d %d]", len(rows), nanos, tokens, unpriced, secrets, len(days)); got != want {
		t.Errorf("the files add up to %s, want %s", got, want)
	}
	e := rows[3]
	at := strings.TrimRight(strings.TrimRight(e.Started.UTC().Format("2006-01-02 15:04:05.000000"), "0"), ".")
	if got, want := fmt.Sprint(results[1].Rows[0]), fmt.Sprint([]any{e.Developer, at + "+00", float64(e.DurationMicros) / 1000, e.Started.UTC().Format(time.DateOnly)}); got != want {
		t.Errorf("one exchange is %s, want %s", got, want)
	}
}

// TestTheQueriesOfTheDocumentationRun runs those of docs/analytics.md, whose tables
// have the columns that the files have.
func TestTheQueriesOfTheDocumentationRun(t *testing.T) {
	text, err := os.ReadFile("../../docs/analytics.md")
	if err != nil {
		t.Fatal(err)
	}
	var queries []string
	for _, found := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(text, -1) {
		queries = append(queries, strings.ReplaceAll(string(found[1]), "approx_percentile", "approx_quantile"))
	}
	if len(queries) != 5 {
		t.Fatalf("the documentation has %d queries", len(queries))
	}
	directory, _ := exported(t)
	results := duckDB(t, directory, append(queries, "SELECT * FROM exchanges LIMIT 1")...)
	for i, result := range results {
		if len(result.Rows) == 0 {
			t.Errorf("query %d finds nothing:\n%s", i+1, append(queries, "SELECT *")[i])
		}
	}
	_, table, _ := strings.Cut(string(text), "CREATE EXTERNAL TABLE exchanges (")
	table, _, _ = strings.Cut(table, "\n)")
	var columns []string
	for _, found := range regexp.MustCompile(`(\w+) (?:string|timestamp|boolean|int|bigint|double)\b`).FindAllStringSubmatch(table, -1) {
		columns = append(columns, found[1])
	}
	if got, want := results[5].Columns, append(columns, "day"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the files have the columns\n%v\nand the table of the documentation\n%v", got, want)
	}
}

func TestADayWithoutExchangesHasNoFile(t *testing.T) {
	home := t.TempDir()
	if err := (&Settings{Data: home}).initialize(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(home, "out")
	stale := filepath.Join(out, "day=2026-01-05", "exchanges.parquet")
	if err := os.MkdirAll(filepath.Dir(stale), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, stale, []byte("of a ledger that was rebuilt since"))
	var printed bytes.Buffer
	if code := run(t.Context(), []string{"record", "export", "--parquet", "--data", home, "--out", out, "2026-01-04", "2026-01-06"}, strings.NewReader(""), &printed, &printed); code != exitDone {
		t.Fatal(printed.String())
	}
	if want := "Exported 0 exchanges in 0 files, 0 bytes"; !strings.Contains(printed.String(), want) {
		t.Errorf("it says %q", printed.String())
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("the file of another time stays")
	}
	if code := run(t.Context(), []string{"record", "export", "2026-01-04", "--data", home}, strings.NewReader(""), &printed, &printed); code != exitMisuse {
		t.Errorf("without a form it ends with %d", code)
	}
}
