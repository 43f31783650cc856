//go:build !race

package integration_test

const forgetful = 0
