//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it measures by epoll and /proc: run it on Linux")
	os.Exit(1)
}
