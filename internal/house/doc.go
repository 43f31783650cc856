// Package house holds the rules of the house as tests: which package may import
// which, and that every package says what it is. It has no code of its own.
//
//	go test ./internal/house
package house
