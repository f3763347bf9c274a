package simulated

import (
	_ "embed"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// answersText is the bank of improvised answers, between lines of ===.
//
//go:embed answers.md
var answersText string

// bank cuts the bank of answers.
func bank() []string {
	return strings.Split(strings.TrimSpace(answersText), "\n===\n")
}

// thoughts are reasoning summaries for improvised answers.
func thoughts() []string {
	return []string{
		"**Looking at the request**\n\nThe change is small, so I want the smallest edit that keeps the tests honest.",
		"**Weighing two ways**\n\nA cache would be faster, but a plain map behind a mutex is easier to get right here.",
		"**Checking the edge cases**\n\nEmpty input and a cancelled context are the two that usually break; both need a test.",
		"**Planning the steps**\n\nFirst reproduce the failure, then fix the cause, then remove the workaround that hid it.",
	}
}

// marker asks for something in a prompt: "simulate: 429", "simulate: stream 50 10ms 200".
var marker = regexp.MustCompile(`(?i)\bsimulate:\s*([a-z0-9-]+)((?:\s+[0-9]+(?:ms|s)?)*)`)

// improvise makes up an answer to the user's last message: what a marker asks
// for, or else a believable text that depends on the message alone.
func improvise(now conversation, clock time.Time) Answer {
	if found := marker.FindStringSubmatch(now.prompt); found != nil {
		if answer, ok := simulate(strings.ToLower(found[1]), strings.Fields(found[2]), now, clock); ok {
			return answer
		}
	}
	source := sourceOf(now.prompt)
	answers, summaries := bank(), thoughts()
	answer := Say(answers[source.IntN(len(answers))])
	if now.reasoning && source.IntN(3) == 0 {
		answer.Reasoning = summaries[source.IntN(len(summaries))]
	}
	return answer
}

// simulate is the answer that a marker asks for; false when it is none that is
// known. An error status is one of 400 to 599.
func simulate(what string, numbers []string, now conversation, clock time.Time) (Answer, bool) {
	const text = "This answer was asked to go wrong, and it does so somewhere in the middle of this sentence, before anybody could read the end of it."
	if status, err := strconv.Atoi(what); err == nil && status >= 400 && status <= 599 {
		answer := Status(status)
		if status == http.StatusTooManyRequests {
			answer.Fault.Header = http.Header{"Retry-After": {"1"}}
		}
		return answer, true
	}
	broken := func(how Break, after int) (Answer, bool) {
		return Answer{Text: text, Fault: Fault{Break: how, After: after}}, true
	}
	switch what {
	case "tools":
		return toolLoop(now.outputs), true
	case "reasoning":
		return Answer{Reasoning: thoughts()[0], Text: bank()[0]}, true
	case "slow":
		return Answer{Text: text, Fault: Fault{FirstByte: 3 * time.Second, Between: 250 * time.Millisecond}}, true
	case "stream":
		n, every, size := streamNumbers(numbers)
		return Stream(n, every, size), true
	case "usage-limit":
		return UsageLimit(clock.Add(time.Hour)), true
	case "quota":
		return Fail("insufficient_quota", "You exceeded your current quota, please check your plan and billing details."), true
	case "cut":
		return broken(BreakCut, 10)
	case "cut-bytes":
		return broken(BreakCutBytes, 3000)
	case "garbage":
		return broken(BreakGarbage, 10)
	case "stall":
		return broken(BreakStall, 10)
	case "half-open":
		return broken(BreakHalfOpen, 10)
	case "failed":
		return broken(BreakFailed, 10)
	case "incomplete":
		return broken(BreakIncomplete, 10)
	case "no-usage":
		return broken(BreakNoUsage, 0)
	default:
		return Answer{}, false
	}
}

// toolLoop is the answer after so many tool outputs: harmless commands, and then
// a word about them.
func toolLoop(outputs int) Answer {
	commands := []string{"pwd", "ls -a | head -20", "date -u"}
	if outputs < len(commands) {
		return Run(commands[outputs])
	}
	return Say("I looked at the working directory, listed what is in it, and checked the time. Nothing was changed.")
}

// streamNumbers reads the events, the pause and the size of "stream 50 10ms 200".
func streamNumbers(numbers []string) (n int, every time.Duration, size int) {
	n, every, size = 50, 10*time.Millisecond, 300
	if len(numbers) > 0 {
		n, _ = strconv.Atoi(numbers[0])
	}
	if len(numbers) > 1 {
		every, _ = time.ParseDuration(numbers[1])
	}
	if len(numbers) > 2 {
		size, _ = strconv.Atoi(numbers[2])
	}
	const mostEvents, mostBytes = 100_000, 64 << 20
	n = max(1, min(n, mostEvents))
	return n, every, min(size, mostBytes/n)
}

// sourceOf is a source of numbers that depend on the text alone.
func sourceOf(text string) *rand.Rand {
	hash := fnv.New64a()
	hash.Write([]byte(text))
	return rand.New(rand.NewPCG(hash.Sum64(), 0))
}
