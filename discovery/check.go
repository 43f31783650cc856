package discovery

import (
	"fmt"
	"strings"
	"time"
)

// Check says when an endpoint is healthy.
type Check struct {
	Path      string        // requested by GET; empty means "/"
	Interval  time.Duration // between probes of an endpoint, give or take 10 %; zero or less means 30s
	Timeout   time.Duration // of one probe; zero or less means 2s
	Healthy   int           // passes in a row until healthy; zero or less means 1
	Unhealthy int           // failures in a row until unhealthy; zero or less means 3
	Expect    []StatusRange // the statuses that pass; empty means 200 to 299
}

// StatusRange is an inclusive range of status codes.
type StatusRange struct{ From, To int }

// String returns the range as it is configured: 200-299, or 204 for a single one.
func (r StatusRange) String() string {
	if r.From == r.To {
		return fmt.Sprint(r.From)
	}
	return fmt.Sprintf("%d-%d", r.From, r.To)
}

// withDefaults returns the check with its defaults filled in.
func (c Check) withDefaults() Check {
	if c.Path == "" {
		c.Path = "/"
	}
	c.Interval = orDefault(c.Interval, 30*time.Second)
	c.Timeout = orDefault(c.Timeout, 2*time.Second)
	c.Healthy = orDefault(c.Healthy, 1)
	c.Unhealthy = orDefault(c.Unhealthy, 3)
	if len(c.Expect) == 0 {
		c.Expect = []StatusRange{{200, 299}}
	}
	return c
}

// judge returns why a probe's outcome is a failure, and "" for a pass.
func (c Check) judge(status int, err error) string {
	if err != nil {
		return "health check: " + strings.Join(strings.Fields(err.Error()), " ") // one line
	}
	var expected []string
	for _, r := range c.Expect {
		if r.From <= status && status <= r.To {
			return ""
		}
		expected = append(expected, r.String())
	}
	return fmt.Sprintf("health check: status %d, not %s", status, strings.Join(expected, " or "))
}
