package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/onboard"
	"codex-proxy/internal/record"
	"codex-proxy/internal/s3"
	"codex-proxy/internal/signin"
	"codex-proxy/internal/upstream"
)

// serverDoctor checks the parts of a server, each by itself: what one needs of
// another is opened anew, so that one that fails hides no other.
type serverDoctor struct {
	c *console
	// open returns where upstream is, and the key.
	open func(*console) (proxyOptions, error)
	tell func(onboard.Finding)
}

// examineServer tells of each part of a server whether it works.
func examineServer(c *console, open func(*console) (proxyOptions, error), tell func(onboard.Finding)) {
	d := &serverDoctor{c, open, tell}
	d.settings()
	_, err := os.Stat(c.settings.Data)
	begun := !errors.Is(err, fs.ErrNotExist) // else looking would make what is looked for
	d.data()
	d.spool()
	if begun || c.settings.usesTables() {
		d.developers()
	}
	if begun || c.settings.usesBucket() {
		d.archive()
	}
	d.secrets()
	d.upstream()
	d.signIn()
	d.prices()
	if begun || c.settings.usesTables() {
		d.ledger() // last, as it says what went wrong lately
	}
}

func (d *serverDoctor) pass(check, format string, args ...any) {
	d.tell(onboard.Finding{Check: check, Verdict: onboard.OK, Detail: fmt.Sprintf(format, args...)})
}

func (d *serverDoctor) warn(check, detail, fix string) {
	d.tell(onboard.Finding{Check: check, Verdict: onboard.Warn, Detail: detail, Fix: fix})
}

func (d *serverDoctor) fail(check string, err error, fix string) {
	d.tell(onboard.Finding{Check: check, Verdict: onboard.Fail, Detail: err.Error(), Fix: fix})
}

// checkLimit bounds one check.
const checkLimit = 15 * time.Second

func (d *serverDoctor) limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(d.c.ctx, checkLimit)
}

// settings tells which settings file is read; one that is wrong ends every command.
func (d *serverDoctor) settings() {
	path := d.c.settings.Config
	if _, err := os.Stat(path); err != nil {
		d.pass("settings", "no settings file (%s): flags, variables and defaults hold", path)
		return
	}
	d.pass("settings", "%s is read", path)
}

// Bytes of free space below which a disk is worth a word.
const (
	lowSpace    = 5 << 30
	scarceSpace = 500 << 20
)

func (d *serverDoctor) data() {
	const check = "data"
	directory := d.c.settings.Data
	info, err := os.Stat(directory)
	if errors.Is(err, fs.ErrNotExist) {
		d.warn(check, directory+" does not exist", "it is made by the first start; if there was one, name the directory with --data")
		return
	}
	if err != nil {
		d.fail(check, err, "let the server's user read and write it")
		return
	}
	file, err := os.CreateTemp(directory, ".doctor-*")
	if err != nil {
		d.fail(check, err, "let the server's user write to it; run the doctor as that user")
		return
	}
	_ = errors.Join(file.Close(), os.Remove(file.Name()))
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		d.warn(check, fmt.Sprintf("others can look into %s (mode %04o)", directory, info.Mode().Perm()), "chmod 700 "+directory)
		return
	}
	free, known := freeSpace(directory)
	switch {
	case known && free < scarceSpace:
		d.fail(check, fmt.Errorf("%s has %s MB left", directory, grouped(free>>20)), "make room, before records cannot be opened and requests are refused")
	case known && free < lowSpace:
		d.warn(check, fmt.Sprintf("%s has %s MB left", directory, grouped(free>>20)), "make room soon: records need it")
	case known:
		d.pass(check, "%s can be written to, %s GB are free", directory, grouped(free>>30))
	default:
		d.pass(check, "%s can be written to", directory)
	}
}

// spool looks at what waits to be settled. A server at work always has some.
func (d *serverDoctor) spool() {
	const check = "spool"
	logs, err := filepath.Glob(filepath.Join(d.c.settings.spoolDirectory(), "*.log"))
	if err != nil {
		d.fail(check, err, "")
		return
	}
	var size int64
	oldest := now()
	for _, path := range logs {
		if info, err := os.Stat(path); err == nil {
			size += info.Size()
			if info.ModTime().Before(oldest) {
				oldest = info.ModTime()
			}
		}
	}
	const stale = time.Hour
	if age := now().Sub(oldest); len(logs) > 0 && age > stale {
		d.warn(check, fmt.Sprintf("%s wait, the oldest since %s", plural(len(logs), "file"), age.Round(time.Minute)),
			"if no server runs, start one: it settles them; if one does, its log says what the archive or the ledger refuses")
		return
	}
	d.pass(check, "%s, %s KB", plural(len(logs), "file"), grouped(size>>10))
}

