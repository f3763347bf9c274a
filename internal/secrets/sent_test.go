package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhatWasSentBeforeIsNotSearchedAgain forgets what the items gave, so that each
// that is searched shows.
func TestWhatWasSentBeforeIsNotSearchedAgain(t *testing.T) {
	v := newVault(t)
	var items []string
	for n := range 40 {
		items = append(items, output(fmt.Sprint(n, " DB=", testURL, strings.Repeat(" some text", 100))))
	}
	first := mustRedact(t, v, body(items...))
	clear(v.cache.young)
	news := output("more and " + testPassword)
	second := mustRedact(t, v, body(append(items, news)...))
	if n := len(v.cache.young); n > 2 { // by the rules, and for what is known
		t.Errorf("%d segments were searched, want the new item alone", n)
	}
	if len(first.Findings) != 40 || len(second.Findings) != 41 || bytes.Contains(second.Body, []byte(testPassword)) || second.Items != 41 {
		t.Errorf("%d and %d findings in %d items, want 40, 41 and 41", len(first.Findings), len(second.Findings), second.Items)
	}
	clear(v.cache.young)
	third := mustRedact(t, v, body(append(items, news)...))
	if diff := cmp.Diff(second.Findings, third.Findings); diff != "" || len(v.cache.young) != 0 {
		t.Errorf("the same again has other findings, or %d segments were searched: %s", len(v.cache.young), diff)
	}
}

// TestABodyIsTheSameWhetherItWasSentBeforeOrNot plays conversations that grow,
// fork, change, take turns and learn, with and without the memory of what was sent.
func TestABodyIsTheSameWhetherItWasSentBeforeOrNot(t *testing.T) {
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 21))
		s := newScanner(t, Config{Key: testKey})
		with, without := NewVault(s, NewCache(1000), DefaultPolicy), NewVault(s, NewCache(1000), DefaultPolicy)
		secret := func() string { return "kW8-xP2q" + fmt.Sprint(r.IntN(5)) + "_Tz51" }
		item := func() string {
			filler := strings.Repeat("words ", r.IntN(900))
			switch r.IntN(8) {
			case 0:
				return output("DB=postgres://app:" + secret() + "@db/app " + filler)
			case 1:
				return output(`{"x":` + quote("see "+secret()+"\n") + `}` + filler)
			case 2:
				return `{"type":"message","role":"assistant","content":[{"type":"output_text","text":` + quote(filler+secret()) + `}]}`
			case 3:
				return fmt.Sprint(r.IntN(20)) // no item of the API's
			case 4:
				return `{"password":"hx7!` + secret() + `"}`
			}
			return output(filler)
		}
		agents := [][]string{{}, {}}
		for turn := range 25 {
			agent := &agents[r.IntN(2)]
			switch n := len(*agent); {
			case n > 3 && r.IntN(6) == 0: // a fork
				*agent = slices.Clone((*agent)[:r.IntN(n)])
			case n > 3 && r.IntN(6) == 0: // a change
				*agent = slices.Clone(*agent)
				(*agent)[r.IntN(n)] = item()
			}
			for range r.IntN(4) {
				*agent = append(*agent, item())
			}
			in := `{"model":"m","input": [` + strings.Join(*agent, " , ") + `],"metadata":{"turn":` + quote(fmt.Sprint(turn)) + `}}`
			if r.IntN(8) == 0 {
				in = `{"input":[` + strings.Join(*agent, ",") + `],"x_input":1,"input":[` + item() + `]}`
			}
			without.sent = nil
			got, want := mustRedact(t, with, in), mustRedact(t, without, in)
			if string(got.Body) != string(want.Body) || got.Items != want.Items || !json.Valid(got.Body) {
				t.Fatalf("seed %d, turn %d: %s\nwant %s", seed, turn, got.Body, want.Body)
			}
			if diff := cmp.Diff(want.Findings, got.Findings); diff != "" {
				t.Fatalf("seed %d, turn %d: %s", seed, turn, diff)
			}
		}
	}
}

func TestANewSecretIsReplacedInWhatWasSentBeforeToo(t *testing.T) {
	v := newVault(t)
	early := output("the word is " + testPassword)
	if got := mustRedact(t, v, body(early)); len(got.Findings) != 0 {
		t.Fatalf("found %+v", got.Findings)
	}
	got := mustRedact(t, v, body(early, output("DB="+testURL)))
	if bytes.Contains(got.Body, []byte(testPassword)) || len(got.Findings) != 2 {
		t.Errorf("the secret left: %s", got.Body)
	}
}

// TestWorkResumesWhereItStopped, in lists that are not quite the API's.
func TestWorkResumesWhereItStopped(t *testing.T) {
	secret := output("DB=" + testURL)
	for _, turns := range [][]string{
		{`{"input":[{},1]}`, `{"input":[{},12]}`, `{"input":[{},123,` + secret + `]}`},
		{`{"input":[null]}`, `{"input":[null,true]}`, `{"input":[null,true,` + secret + `]}`},
		{`{"input":[` + secret + `],"input":[{}]}`, `{"input":[` + secret + `],"input":[{},` + secret + `]}`},
		{`{"input":[],"messages":[{}]}`, `{"input":[],"messages":[{},` + secret + `]}`},
		{`{"input":[{}],"messages":[{}]}`, `{"input":[{}],"messages":[{},` + secret + `]}`, `{"input":[{},{}],"messages":[` + secret + `]}`},
		{`{"input":[{},{}],"input":` + secret + `}`, `{"input":[{},{}],"input":[` + secret + `]}`},
	} {
		v := newVault(t)
		for _, turn := range turns {
			got, want := mustRedact(t, v, turn), mustRedact(t, newVault(t), turn)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Redaction{})); diff != "" {
				t.Errorf("%s: %s", turn, diff)
			}
		}
	}
}

