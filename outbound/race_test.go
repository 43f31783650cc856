//go:build race

package outbound

// dropped is what a request may cost beside its budget: under the race detector, a
// sync.Pool loses some of what it is given.
const dropped = 4
