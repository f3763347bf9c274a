package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/record"
	"codex-proxy/internal/record/archivetest"
	"codex-proxy/internal/standin"
)

const key = "2026/02/16/alice/018e0000-0000-7000-8000-000000000001.json.zst"

// open returns an archive in an empty bucket, and the line to it.
func open(t *testing.T, prefix string) (*standin.Line, *Archive) {
	t.Helper()
	line := standin.NewLine(t, standin.S3(t, "archive"))
	return line, NewArchive(Connect(standin.Config(line.Address)), Location{Bucket: "archive", Prefix: prefix}, "")
}

func put(ctx context.Context, a *Archive, doc string) error {
	return a.Put(ctx, key, strings.NewReader(doc), int64(len(doc)))
}

func get(t *testing.T, a *Archive) string {
	t.Helper()
	r, err := a.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func TestABucketKeepsTheContractOfArchives(t *testing.T) {
	for name, prefix := range map[string]string{"whole": "", "below a prefix": "codex/archive/"} {
		t.Run(name, func(t *testing.T) {
			archivetest.Run(t, func(t *testing.T) record.Archive {
				_, a := open(t, prefix)
				return a
			})
		})
	}
}

func TestAnUnreachableBucketIsAnErrorInTimeAndWorksAgainAfterwards(t *testing.T) {
	line, a := open(t, "")
	if err := put(t.Context(), a, "before"); err != nil {
		t.Fatal(err)
	}
	a.limit = 500 * time.Millisecond
	for name, fault := range map[string]standin.Fault{"throttled": standin.SlowDown, "broken": standin.Broken, "hung": standin.Hung} {
		t.Run(name, func(t *testing.T) {
			line.FailAll(fault)
			if err := put(t.Context(), a, "lost"); err == nil {
				t.Error("Put succeeded")
			}
			if _, err := a.Get(t.Context(), key); err == nil {
				t.Error("Get succeeded")
			}
			for _, err := range a.List(t.Context(), "") {
				if err == nil {
					t.Error("List found something")
				}
			}
			if err := a.Ping(t.Context()); err == nil {
				t.Error("Ping succeeded")
			}
		})
	}
	line.FailAll(standin.None)
	if doc := get(t, a); doc != "before" {
		t.Errorf("the document is %q, want the one from before", doc)
	}
}

func TestALostAnswerIsNoLostDocument(t *testing.T) {
	line, a := open(t, "")
	lost := 0
	line.Fail(func(operation string) standin.Fault {
		if operation == "PUT" && lost == 0 {
			lost++
			return standin.Lost
		}
		return standin.None
	})
	if err := put(t.Context(), a, "kept"); err != nil || lost != 1 {
		t.Fatalf("%v, with %d answers lost", err, lost)
	}
	if doc := get(t, a); doc != "kept" {
		t.Errorf("the document is %q", doc)
	}
}

func TestALargeDocumentThatBreaksOffLeavesNoParts(t *testing.T) {
	line, a := open(t, "")
	size := int64(3 * partSize)
	doc := io.LimitReader(strings.NewReader(strings.Repeat("x", 2*partSize)), size)
	if err := a.Put(t.Context(), key, doc, size); err == nil {
		t.Fatal("a document shorter than its size was put")
	}
	if !slices.Contains(line.Operations(), "DELETE uploadId") {
		t.Errorf("the parts were not given up; there was %q", line.Operations())
	}
}

func TestADownloadThatStallsEnds(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half.")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	a := NewArchive(Connect(standin.Config(server.URL)), Location{Bucket: "archive"}, "")
	a.limit = 200 * time.Millisecond
	r, err := a.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if doc, err := io.ReadAll(r); string(doc) != "half." || !errors.Is(err, errStalled) {
		t.Errorf("read %q, %v; want what arrived, and to hear of the stall", doc, err)
	}
}

func TestDocumentsAreEncryptedWithTheKeyThatWasNamed(t *testing.T) {
	for name, size := range map[string]int64{"small": 1, "large": partSize + 1} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan http.Header, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case asked <- r.Header:
				default:
				}
				w.WriteHeader(http.StatusForbidden)
			}))
			t.Cleanup(server.Close)
			a := NewArchive(Connect(standin.Config(server.URL)), Location{Bucket: "archive"}, "arn:aws:kms:eu-central-1:111122223333:key/example")
			if err := a.Put(t.Context(), key, strings.NewReader(strings.Repeat("x", int(size))), size); err == nil {
				t.Fatal("a refused document was put")
			}
			header := <-asked
			if header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || !strings.HasSuffix(header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"), "key/example") {
				t.Errorf("asked with the header %v", header)
			}
		})
	}
}

func TestAMissingBucketAndWrongCredentialsAreSaid(t *testing.T) {
	address := standin.S3(t, "archive")
	missing := NewArchive(Connect(standin.Config(address)), Location{Bucket: "elsewhere"}, "")
	if err := missing.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "no such bucket") {
		t.Errorf("Ping of a missing bucket: %v", err)
	}
	if err := NewArchive(Connect(standin.WrongConfig(address)), Location{Bucket: "archive"}, "").Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("Ping with wrong credentials: %v", err)
	}
}

func TestALocationIsABucketAndPerhapsAPrefix(t *testing.T) {
	for address, want := range map[string]Location{
		"s3://bucket":              {Bucket: "bucket"},
		"s3://bucket/":             {Bucket: "bucket"},
		"s3://my.bucket-1/a/b/":    {Bucket: "my.bucket-1", Prefix: "a/b/"},
		"s3://bucket/codex/record": {Bucket: "bucket", Prefix: "codex/record/"},
	} {
		if got, err := ParseLocation(address); err != nil || got != want {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	for _, address := range []string{"", "bucket", "s3:", "s3://", "s3:///a", "https://bucket", "s3://bucket/../a", "s3://bucket/a//b", "s3://u@bucket", "s3://bucket:80", "s3://bucket?x", "s3://bucket#x"} {
		if got, err := ParseLocation(address); err == nil {
			t.Errorf("%q was taken for %+v", address, got)
		}
	}
}

func FuzzParseLocation(f *testing.F) {
	for _, address := range []string{"s3://bucket", "s3://bucket/a/b/", "s3://bucket/../a", "s3://b%2fc/%2e%2e"} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		at, err := ParseLocation(address)
		if err != nil {
			return
		}
		if at.Bucket == "" || at.Prefix != "" && !isKey(strings.TrimSuffix(at.Prefix, "/")) {
			t.Errorf("%q is taken for %+v", address, at)
		}
	})
}
