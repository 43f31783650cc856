//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

// TestMain has the test binary be its own origin and load, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && slices.Contains([]string{"pin", "origin", "load", "hold"}, os.Args[1]) {
		if err := dispatch(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
