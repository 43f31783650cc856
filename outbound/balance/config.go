package balance

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"outrider/internal/mesh"
)

// The policies of [Config].
const (
	P2C              = "p2c"               // the better of two random ones, by peak EWMA
	RoundRobin       = "round_robin"       // one after the other
	Weighted         = "weighted"          // one after the other, by weight
	LeastConnections = "least_connections" // the fewest requests in flight for its weight
	RingHash         = "ring_hash"         // the same one for the same key, unless it has too much to do
)

// Transport carries requests to one endpoint.
type Transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// Config describes a Balancer. Only Dial must be set.
type Config struct {
	// Service is what the endpoints serve; it stands in logs and errors.
	Service mesh.Service
	// Policy says which endpoint is next. Empty means P2C.
	Policy string
	// HashOn says what RingHash takes as a request's key: "client_ip", "header:NAME" or
	// "cookie:NAME". Empty means client_ip. A request without the key goes where P2C
	// would send it.
	HashOn string
	// PanicThreshold is a percentage: below this share of endpoints that are healthy
	// and not ejected, both are disregarded. Withdrawn ones count on neither side. Zero
	// disables.
	PanicThreshold int
	// SlowStart is how long the weight of an endpoint that joins, or recovers, takes to
	// grow from a tenth to the whole. Zero disables.
	SlowStart time.Duration
	// Zone is where we are; empty is unknown. ZoneFirst keeps the requests in it for as
	// long as enough of its endpoints are healthy. It does nothing where Zone is empty.
	Zone      string
	ZoneFirst bool
	// Outlier says when an endpoint is ejected.
	Outlier Outlier
	// MaxConnections bounds the requests in flight per endpoint. Zero is unlimited.
	MaxConnections int
	// MaxPending bounds the requests that wait for one of MaxConnections places, per
	// endpoint. Zero means that none waits.
	MaxPending int
	// Dial returns an endpoint's transport, when it is first used. Its idle connections
	// are closed when the endpoint has left.
	Dial func(mesh.Endpoint) Transport
	// Why says why the set is empty, such as the last failure to resolve. May be nil.
	Why func() string
	// Events hears what happens.
	Events Events
	// Log is told what Events hears. Nil discards.
	Log *slog.Logger
	// Rand returns random numbers and is safe for concurrent use. Nil means math/rand/v2.
	Rand func() uint64
}

// Outlier says when an endpoint is ejected: taken out of the set for a while because
// it fails. Its time grows with each ejection, and shrinks again by one BaseEjection
// for each BaseEjection that it then stays in.
type Outlier struct {
	// ConsecutiveFailures ejects. Zero disables.
	ConsecutiveFailures int
	// BaseEjection is the first ejection's time. Zero means 30s.
	BaseEjection time.Duration
	// MaxEjectedPercent bounds the share that is ejected at once. One endpoint may be
	// ejected however small the share is; the last one that is usable never.
	MaxEjectedPercent int
}

// Events are functions that hear what happens, each nil where nobody listens. They
// are called in the order of events with a lock held: they must be quick, must not
// send requests through the Balancer, and may call no method of it but Status.
type Events struct {
	// Ejected: the endpoint is out for d.
	Ejected func(e mesh.Endpoint, d time.Duration)
	// Returned: its time is over. One that leaves the set meanwhile does not return.
	Returned func(mesh.Endpoint)
	// Breaker: a breaker of this endpoint changed its state.
	Breaker func(e mesh.Endpoint, from, to State)
	// Panic: health is disregarded from now on, or no longer.
	Panic func(on bool)
}

const defaultEjection = 30 * time.Second

// complete fills in the defaults and refuses what makes no sense.
func (c *Config) complete() error {
	var errs []error
	refuse := func(name string, value any) {
		errs = append(errs, fmt.Errorf("balance: service %s: invalid %s %v", c.Service, name, value))
	}
	if c.Dial == nil {
		refuse("Dial", "nil")
	}
	if c.PanicThreshold < 0 || c.PanicThreshold > 100 {
		refuse("PanicThreshold", c.PanicThreshold)
	}
	if c.MaxConnections < 0 {
		refuse("MaxConnections", c.MaxConnections)
	}
	if c.MaxPending < 0 {
		refuse("MaxPending", c.MaxPending)
	}
	if c.SlowStart < 0 {
		refuse("SlowStart", c.SlowStart)
	}
	o := &c.Outlier
	if o.ConsecutiveFailures < 0 {
		refuse("Outlier.ConsecutiveFailures", o.ConsecutiveFailures)
	}
	if o.BaseEjection < 0 {
		refuse("Outlier.BaseEjection", o.BaseEjection)
	}
	if o.MaxEjectedPercent < 0 || o.MaxEjectedPercent > 100 {
		refuse("Outlier.MaxEjectedPercent", o.MaxEjectedPercent)
	}
	if o.BaseEjection == 0 {
		o.BaseEjection = defaultEjection
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Rand == nil {
		c.Rand = rand.Uint64
	}
	return errors.Join(errs...)
}
