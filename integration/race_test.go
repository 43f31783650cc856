//go:build race

package integration_test

const forgetful = raceBudget // see there