func (d *serverDoctor) developers() {
	const check = "developers"
	ctx, cancel := d.limited()
	defer cancel()
	began := time.Now()
	if d.c.settings.usesTables() && !d.table(ctx, check, d.c.settings.tokensTable(), dynamodb.TokensTable) {
		return
	}
	store, err := d.c.settings.openDevelopers(ctx, change)
	if err == nil {
		err = d.c.settings.checkTables(ctx)
	}
	if err != nil {
		d.fail(check, err, "")
		return
	}
	defer store.Close()
	all, err := store.Developers(ctx)
	if err == nil {
		err = store.Probe(ctx)
	}
	if err != nil {
		d.fail(check, err, whoMay(d.c.settings))
		return
	}
	if len(all) == 0 {
		d.warn(check, "nobody may use the proxy yet", "codex-proxy developer add alice@example.com")
		return
	}
	enabled := 0
	for _, one := range all {
		if one.Enabled {
			enabled++
		}
	}
	d.tell(onboard.Finding{
		Check: check, Verdict: onboard.OK, Millis: float64(time.Since(began).Microseconds()) / 1000,
		Detail: fmt.Sprintf("%s, %d enabled; can be read and written", plural(len(all), "developer"), enabled),
	})
}

// whoMay says what to do about a store that refuses.
func whoMay(s *Settings) string {
	if s.usesTables() {
		return "docs/stores.md lists what the role must be allowed"
	}
	return "run the doctor as the server's user"
}

// table compares a table of DynamoDB with what is needed; false where it cannot be
// used.
func (d *serverDoctor) table(ctx context.Context, check, name string, define func(string) *sdk.CreateTableInput) bool {
	loaded, err := d.c.settings.aws(ctx)
	if err != nil {
		d.fail(check, err, "")
		return false
	}
	remarks, err := dynamodb.Inspect(ctx, dynamodb.Connect(loaded), define(name))
	if err != nil {
		d.fail(check, err, "")
		return false
	}
	for _, remark := range remarks {
		what, fix, _ := strings.Cut(remark, ": ")
		d.warn(check, "the table "+name+": "+what, fix)
	}
	return true
}

func (d *serverDoctor) archive() {
	const check = "archive"
	ctx, cancel := d.limited()
	defer cancel()
	began := time.Now()
	archive, err := d.c.settings.openArchive(ctx, change)
	if err != nil {
		d.fail(check, err, "")
		return
	}
	switch a := archive.(type) {
	case *s3.Archive:
		if err := a.Probe(ctx); err != nil {
			d.fail(check, err, whoMay(d.c.settings))
			return
		}
		for _, remark := range a.Remarks(ctx) {
			what, fix, _ := strings.Cut(remark, ": ")
			d.warn(check, "the bucket: "+what, fix)
		}
	case *disk.Archive:
		if err := a.Probe(ctx); err != nil {
			d.fail(check, err, whoMay(d.c.settings))
			return
		}
	}
	newest := time.Time{}
	for e, err := range record.Exchanges(ctx, archive, record.Filter{First: now().AddDate(0, 0, -1), Last: now()}) {
		if err != nil {
			d.fail(check, err, "a record that cannot be read: see what it is, and whether the disk or the bucket is whole")
			return
		}
		newest = e.Started
		break // the newest comes first
	}
	detail := "a document can be put, read and removed"
	if !newest.IsZero() {
		detail += "; the newest record is of " + moment(newest)
	}
	d.tell(onboard.Finding{Check: check, Verdict: onboard.OK, Detail: detail, Millis: float64(time.Since(began).Microseconds()) / 1000})
}

func (d *serverDoctor) secrets() {
	const check = "secrets"
	ctx, cancel := d.limited()
	defer cancel()
	text, at, err := readSecretsKey(ctx, d.c.settings)
	if err != nil {
		d.fail(check, err, "")
		return
	}
	if text == nil {
		d.warn(check, "there is no key for placeholders yet", "the first start makes it; if there was one, restore "+at+", as placeholders that are in use cannot be put back without it")
		return
	}
	if !d.c.settings.usesTables() && runtime.GOOS != "windows" {
		if info, err := os.Stat(at); err == nil && info.Mode().Perm()&0o077 != 0 {
			d.warn(check, fmt.Sprintf("others can read %s (mode %04o)", at, info.Mode().Perm()), "chmod 600 "+at)
		}
	}
	key, err := secretsKey(ctx, d.c.settings)
	if err == nil {
		_, err = d.c.settings.secretRules(key)
	}
	if err != nil {
		d.fail(check, err, "docs/secrets.md")
		return
	}
	d.pass(check, "the rules can be used; the key of the placeholders is in %s", at)
}

