// Command cost writes docs/cost.md: what the proxy costs on AWS in a month, by
// service, on Lambda and on machines that run all the time.
//
//	go run ./bench/cost > docs/cost.md
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
