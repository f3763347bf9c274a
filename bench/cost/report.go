package main

import (
	"fmt"
	"io"
	"strings"
)

var (
	volumes = []float64{20_000, 60_000, 150_000}
	lengths = []float64{10, 30, 60}
)

// write writes docs/cost.md.
func write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# What it costs on AWS

<!-- Written by 'go run ./bench/cost > docs/cost.md', and held to it by a test. -->

An estimate in USD a month, without taxes, free tiers or discounts, for us-east-1 (many other regions are 10 to 30% dearer), at
list prices as of ` + asOf + `. What OpenAI charges is not in it; it is far more.

## On Lambda, by requests a month and length of an answer
`)
	for _, n := range volumes {
		fmt.Fprintf(&b, "\n### %s requests a month\n\n", grouped(n))
		bills := make([][]line, len(lengths))
		header, rule := "| |", "|---|"
		for i, seconds := range lengths {
			bills[i] = onLambda(n, seconds)
			header += fmt.Sprintf(" %.0f s |", seconds)
			rule += "---:|"
		}
		b.WriteString(header + "\n" + rule + "\n")
		for row := range bills[0] {
			fmt.Fprintf(&b, "| %s |", bills[0][row].service)
			for _, bill := range bills {
				fmt.Fprintf(&b, " %.2f |", bill[row].usd)
			}
			b.WriteString("\n")
		}
		b.WriteString("| **together** |")
		for _, bill := range bills {
			fmt.Fprintf(&b, " **%.2f** |", total(bill))
		}
		b.WriteString("\n")
	}
	b.WriteString(`
Provisioned concurrency, CloudFront and a domain's zone are not in it. They are off unless asked for.

## Beside machines that run all the time

The length of an answer costs nothing there: one process carries a thousand streams at once in some 85 MB.

| requests a month | Lambda, 10 s | 30 s | 60 s | one t4g.small | two Fargate tasks |
|---:|---:|---:|---:|---:|---:|
`)
	for _, n := range volumes {
		fmt.Fprintf(&b, "| %s |", grouped(n))
		for _, seconds := range lengths {
			fmt.Fprintf(&b, " %.2f |", total(onLambda(n, seconds)))
		}
		fmt.Fprintf(&b, " %.2f | %.2f |\n", total(onMachine(n)), total(onFargate(n)))
	}
	b.WriteString("\nLambda is the cheaper one below so many requests a month:\n\n| answers take | than one t4g.small | than two Fargate tasks |\n|---:|---:|---:|\n")
	for _, seconds := range lengths {
		fmt.Fprintf(&b, "| %.0f s | %s | %s |\n", seconds, grouped(evenAt(seconds, onMachine)), grouped(evenAt(seconds, onFargate)))
	}
	b.WriteString(`
What a machine costs besides: somebody who keeps it up to date, and an outage when it restarts. What it gives besides: WebSocket,
bodies of any size, and an answer that ends when its reader leaves. ` + "`docs/aws.md`" + ` says how to run it so.

- **One t4g.small**: SQLite and the archive on its disk, one public address, TLS by the proxy itself.
- **Two Fargate tasks**: 0.25 vCPU and 0.5 GB each, behind an Application Load Balancer, on the same tables and bucket as Lambda.

## What is assumed
`)
	fmt.Fprintf(&b, `
| | |
|---|---|
| a request's body | %.0f KB: Codex sends the whole conversation with each turn, from 55 KB on |
| an answer | %.0f KB of events |
| a record | %.0f KB, kept for %d months |
| an invocation | the answer's length and %.1f s, at %.0f MB |
| the tables | %d write units and %d read units for a request; rows kept for %d months |
| the bucket | %d PUT for a request |
| the log | %.1f KB for a request |

Twice the conversation's length is twice the data out and twice the records; the rest stays.

## Prices

| | USD | per | published at | the number was read again |
|---|---:|---|---|---|
`, requestGB*1e6, answerGB*1e6, recordGB*1e6, keptMonths, besides, memoryGB*1024, writes, reads, rowMonths, puts, logGB*1e6)
	for _, p := range prices {
		read := p.read
		if read == "" {
			read = "no"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", p.what, amount(p.usd), p.unit, p.page, read)
	}
	b.WriteString(`
A "no" is a price as it has been known, which was not looked up again: the pages fill their numbers in by script, and none of this was checked
against a bill. Check those that matter to you with the [AWS calculator](https://calculator.aws), change ` + "`bench/cost/prices.go`" + `, and run the program.
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// grouped is a number with commas, such as 150,000.
func grouped(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// amount is a price without needless zeros.
func amount(usd float64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.10f", usd), "0"), ".")
}
