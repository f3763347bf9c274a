package contentcoding_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"codex-proxy/internal/contentcoding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// encode applies codings in order; "bare" is deflate without zlib's header.
func encode(t testing.TB, text []byte, codings ...string) []byte {
	t.Helper()
	for _, coding := range codings {
		var b bytes.Buffer
		var w io.WriteCloser
		switch coding {
		case "gzip":
			w = gzip.NewWriter(&b)
		case "deflate":
			w = zlib.NewWriter(&b)
		case "bare":
			w, _ = flate.NewWriter(&b, 5)
		case "zstd":
			w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		text = b.Bytes()
	}
	return text
}

// decode gives coded to a Decoder in chunks.
func decode(t testing.TB, coding string, limit int64, coded []byte, chunk int) (decoded []byte, err error) {
	t.Helper()
	d, ok := contentcoding.NewDecoder(coding, limit, func(p []byte) { decoded = append(decoded, p...) })
	if !ok {
		t.Fatalf("%q is not known", coding)
	}
	for rest := coded; len(rest) > 0; {
		p := bytes.Clone(rest[:min(chunk, len(rest))])
		if n, err := d.Write(p); n != len(p) || err != nil {
			t.Fatalf("Write() = %d, %v", n, err)
		}
		clear(p) // it must have kept nothing of it
		rest = rest[len(p):]
	}
	err = d.Close()
	if again := d.Close(); again != err {
		t.Errorf("Close() = %v, and again %v", err, again)
	}
	return decoded, err
}

func body(size int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, `{"type":"message","id":"msg_%x","text":"Run the tests, then say what failed."},`, random.Uint64())
	}
	return b.Bytes()[:size]
}

var codings = []struct {
	header  string
	applied []string
}{
	{"gzip", []string{"gzip"}},
	{"X-GZIP", []string{"gzip"}},
	{"deflate", []string{"deflate"}},
	{"deflate", []string{"bare"}},
	{"zstd", []string{"zstd"}},
	{" gzip , zstd", []string{"gzip", "zstd"}},
	{"zstd, identity, deflate, gzip", []string{"zstd", "deflate", "gzip"}},
	{"", nil},
	{"identity", nil},
}

func TestABodyIsDecodedWhateverItsChunks(t *testing.T) {
	for _, c := range codings {
		for _, size := range []int{1, 100, 500_000} {
			want := body(size)
			coded := encode(t, want, c.applied...)
			for _, chunk := range []int{1, 1000, 1 << 20} {
				got, err := decode(t, c.header, int64(size), coded, chunk)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%q, %d bytes in chunks of %d: %d bytes, %v", c.header, size, chunk, len(got), err)
				}
			}
		}
	}
}

func TestAnEmptyBodyIsNoError(t *testing.T) {
	for _, c := range codings {
		if got, err := decode(t, c.header, 10, nil, 1); len(got) != 0 || err != nil {
			t.Errorf("%q: %q, %v", c.header, got, err)
		}
		if got, err := decode(t, c.header, 0, encode(t, nil, c.applied...), 1); len(got) != 0 || err != nil {
			t.Errorf("%q of nothing: %q, %v", c.header, got, err)
		}
	}
}

func TestMembersAndFramesFollowOneAnother(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd"} {
		coded := append(encode(t, []byte("one "), coding), encode(t, []byte("two"), coding)...)
		if got, err := decode(t, coding, 100, coded, 5); string(got) != "one two" || err != nil {
			t.Errorf("%s: %q, %v", coding, got, err)
		}
	}
}

func TestACodingThatIsNotKnownIsRefused(t *testing.T) {
	for _, coding := range []string{"br", "gzip, br", "compress", "gzip;q=1", "aws-chunked", strings.Repeat("gzip,", 4)} {
		if d, ok := contentcoding.NewDecoder(coding, 10, nil); ok || d != nil {
			t.Errorf("%q is taken", coding)
		}
	}
}

func TestABodyBeyondTheLimitIsCutThere(t *testing.T) {
	want := body(200_000)
	for _, c := range codings {
		for _, limit := range []int64{-1, 0, 1, 100_000, 199_999} {
			got, err := decode(t, c.header, limit, encode(t, want, c.applied...), 4096)
			if !errors.Is(err, contentcoding.ErrTooLarge) {
				t.Errorf("%q, limit %d: %v", c.header, limit, err)
			}
			if len(c.applied) < 2 && !bytes.Equal(got, want[:max(limit, 0)]) {
				t.Errorf("%q, limit %d: %d bytes", c.header, limit, len(got))
			}
		}
	}
}

func TestABodyThatIsCutOffIsSaidToBe(t *testing.T) {
	want := body(200_000)
	for _, c := range codings {
		if len(c.applied) == 0 {
			continue
		}
		coded := encode(t, want, c.applied...)
		for _, cut := range []int{1, 3, 5, len(coded) / 2, len(coded) - 1} {
			got, err := decode(t, c.header, 1<<20, coded[:cut], 4096)
			if !errors.Is(err, contentcoding.ErrTruncated) {
				t.Errorf("%q cut at %d: %v", c.header, cut, err)
			}
			if !bytes.HasPrefix(want, got) {
				t.Errorf("%q cut at %d: what was decoded is not the beginning", c.header, cut)
			}
		}
	}
}

