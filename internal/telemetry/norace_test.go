//go:build !race

package telemetry_test

// racing says that the race detector is on, which has pools forget.
const racing = false