// TestABodyThatBreaksBehindWhatWasSentBeforeIsAnError: only the beginning is known.
func TestABodyThatBreaksBehindWhatWasSentBeforeIsAnError(t *testing.T) {
	v := newVault(t)
	in := body(output("x"))
	mustRedact(t, v, in)
	at := strings.Index(in, `],"stream"`)
	for _, rest := range []string{"", "]", "]}x", "}", " {}]}", ",]}", ",\"\xff\"]}", `],"a":nan}`, `,{"type":"mess\age"}]}`} {
		if _, err := v.Redact([]byte(in[:at] + rest)); err == nil {
			t.Errorf("%q passes for JSON", in[:at]+rest)
		}
	}
}

// TestAConversationWithOneSecretIsSmall measures what some hundreds of them take.
func TestAConversationWithOneSecretIsSmall(t *testing.T) {
	s, cache := newScanner(t, Config{Key: testKey}), NewCache(100)
	in := []byte(body(output("DB="+testURL), output(strings.Repeat("x ", 50_000))))
	vaults := make([]*Vault, 300)
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // also what pools hold
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	if _, err := NewVault(s, cache, DefaultPolicy).Redact(in); err != nil { // what they share
		t.Fatal(err)
	}
	before, told := heap(), 0
	for i := range vaults {
		vaults[i] = NewVault(s, cache, DefaultPolicy)
		if _, err := vaults[i].Redact(in); err != nil {
			t.Fatal(err)
		}
		told += vaults[i].Bytes()
	}
	each := (heap() - before) / len(vaults)
	told /= len(vaults)
	t.Logf("%d bytes each, of which it tells %d", each, told)
	if each > 4<<10 || told < each/2 || told > 2*each {
		t.Errorf("a conversation takes %d bytes, and says %d; want at most 4 KB", each, told)
	}
	runtime.KeepAlive(vaults)
}

// TestManySecretsInOneTextAreReadOnce counts what is allocated, as reading a text
// from its beginning for each secret would copy it each time.
func TestManySecretsInOneTextAreReadOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	allocated := func(keys int) int {
		var text strings.Builder
		text.WriteString(`{"keys":[`)
		for range keys {
			pem := "-----BEGIN PRIVATE KEY-----\n" + draw(r, stdSet, 64) + "\n" + draw(r, stdSet, 64) + "\n-----END PRIVATE KEY-----\n"
			text.WriteString(quote(pem) + "," + quote(strings.Repeat("filler ", 500)) + ",")
		}
		text.WriteString(`""]}`)
		in := []byte(body(output(text.String())))
		v := newVault(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := v.Redact(in)
		runtime.ReadMemStats(&after)
		if err != nil || len(got.Findings) != keys {
			t.Fatalf("%d findings, %v; want %d", len(got.Findings), err, keys)
		}
		return int(after.TotalAlloc - before.TotalAlloc)
	}
	allocated(10) // the first takes what is then kept
	few, many := allocated(25), allocated(200)
	if many > 3*8*few {
		t.Errorf("eight times the text takes %d times the memory", many/few)
	}
}

// TestManySecretsOfOneKindAreFoundAgain: they begin and end alike.
func TestManySecretsOfOneKindAreFoundAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	var first, again strings.Builder
	for range 3000 {
		token := "glpat-" + draw(r, alnumSet, 20)
		first.WriteString("t: " + token + "\n")
		again.WriteString("x" + token + "x ")
	}
	got := mustRedact(t, newVault(t), body(output(first.String()), output(again.String())))
	if bytes.Contains(got.Body, []byte("glpat-")) {
		t.Errorf("some left among %d findings", len(got.Findings))
	}
}

// TestRequestsOfOneConversationAtOnceAreEachRedacted: agents share a session.
func TestRequestsOfOneConversationAtOnceAreEachRedacted(t *testing.T) {
	v := newVault(t)
	var group sync.WaitGroup
	for agent := range 4 {
		group.Go(func() {
			var items []string
			for turn := range 30 {
				items = append(items, output(fmt.Sprintf("%d DB=postgres://u:kW8-xP2q_T%dz%d@db/x %s", turn, agent, turn%7, strings.Repeat("text ", 300))))
				got, err := v.Redact([]byte(body(items...)))
				if err != nil || bytes.Contains(got.Body, []byte("kW8-xP2q")) || got.Items != len(items) || len(got.Findings) != len(items) {
					t.Errorf("agent %d, turn %d: %d findings in %d items, %v", agent, turn, len(got.Findings), got.Items, err)
				}
			}
		})
	}
	group.Wait()
}
