//go:build race

package http1

// dropped is how many more allocations a request may cost: the race detector has
// sync.Pool forget some of what it is given.
const dropped = 6
