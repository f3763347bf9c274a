package record_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
)

// The variables that make a test's process one that is to be killed: where it
// keeps its data, and what it does wrong.
const (
	victimData  = "RECORD_TEST_VICTIM_DATA"
	victimFault = "RECORD_TEST_VICTIM_FAULT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimData); dir != "" {
		fmt.Fprintln(os.Stderr, runVictim(dir, os.Getenv(victimFault)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// estate is what a process leaves to the next: a spool, an archive, a ledger.
type estate struct {
	dir     string
	archive *disk.Archive
	ledger  *os.File
}

func openEstate(dir string) (*estate, error) {
	archive, err := disk.NewArchive(filepath.Join(dir, "archive"))
	if err != nil {
		return nil, err
	}
	ledger, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &estate{dir, archive, ledger}, nil
}

func (s *estate) openSpool() (*record.Spool, error) {
	return record.OpenSpool(filepath.Join(s.dir, "spool"), record.Options{
		Archive: s.archive, Ledger: s.write, Log: slog.New(slog.DiscardHandler), SegmentBytes: 16 << 10,
	})
}

// write appends rows to the ledger in one piece.
func (s *estate) write(_ context.Context, rows []exchange.Exchange) error {
	var lines bytes.Buffer
	lines.WriteByte('\n') // who was killed before may have left a part of a line
	for _, row := range rows {
		if err := json.NewEncoder(&lines).Encode(row); err != nil {
			return err
		}
	}
	_, err := s.ledger.Write(lines.Bytes())
	return err
}

// rows returns the rows by id; calling the ledger again must say the same.
func (s *estate) rows() (map[string]exchange.Exchange, []string, error) {
	raw, err := os.ReadFile(s.ledger.Name())
	if err != nil {
		return nil, nil, err
	}
	rows, lines, problems := map[string]exchange.Exchange{}, map[string][]byte{}, []string(nil)
	for line := range bytes.Lines(raw) {
		var row exchange.Exchange
		if json.Unmarshal(line, &row) != nil {
			continue // the kill came while it was written
		}
		if before := lines[row.ID]; before != nil && !bytes.Equal(before, line) {
			problems = append(problems, fmt.Sprintf("%s: the ledger is told something else the second time", row.ID))
		}
		rows[row.ID], lines[row.ID] = row, line
	}
	return rows, problems, nil
}

// bodyOf is what the exchange with an id sends and receives.
func bodyOf(id string) []byte {
	return bytes.Repeat([]byte(id+" ☃\n"), 1+int(id[len(id)-1])*3)
}

// isBuffered tells which exchanges have their request's body at hand when they are
// opened; the others stream it.
func isBuffered(id string) bool { return id[len(id)-2]%2 == 0 }

// runVictim carries exchanges until it is killed, and says what it was promised:
// "opened ID" when Open returned, "flushed ID" when Flush did.
func runVictim(dir, fault string) error {
	s, err := openEstate(dir)
	if err != nil {
		return err
	}
	spool, err := s.openSpool()
	if err != nil {
		return err
	}
	failed := make(chan error)
	for range 8 {
		go func() {
			for {
				if err := victimExchange(spool, fault); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

func victimExchange(spool *record.Spool, fault string) error {
	now := time.Now().UTC()
	e := exchange.Exchange{ID: exchange.NewID(now), Started: now, Developer: "alice@example.com", Outcome: exchange.Completed}
	if fault == "says opened too early" {
		fmt.Println("opened", e.ID)
		return nil
	}
	body := bodyOf(e.ID)
	buffered := body
	if !isBuffered(e.ID) || fault == "opens without the body" {
		buffered = nil
	}
	w, err := spool.Open(context.Background(), e, record.Message{Method: "POST"}, buffered)
	if err != nil {
		return err
	}
	fmt.Println("opened", e.ID)
	cut := rand.IntN(len(body))
	if !isBuffered(e.ID) {
		if err := errors.Join(w.WriteRequest(body[:cut]), w.WriteRequest(body[cut:])); err != nil {
			return err
		}
	}
	w.Answer(200, nil)
	if err := errors.Join(w.WriteResponse(body[:cut]), w.WriteResponse(body[cut:])); err != nil {
		return err
	}
	if fault == "says flushed too early" {
		fmt.Println("flushed", e.ID)
		return nil
	}
	if err := w.Flush(context.Background()); err != nil {
		return err
	}
	fmt.Println("flushed", e.ID)
	if rand.IntN(5) > 0 {
		e.Ended = time.Now().UTC()
		w.Close(e)
	}
	return nil
}

// promised is what a victim was promised before it died.
type promised struct{ opened, flushed []string }

// kill runs a victim on dir until it has said so many lines.
func kill(t *testing.T, dir, fault string, lines int) (p promised) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	victim := exec.CommandContext(ctx, os.Args[0])
	victim.Env = append(os.Environ(), victimData+"="+dir, victimFault+"="+fault)
	var stderr bytes.Buffer
	victim.Stderr = &stderr
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == lines {
			if err := victim.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := reader.ReadString('\n')
		if err != nil { // what it said before it died is read to the end
			break
		}
		what, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "opened":
			p.opened = append(p.opened, id)
		case "flushed":
			p.flushed = append(p.flushed, id)
		}
	}
	_ = victim.Wait() // it was killed
	if stderr.Len() > 0 {
		t.Fatalf("the victim failed by itself: %s", &stderr)
	}
	return p
}

// settle does what the next start does, and returns when all is settled.
func (s *estate) settle(t *testing.T) {
	t.Helper()
	spool, err := s.openSpool()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Recover(t.Context(), func(*exchange.Exchange, io.Reader, io.Reader) {}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := spool.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// check returns which promises were not kept.
func (s *estate) check(t *testing.T, p promised) []string {
	t.Helper()
	rows, problems, err := s.rows()
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]int{}
	for key, err := range s.archive.List(t.Context(), ".") {
		if err != nil {
			t.Fatal(err)
		}
		documents[strings.TrimSuffix(filepath.Base(key), ".json.zst")]++
	}
	flushed := map[string]bool{}
	for _, id := range p.flushed {
		flushed[id] = true
	}
	for _, id := range p.opened {
		if documents[id] != 1 {
			problems = append(problems, fmt.Sprintf("%s: %d documents", id, documents[id]))
		}
		row, ok := rows[id]
		if !ok {
			problems = append(problems, id+": no row")
			continue
		}
		doc, err := s.document(t.Context(), row)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", id, err))
			continue
		}
		for _, wrong := range wrongWith(doc, row, flushed[id]) {
			problems = append(problems, id+": "+wrong)
		}
	}
	return problems
}

func (s *estate) document(ctx context.Context, row exchange.Exchange) (*record.Document, error) {
	r, err := s.archive.Get(ctx, record.Key(row))
	if err != nil {
		return nil, err
	}
	defer r.Close() // only read
	return record.ReadDocument(r)
}

func wrongWith(doc *record.Document, row exchange.Exchange, flushed bool) (wrong []string) {
	if !cmp.Equal(doc.Exchange, row) {
		wrong = append(wrong, "the document and the row differ")
	}
	response := doc.Response
	if response == nil {
		response = new(record.Message)
	}
	whole := bodyOf(row.ID)
	for side, got := range map[string][]byte{"request": doc.Request.Bytes(), "answer": response.Bytes()} {
		if !bytes.HasPrefix(whole, got) {
			wrong = append(wrong, "the "+side+" is not what was written")
		}
		due := flushed || doc.Request.Incomplete == "" || side == "request" && isBuffered(row.ID)
		if len(got) < len(whole) && due {
			wrong = append(wrong, fmt.Sprintf("the %s has %d of %d bytes", side, len(got), len(whole)))
		}
	}
	switch interrupted := doc.Exchange.Outcome == exchange.Interrupted; {
	case interrupted && doc.Request.Incomplete == "":
		wrong = append(wrong, "an interrupted record is not marked")
	case !interrupted && doc.Exchange.Outcome != exchange.Completed:
		wrong = append(wrong, "the outcome is "+string(doc.Exchange.Outcome))
	}
	return wrong
}

func TestAKilledProcessKeepsItsPromises(t *testing.T) {
	dir := t.TempDir()
	s, err := openEstate(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.ledger.Close()
	var all promised
	for range 15 {
		p := kill(t, dir, "", rand.IntN(300))
		s.settle(t)
		all.opened, all.flushed = append(all.opened, p.opened...), append(all.flushed, p.flushed...)
	}
	for _, problem := range s.check(t, all) {
		t.Error(problem)
	}
	left, err := filepath.Glob(filepath.Join(dir, "spool", "*.log*"))
	if err != nil || len(left) > 0 {
		t.Errorf("%v are left in the spool, %v", left, err)
	}
	if len(all.flushed) == 0 {
		t.Error("no victim did anything")
	}
	t.Logf("%d opened, %d flushed", len(all.opened), len(all.flushed))
}

func TestABrokenPromiseIsSeen(t *testing.T) {
	for fault, want := range map[string]string{
		"says opened too early":  "no row",
		"says flushed too early": "bytes",
		"opens without the body": "the request has 0 of",
	} {
		t.Run(fault, func(t *testing.T) {
			dir := t.TempDir()
			s, err := openEstate(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.ledger.Close()
			p := kill(t, dir, fault, 50)
			s.settle(t)
			if problems := strings.Join(s.check(t, p), "\n"); !strings.Contains(problems, want) {
				t.Errorf("nobody notices: %q", problems)
			}
		})
	}
}
