// Package archivetest holds what every record.Archive promises, as tests that
// each implementation runs.
package archivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/record"
)

// Run holds an implementation to the contract. open returns a new, empty archive
// for each test.
func Run(t *testing.T, open func(t *testing.T) record.Archive) {
	for name, test := range map[string]func(*testing.T, record.Archive){
		"a document that was put is got":                     testPutGet,
		"putting again replaces":                             testReplace,
		"a document that breaks off leaves the one before":   testBrokenPut,
		"a document shorter than said leaves the one before": testShortPut,
		"a large document is whole or not there":             testLarge,
		"what is missing is fs.ErrNotExist":                  testMissing,
		"days are inclusive and in order":                    testDays,
		"Keys yields records alone":                          testRecordsAlone,
		"List yields a prefix in order":                      testList,
		"a loop may end early":                               testEarlyEnd,
		"an ended context ends a listing":                    testEndedContext,
		"no key leads outside":                               testEscapes,
		"readers see whole documents while many write":       testConcurrentPuts,
		"a record is replaced whole, and nothing else":       testReplaceRecord,
		"a change that fails leaves the record as it was":    testFailedChange,
		"a record with members unknown is not replaced":      testUnknownMember,
		"readers see the old record or the new one":          testReplaceBesideReaders,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func key(day, developer string, n int) string {
	return fmt.Sprintf("%s/%s/018e0000-0000-7000-8000-%012d.json.zst", day, developer, n)
}

func put(t *testing.T, a record.Archive, key, doc string) {
	t.Helper()
	if err := a.Put(t.Context(), key, strings.NewReader(doc), int64(len(doc))); err != nil {
		t.Fatal(err)
	}
}

func wantDocument(t *testing.T, a record.Archive, key, want string) {
	t.Helper()
	r, err := a.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds %.60q, want %.60q", key, got, want)
	}
}

func wantKeys(t *testing.T, keys iter.Seq2[string, error], want ...string) {
	t.Helper()
	var got []string
	for key, err := range keys {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func day(text string) time.Time {
	d, err := time.Parse("2006/01/02", text)
	if err != nil {
		panic(err)
	}
	return d
}

func testPutGet(t *testing.T, a record.Archive) {
	for n, doc := range []string{"", "a", strings.Repeat("0123456789", 1<<18)} {
		put(t, a, key("2026/02/16", "alice%40example.com", n), doc)
	}
	wantDocument(t, a, key("2026/02/16", "alice%40example.com", 0), "")
	wantDocument(t, a, key("2026/02/16", "alice%40example.com", 1), "a")
	wantDocument(t, a, key("2026/02/16", "alice%40example.com", 2), strings.Repeat("0123456789", 1<<18))
}

func testReplace(t *testing.T, a record.Archive) {
	k := key("2026/02/16", "alice", 1)
	put(t, a, k, "a long first document")
	put(t, a, k, "second")
	wantDocument(t, a, k, "second")
	wantKeys(t, a.Keys(t.Context(), day("2026/02/16"), day("2026/02/16")), k)
}

func testBrokenPut(t *testing.T, a record.Archive) {
	old, missing := key("2026/02/16", "alice", 1), key("2026/02/16", "alice", 2)
	put(t, a, old, "whole")
	for _, k := range []string{old, missing} {
		broken := io.MultiReader(strings.NewReader("half"), failing{})
		if err := a.Put(t.Context(), k, broken, 8); !errors.Is(err, errBroken) {
			t.Errorf("putting a document that breaks off: %v, want an error that says why", err)
		}
	}
	wantDocument(t, a, old, "whole")
	wantKeys(t, a.Keys(t.Context(), day("2026/02/16"), day("2026/02/16")), old)
}

var errBroken = errors.New("the source broke off")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

func testShortPut(t *testing.T, a record.Archive) {
	k := key("2026/02/16", "alice", 1)
	put(t, a, k, "whole")
	if err := a.Put(t.Context(), k, strings.NewReader("half"), 8); err == nil {
		t.Error("a document shorter than its size was put")
	}
	wantDocument(t, a, k, "whole")
}

func testLarge(t *testing.T, a record.Archive) {
	k, size := key("2026/02/16", "alice", 1), 20<<20+7
	doc := strings.Repeat("0123456789abcde", size/15+1)[:size]
	for _, part := range []string{doc[:size/2], doc + "more"} {
		if err := a.Put(t.Context(), k, strings.NewReader(part), int64(size)); err == nil {
			t.Errorf("a document of %d bytes was put as one of %d", len(part), size)
		}
	}
	wantKeys(t, a.Keys(t.Context(), day("2026/02/16"), day("2026/02/16")))
	put(t, a, k, doc)
	wantDocument(t, a, k, doc)
}

func testMissing(t *testing.T, a record.Archive) {
	k := key("2026/02/16", "alice", 1)
	put(t, a, k, "a document")
	for _, missing := range []string{
		key("2026/02/16", "alice", 2), key("2026/02/17", "bob", 1), "repricings/none.json", "2026/02/16/alice", "2026",
	} {
		r, err := a.Get(t.Context(), missing)
		if err == nil {
			_ = r.Close()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("getting %s: %v, want fs.ErrNotExist", missing, err)
		}
	}
}

func testDays(t *testing.T, a record.Archive) {
	days := []string{"2025/12/31", "2026/01/01", "2026/01/31", "2026/02/01", "2026/10/09", "2027/01/01"}
	for _, i := range []int{3, 0, 5, 1, 4, 2} {
		put(t, a, key(days[i], "alice", i), "x")
		put(t, a, key(days[i], "bob", i), "x")
	}
	between := func(from, to int) (keys []string) {
		for i := from; i <= to; i++ {
			keys = append(keys, key(days[i], "alice", i), key(days[i], "bob", i))
		}
		return keys
	}
	for _, c := range []struct {
		first, last string
		want        []string
	}{
		{"2025/12/31", "2027/01/01", between(0, 5)},
		{"2026/01/01", "2026/02/01", between(1, 3)},
		{"2026/01/02", "2026/01/31", between(2, 2)},
		{"2026/02/02", "2026/10/08", nil},
		{"2026/10/09", "2026/10/09", between(4, 4)},
		{"2027/01/02", "2030/01/01", nil},
		{"2026/02/01", "2026/01/01", nil},
	} {
		t.Run(c.first+" to "+c.last, func(t *testing.T) {
			wantKeys(t, a.Keys(t.Context(), day(c.first), day(c.last)), c.want...)
			// A day is a UTC day, whatever zone it is named in.
			zone := time.FixedZone("", -8*60*60)
			wantKeys(t, a.Keys(t.Context(), day(c.first).In(zone), day(c.last).Add(24*time.Hour-1).In(zone)), c.want...)
		})
	}
}

func testRecordsAlone(t *testing.T, a record.Archive) {
	k := key("2026/02/16", "alice", 1)
	put(t, a, k, "x")
	for _, other := range []string{"repricings/2026-02-16.json", "2026/02/16/notes.txt", "2026/02/16/alice/notes.txt", "checkpoints/2026/02/16/alice/1.json.zst"} {
		put(t, a, other, "x")
	}
	wantKeys(t, a.Keys(t.Context(), day("2026/01/01"), day("2026/12/31")), k)
}

func testList(t *testing.T, a record.Archive) {
	want := []string{"repricings/a.json", "repricings/a/1.json", "repricings/b.json"}
	for _, k := range slices.Backward(want) {
		put(t, a, k, "x")
	}
	put(t, a, "repricings-of-old/c.json", "x")
	put(t, a, key("2026/02/16", "alice", 1), "x")
	wantKeys(t, a.List(t.Context(), "repricings/"), want...)
	wantKeys(t, a.List(t.Context(), "repricings/a/"), want[1])
	wantKeys(t, a.List(t.Context(), "nothing/"))
}

func testEarlyEnd(t *testing.T, a record.Archive) {
	for i := range 3 {
		put(t, a, key("2026/02/16", fmt.Sprint("developer", i), i), "x")
	}
	for _, keys := range []iter.Seq2[string, error]{
		a.Keys(t.Context(), day("2026/02/16"), day("2026/02/16")),
		a.List(t.Context(), "2026/"),
	} {
		n := 0
		for _, err := range keys {
			if err != nil {
				t.Fatal(err)
			}
			n++
			break
		}
		if n != 1 {
			t.Errorf("%d keys, want one", n)
		}
	}
}

func testEndedContext(t *testing.T, a record.Archive) {
	put(t, a, key("2026/02/16", "alice", 1), "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range a.Keys(ctx, day("2026/02/16"), day("2026/02/16")) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("listing with an ended context: %v", err)
		}
	}
	if err := a.Put(ctx, key("2026/02/16", "alice", 2), strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("putting with an ended context: %v", err)
	}
	wantKeys(t, a.Keys(t.Context(), day("2026/02/16"), day("2026/02/16")), key("2026/02/16", "alice", 1))
}

func testEscapes(t *testing.T, a record.Archive) {
	for _, k := range []string{"", ".", "..", "../outside", "/etc/outside", "2026/../../outside", "2026/./x", "2026//x", "2026/"} {
		if err := a.Put(t.Context(), k, strings.NewReader("x"), 1); err == nil {
			t.Errorf("%q was taken for a key", k)
		}
		r, err := a.Get(t.Context(), k)
		if err == nil {
			_ = r.Close()
			t.Errorf("%q was got", k)
		}
	}
	wantKeys(t, a.Keys(t.Context(), day("2000/01/01"), day("2100/01/01")))
}

func testConcurrentPuts(t *testing.T, a record.Archive) {
	const writers, rounds = 8, 10
	shared := key("2026/02/16", "alice", 0)
	document := func(n int) string { return strings.Repeat(string(rune('a'+n)), 100_000) }
	put(t, a, shared, document(0))
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() {
			for i := range rounds {
				doc := document(n)
				own := key("2026/02/17", "alice", n*rounds+i+1)
				for _, k := range []string{shared, own} {
					if err := a.Put(t.Context(), k, strings.NewReader(doc), int64(len(doc))); err != nil {
						t.Error(err)
					}
				}
				if err := wholeDocument(t.Context(), a, shared, len(doc)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	keys := 0
	for _, err := range a.Keys(t.Context(), day("2026/02/16"), day("2026/02/17")) {
		if err != nil {
			t.Fatal(err)
		}
		keys++
	}
	if keys != 1+writers*rounds {
		t.Errorf("%d keys, want %d", keys, 1+writers*rounds)
	}
}

// wholeDocument says when a document is not size times the same byte.
func wholeDocument(ctx context.Context, a record.Archive, key string, size int) error {
	r, err := a.Get(ctx, key)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if len(got) != size || len(bytes.Trim(got, string(got[:1]))) != 0 {
		return fmt.Errorf("a reader saw %d bytes of several documents", len(got))
	}
	return nil
}
