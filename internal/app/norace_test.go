//go:build !race

package app

// racing says that the race detector is on, which has pools forget.
const racing = false
