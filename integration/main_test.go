package integration_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is its own example service: a process started with
// OUTRIDER_TEST_SERVICE runs that service, and no test.
func TestMain(m *testing.M) {
	if kind := os.Getenv("OUTRIDER_TEST_SERVICE"); kind != "" {
		runService(kind)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
