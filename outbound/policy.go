package outbound

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"outrider/internal/mesh"
)

// Retry says when an attempt is repeated. The zero value repeats nothing.
type Retry struct {
	Attempts int // extra attempts; zero is none

	// On lists what is repeated: "connect" (no connection came about, so nothing
	// was sent: any method), "reset" (the connection ended before the answer did,
	// or the answer was not valid HTTP) and status codes from 400 to 599 in digits.
	// An attempt that took longer than the per-try timeout counts as "504". All but
	// connect act on idempotent methods only (RFC 9110, section 9.2.2).
	On []string

	// Base is the first wait's upper bound. It doubles with each further attempt up
	// to Max, and the wait is drawn evenly from zero to the bound. Zero waits not at
	// all. Max zero means ten times Base.
	Base, Max time.Duration

	Budget Budget // shared by everything that retries towards the service
}

// maxRetryAfter is the longest Retry-After that is waited for; a response that asks
// for more goes to the client, who can wait better.
const maxRetryAfter = 5 * time.Second

const (
	onConnect = "connect"
	onReset   = "reset"
)

// check refuses what makes no sense.
func (r Retry) check() error {
	var errs []error
	if r.Attempts < 0 || r.Base < 0 || r.Max < 0 || r.Budget.Percent < 0 || r.Budget.Min < 0 {
		errs = append(errs, errors.New("retry: negative value"))
	}
	for _, on := range r.On {
		if on == onConnect || on == onReset {
			continue
		}
		if status, err := strconv.Atoi(on); err != nil || len(on) != 3 || status < 400 || status > 599 {
			errs = append(errs, fmt.Errorf("retry: on %q is none of connect, reset and the statuses 400 to 599", on))
		}
	}
	return errors.Join(errs...)
}

// backoff returns the upper bound of the wait before extra attempt n, from 0.
func (r Retry) backoff(n int) time.Duration {
	limit := r.Max
	if limit == 0 {
		limit = 10 * r.Base
	}
	bound := r.Base
	for ; n > 0; n-- {
		if bound > limit/2 { // doubling might overflow
			return limit
		}
		bound *= 2
	}
	return min(bound, limit)
}

// reason returns the word of On under which the outcome of an attempt with this
// method may be repeated; empty when it must not be, such as for what the client
// brought about.
func (r Retry) reason(method string, resp *http.Response, err error) string {
	word := ""
	if err != nil {
		if f := mesh.AsFault(err); f.Retryable && !f.ByClient {
			word = wordOf(f.Kind)
		}
	} else if resp.StatusCode >= 400 && mesh.Idempotent(method) {
		word = strconv.Itoa(resp.StatusCode)
	}
	if word == "" || !slices.Contains(r.On, word) {
		return ""
	}
	return word
}

// outcomeOf returns the word of On for an outcome, whether or not it may be repeated.
func outcomeOf(resp *http.Response, err error) string {
	if err == nil {
		return strconv.Itoa(resp.StatusCode)
	}
	if f := mesh.AsFault(err); !f.ByClient {
		return wordOf(f.Kind)
	}
	return ""
}

// wordOf returns the word of On for kind; empty for what no other attempt mends.
func wordOf(kind mesh.Kind) string {
	switch kind {
	case mesh.Refused, mesh.ConnectTimeout, mesh.Unreachable, mesh.TLSFailed, mesh.TLSCertificate:
		return onConnect
	case mesh.Reset, mesh.BadResponse:
		return onReset
	case mesh.PerTryTimeout:
		return "504"
	}
	return ""
}

// retryAfter returns how long the response asks to be left alone, zero when it does
// not say (RFC 9110, section 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// moreTelling returns which of two attempts' faults to answer with: the later one,
// unless the earlier got further on its way to an endpoint.
func moreTelling(earlier, later *mesh.Fault) *mesh.Fault {
	if earlier != nil && reach(earlier.Kind) > reach(later.Kind) {
		return earlier
	}
	return later
}

// reach says how far a fault got: not to an endpoint, to one, past one. What ended
// the whole call says more than any attempt.
func reach(kind mesh.Kind) int {
	switch {
	case kind == mesh.NoEndpoints || kind == mesh.BreakerOpen || kind == mesh.Overflow:
		return 0
	case wordOf(kind) == onConnect:
		return 1
	case wordOf(kind) != "" || kind == mesh.ResponseTooLarge:
		return 2
	}
	return 3
}
