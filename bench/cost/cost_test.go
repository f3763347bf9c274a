package main

import (
	"bytes"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheDocumentIsWhatTheProgramWrites(t *testing.T) {
	var want bytes.Buffer
	if err := write(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("docs/cost.md is not what 'go run ./bench/cost' writes (-program +document):\n%s", diff)
	}
}

// TestComputeIsWhatWasWorkedOutByHand: 100,000 requests of 30 s at 256 MB are 750,000
// GB-seconds.
func TestComputeIsWhatWasWorkedOutByHand(t *testing.T) {
	got := onLambda(100_000, 30-besides)[0].usd
	if want := 750_000*0.0000133334 + 0.02; math.Abs(got-want) > 1e-9 {
		t.Errorf("compute costs %f, want %f", got, want)
	}
}

func TestBillsMeetWhereItIsSaidThatTheyDo(t *testing.T) {
	for _, seconds := range lengths {
		n := evenAt(seconds, onMachine)
		if a, b := total(onLambda(n, seconds)), total(onMachine(n)); math.Abs(a-b) > 1e-6 {
			t.Errorf("at %.0f requests of %.0f s Lambda costs %f and a machine %f", n, seconds, a, b)
		}
	}
}