func TestACorruptBodyDisturbsNobody(t *testing.T) {
	junk := bytes.Repeat([]byte("\xff\xfe no coding at all "), 1<<20)
	for _, c := range codings {
		if len(c.applied) == 0 {
			continue
		}
		// Far more than the pipe holds: writing must not wait for what has failed.
		if _, err := decode(t, c.header, 1<<20, junk, 32<<10); !errors.Is(err, contentcoding.ErrCorrupt) {
			t.Errorf("%q: %v", c.header, err)
		}
		coded := append(encode(t, []byte("fine"), c.applied...), "and then this, which is not"...)
		if _, err := decode(t, c.header, 1<<20, coded, 7); !errors.Is(err, contentcoding.ErrCorrupt) {
			t.Errorf("%q with bytes after its end: %v", c.header, err)
		}
	}
}

func TestADecoderThatFailedLeavesNothingToTheNext(t *testing.T) {
	want := body(300_000)
	for _, c := range codings {
		coded := encode(t, want, c.applied...)
		var wait sync.WaitGroup
		for i := range 16 {
			wait.Go(func() {
				for range 4 {
					if i%2 == 0 {
						decode(t, c.header, 1000, coded[:len(coded)/(i+1)], 999)
					} else if got, err := decode(t, c.header, 1<<20, coded, 5000); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%q: %d bytes, %v", c.header, len(got), err)
					}
				}
			})
		}
		wait.Wait()
	}
}

func TestASlowSinkHoldsTheWriterBack(t *testing.T) {
	const size = 4 << 20
	random := rand.NewChaCha8([32]byte{})
	text := make([]byte, size)
	random.Read(text)
	coded := encode(t, text, "gzip") // not compressible: as large as the text

	open := make(chan struct{})
	d, _ := contentcoding.NewDecoder("gzip", size, func([]byte) { <-open })
	written := make(chan int, len(coded)/1000+1)
	go func() {
		defer close(written)
		for rest := coded; len(rest) > 0; {
			n, _ := d.Write(rest[:min(1000, len(rest))])
			rest = rest[n:]
			written <- n
		}
	}()
	total := 0
	for total < 64<<10 {
		total += <-written // the writer runs ahead of a sink that takes nothing
	}
	close(open)
	for n := range written {
		total += n
	}
	if err := d.Close(); err != nil || total != len(coded) {
		t.Errorf("Close() = %v after %d of %d bytes", err, total, len(coded))
	}
}

// bomb is 1 GiB of zeros, 115 KB as zstd.
func bomb(t testing.TB) []byte {
	return bytes.Repeat(encode(t, make([]byte, 64<<20), "zstd"), 16)
}

func TestABombTakesNoMemory(t *testing.T) {
	coded := bomb(t)
	if len(coded) > 200<<10 {
		t.Fatalf("the bomb has %d bytes", len(coded))
	}
	for _, limit := range []int64{0, 64 << 20, 1 << 30} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var decoded int64
		d, _ := contentcoding.NewDecoder("zstd", limit, func(p []byte) { decoded += int64(len(p)) })
		d.Write(coded)
		err := d.Close()
		runtime.ReadMemStats(&after)
		if tooLarge := errors.Is(err, contentcoding.ErrTooLarge); tooLarge != (limit < 1<<30) || decoded != limit {
			t.Errorf("limit %d: %d bytes, %v", limit, decoded, err)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 24<<20 {
			t.Errorf("limit %d: allocated %d bytes", limit, allocated)
		}
	}
}

func TestABombInsideIsLimitedToo(t *testing.T) {
	// Outside it is zstd of empty gzip members: endless gzip, and no text at all.
	empty := bytes.Repeat(encode(t, nil, "gzip"), 1<<20)
	coded := encode(t, empty, "zstd")
	if _, err := decode(t, "gzip, zstd", 1<<20, coded, 1<<20); !errors.Is(err, contentcoding.ErrTooLarge) {
		t.Errorf("%v, after %d coded bytes", err, len(coded))
	}
}

func TestAWindowBeyondWhatHTTPAllowsIsRefused(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.Write(body(1 << 20))
	}
	w.Close()
	if _, err := decode(t, "zstd", 1<<30, b.Bytes(), 1<<20); !errors.Is(err, contentcoding.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

func BenchmarkDecoder(b *testing.B) {
	text := body(200 << 10)
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		coded := text
		if coding != "identity" {
			coded = encode(b, text, coding)
		}
		b.Run(coding, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				d, _ := contentcoding.NewDecoder(coding, 1<<20, func(p []byte) { n += len(p) })
				for rest := coded; len(rest) > 0; {
					p := rest[:min(32<<10, len(rest))]
					d.Write(p)
					rest = rest[len(p):]
				}
				if err := d.Close(); err != nil || n != len(text) {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// FuzzDecoder gives a Decoder what is no coded body, or the beginning of one.
func FuzzDecoder(f *testing.F) {
	for _, c := range codings {
		f.Add(c.header, encode(f, body(1000), c.applied...))
	}
	f.Fuzz(func(t *testing.T, coding string, coded []byte) {
		const limit = 1 << 20
		var decoded int64
		d, ok := contentcoding.NewDecoder(coding, limit, func(p []byte) { decoded += int64(len(p)) })
		if !ok {
			return
		}
		for chunk := range slices.Chunk(coded, 100) {
			d.Write(chunk)
		}
		if err := d.Close(); decoded > limit {
			t.Fatalf("%q: %d bytes, %v", coding, decoded, err)
		}
	})
}
