//go:build !race

package http1

const dropped = 0