// upstream asks OpenAI for its models with the key.
func (d *serverDoctor) upstream() {
	const check = "upstream"
	ctx, cancel := d.limited()
	defer cancel()
	options, err := d.open(&console{ctx: ctx, settings: d.c.settings})
	if err != nil {
		d.fail(check, err, "give the doctor the variables and flags that the server has")
		return
	}
	transport := upstream.NewTransport(upstream.TransportOptions{AnswerTimeout: checkLimit})
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, options.upstream.String()+"/models", nil)
	if err != nil {
		d.fail(check, err, "")
		return
	}
	request.Header.Set("Authorization", "Bearer "+options.key().Reveal())
	began := time.Now()
	response, err := transport.RoundTrip(request)
	if err != nil {
		d.fail(check, err, "see whether this machine may reach "+options.upstream.Host+": DNS, firewall, HTTPS_PROXY")
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	f := onboard.Finding{Check: check, Verdict: onboard.OK, Millis: float64(time.Since(began).Microseconds()) / 1000}
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		f.Verdict, f.Detail, f.Fix = onboard.Fail, options.upstream.Host+" does not take the key (401)", "put a valid key where the server finds it"
	case response.StatusCode == http.StatusForbidden:
		f.Verdict, f.Detail = onboard.Warn, options.upstream.Host+" takes the key, but does not let it list models (403)"
		f.Fix = "nothing, if the key is restricted on purpose"
	case response.StatusCode >= http.StatusBadRequest:
		f.Verdict, f.Detail, f.Fix = onboard.Warn, fmt.Sprintf("%s answers %s", options.upstream.Host, response.Status), "see the service's health, and --upstream"
	default:
		f.Detail = options.upstream.Host + " takes the key"
	}
	d.tell(f)
}

func (d *serverDoctor) signIn() {
	const check = "sign-in"
	config, err := d.c.settings.signInConfig()
	if err != nil {
		d.fail(check, err, "docs/sign-in.md")
		return
	}
	if config == nil {
		return // there is none
	}
	ctx, cancel := d.limited()
	defer cancel()
	if err := signin.New(*config, nil, now, slog.New(slog.DiscardHandler)).Check(ctx); err != nil {
		d.fail(check, err, "docs/sign-in.md; who has a token goes on meanwhile")
		return
	}
	d.pass(check, "the issuer answers")
}

func (d *serverDoctor) prices() {
	const check = "prices"
	book, err := d.c.settings.priceBook()
	if err != nil {
		d.fail(check, err, "")
		return
	}
	edition, err := time.Parse(time.DateOnly, book.Edition())
	const old = 120 * 24 * time.Hour
	if err == nil && now().Sub(edition) > old {
		d.warn(check, "the price book is of "+book.Edition(), "take a newer version of codex-proxy, or a price file of your own (codex-proxy price update --help)")
		return
	}
	d.pass(check, "the price book is of %s", book.Edition())
}

// ledger looks at the ledger, and at what it tells of the last days.
func (d *serverDoctor) ledger() {
	const check = "ledger"
	ctx, cancel := d.limited()
	defer cancel()
	if d.c.settings.usesTables() && !d.table(ctx, check, d.c.settings.usageTable(), dynamodb.UsageTable) {
		return
	}
	store, err := d.c.settings.openLedger(ctx, change)
	if err != nil {
		d.fail(check, err, "")
		return
	}
	defer store.Close()
	err = store.Ping(ctx)
	if err == nil {
		err = store.Probe(ctx)
	}
	var report *ledger.Report
	today := now().Truncate(24 * time.Hour)
	if err == nil {
		report, err = ledger.NewReport(ctx, store, ledger.Query{From: today.AddDate(0, 0, -7), To: today.AddDate(0, 0, 1), By: ledger.ByModel, Zone: time.UTC})
	}
	if err != nil {
		d.fail(check, err, whoMay(d.c.settings))
		return
	}
	d.pass(check, "%s in 7 days; can be read and written", plural(int(report.Total.Records), "exchange"))
	var unpriced []string
	for _, row := range report.Rows {
		if row.Unpriced > 0 {
			unpriced = append(unpriced, row.Key)
		}
	}
	if len(unpriced) > 0 {
		slices.Sort(unpriced)
		d.warn("unpriced", fmt.Sprintf("%s in 7 days without a price: %s", plural(int(report.Total.Unpriced), "exchange"), strings.Join(unpriced, ", ")),
			"add the price (codex-proxy price update --help), then codex-proxy price reprice")
	}
	d.errors(ctx, store)
}

// errors tells what the proxy itself ended or could not do in the last day.
func (d *serverDoctor) errors(ctx context.Context, store books) {
	const most = 1000
	found, err := store.Exchanges(ctx, ledger.ExchangeQuery{From: now().AddDate(0, 0, -1), Origin: exchange.OriginProxy, Limit: most})
	if err != nil {
		d.fail("errors", err, "")
		return
	}
	found = slices.DeleteFunc(found, func(e exchange.Exchange) bool { // what was refused on purpose
		return e.Outcome == exchange.Refused && e.Refusal != "proxy_unavailable"
	})
	if len(found) == 0 {
		d.pass("errors", "the proxy itself ended no exchange in 24 hours")
		return
	}
	last := found[0]
	d.warn("errors", fmt.Sprintf("%s in 24 hours that the proxy itself ended, the last at %s: %s", plural(len(found), "exchange"), moment(last.Started), last.Error),
		"codex-proxy record show "+last.ID)
}
