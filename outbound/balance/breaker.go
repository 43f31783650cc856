package balance

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"outrider/internal/mesh"
)

// Breaker is a circuit breaker's settings. A number that is zero or less takes its
// default.
type Breaker struct {
	// FailureThreshold failures in a row open it. Default 5.
	FailureThreshold int
	// RecoveryTimeout is how long it stays open before trials. Default 30s.
	RecoveryTimeout time.Duration
	// SuccessThreshold is how many trials are let through, and must succeed, until it
	// closes. Default 3.
	SuccessThreshold int
}

func (s Breaker) complete() Breaker {
	if s.FailureThreshold <= 0 {
		s.FailureThreshold = 5
	}
	if s.RecoveryTimeout <= 0 {
		s.RecoveryTimeout = 30 * time.Second
	}
	if s.SuccessThreshold <= 0 {
		s.SuccessThreshold = 3
	}
	s.SuccessThreshold = min(s.SuccessThreshold, math.MaxInt32)
	return s
}

// State is a circuit breaker's.
type State int

// The states. Their numbers are those of the metrics.
const (
	Closed   State = iota // requests pass
	HalfOpen              // a few pass, on trial
	Open                  // none passes
)

// String returns closed, half-open or open.
func (s State) String() string { return gobreaker.State(s).String() }

// circuit is the breaker of one endpoint. Beside gobreaker's state, which has a lock,
// it keeps a copy that picks read without one.
type circuit struct {
	gate     *gobreaker.TwoStepCircuitBreaker[struct{}]
	settings Breaker
	clock    func() time.Duration

	state atomic.Int32
	until atomic.Int64 // instant at which an open one may be tried again
}

var (
	errFailed  = errors.New("failed")
	errIgnored = errors.New("ignored")
)

func (b *Balancer) newCircuit(info mesh.Endpoint, s Breaker) *circuit {
	c := &circuit{settings: s, clock: b.now}
	c.gate = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: uint32(s.SuccessThreshold),
		Timeout:     s.RecoveryTimeout,
		ReadyToTrip: func(n gobreaker.Counts) bool { return int64(n.ConsecutiveFailures) >= int64(s.FailureThreshold) },
		// An excluded request gives its trial's place back.
		IsExcluded: func(err error) bool { return errors.Is(err, errIgnored) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			c.enter(State(to))
			b.tellBreaker(info, State(from), State(to))
		},
	})
	return c
}

// enter copies a new state. gobreaker's lock is held.
func (c *circuit) enter(s State) {
	if s == Open {
		// Before the state, so that no pick sees an open breaker with an old time. Later
		// than gobreaker's own by a moment: when this one is over, so is that.
		c.until.Store(int64(c.clock() + c.settings.RecoveryTimeout))
	}
	c.state.Store(int32(s))
}

// at returns the state at the instant now. One that has been open for long enough is
// half-open: gobreaker notices with the next request.
func (c *circuit) at(now time.Duration) State {
	s := State(c.state.Load())
	if s == Open && int64(now) > c.until.Load() {
		return HalfOpen
	}
	return s
}

// admits reports whether a request would pass. The answer may be outdated when it
// arrives; allow has the last word.
func (c *circuit) admits(now time.Duration) bool {
	if c == nil {
		return true
	}
	switch State(c.state.Load()) {
	case Open:
		return int64(now) > c.until.Load()
	case HalfOpen:
		n := c.gate.Counts()
		return int64(n.Requests)-int64(n.TotalExclusions) < int64(c.settings.SuccessThreshold)
	default:
		return true
	}
}

// allow lets a request pass, whose outcome is to be reported exactly once, or not.
func (c *circuit) allow() (report func(error), ok bool) {
	if c == nil {
		return func(error) {}, true
	}
	report, err := c.gate.Allow()
	return report, err == nil
}

// recovers returns how long it takes until requests may pass again, at least.
func (c *circuit) recovers(now time.Duration) time.Duration {
	// The trials under way decide, and nobody knows when: soon.
	const soon = time.Second
	if State(c.state.Load()) == HalfOpen {
		return soon
	}
	return max(0, time.Duration(c.until.Load())-now)
}

// tellBreaker reports a change of state. gobreaker's lock is held.
func (b *Balancer) tellBreaker(info mesh.Endpoint, from, to State) {
	b.cfg.Log.Warn("breaker changed", "service", b.cfg.Service,
		"endpoint", info.Address, "from", from.String(), "to", to.String())
	if f := b.cfg.Events.Breaker; f != nil {
		f(info, from, to)
	}
}
