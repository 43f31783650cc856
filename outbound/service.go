package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

// Config describes a Service. Only Name and Resolver must be set.
type Config struct {
	Name        mesh.Service
	Resolver    discovery.Resolver
	HealthCheck *discovery.Check // nil is none
	// Probe asks an endpoint for HealthCheck; nil means a GET of its path.
	Probe func(ctx context.Context, e mesh.Endpoint, path string) (status int, err error)

	// Timeout bounds a whole exchange, retries and the response's body included. After
	// a 101, for event streams and for gRPC it ends at the head. Zero is no bound.
	Timeout time.Duration
	// ConnectTimeout bounds how long a connection takes, TLS handshake included. Zero
	// is no bound but the system's.
	ConnectTimeout time.Duration
	// PerTryTimeout bounds one attempt up to the response's head. Zero is no bound.
	PerTryTimeout time.Duration
	// IdleTimeout ends a stream, and where Timeout is zero any response, in which
	// nothing moves for so long; there also the wait for a request's body. Zero is no
	// bound.
	IdleTimeout time.Duration

	Retry Retry // the zero value repeats nothing

	// Balance says how to choose among the endpoints: Policy, HashOn, PanicThreshold,
	// SlowStart, Zone, ZoneFirst, Outlier, Events, Rand. What else it has is set here.
	Balance balance.Config
	// Breaker guards each endpoint, on all routes. Nil is none but a route's own.
	Breaker *balance.Breaker
	// MaxConnections and MaxPending bound the requests in flight, and waiting, at each
	// endpoint. Zero is unlimited, and no waiting.
	MaxConnections, MaxPending int

	// TLS returns the settings for a handshake with an https endpoint of that name. It
	// is asked each time. Nil means the system's roots and no certificate of ours.
	TLS func(serverName string) *tls.Config
	// Mesh says how the mesh has an endpoint met: with settings for mutual TLS, which
	// come before TLS and before the endpoint's own scheme; without any, which leaves
	// it to those; or with an error, and then it is not called. It is asked for each
	// set of endpoints and for each connection, and must answer alike for equal
	// endpoints. Nil is no mesh.
	Mesh func(mesh.Endpoint) (*tls.Config, error)
	// Host is what endpoints see as the request's Host: HostPreserve, HostService or a
	// literal authority. Empty means HostPreserve.
	Host string

	Events Events
	Log    *slog.Logger  // nil discards
	Rand   func() uint64 // draws the waits between attempts; nil means math/rand/v2
}

// Events are functions that hear what happens, each nil where nobody listens. They
// are called by many goroutines at once, and must be quick.
type Events struct {
	// Retry: extra attempt n, from 1, will be made, for a reason of Retry.On.
	Retry func(s mesh.Service, n int, reason string)
	// BudgetExhausted: a retry was not made because the budget has none left.
	BudgetExhausted func(mesh.Service)
	// Health: a health check changed its mind about an endpoint.
	Health func(mesh.Service, mesh.Endpoint)
	// Probed: a health check had an answer; note says why it is a failure, "" for a pass.
	Probed func(s mesh.Service, note string)
}

// Override is what one route does differently; a nil field is the service's own.
type Override struct {
	Timeout *time.Duration
	Retry   *Retry // counts against the service's one budget, by its own percentage
	Breaker *balance.Breaker
}

// Service reaches one service. It is safe for concurrent use.
type Service struct {
	cfg      Config
	balancer *balance.Balancer
	ledger   ledger
	ready    chan struct{} // closed at the first set
	found    atomic.Bool   // a set has had an endpoint
	once     sync.Once     // closes ready
	failure  atomic.Pointer[string]
}

// Status is how a service fares.
type Status struct {
	Name        mesh.Service
	Ready       bool // a set of endpoints has come; it may be empty
	Endpoints   []balance.EndpointStatus
	LastError   string // why the last resolution failed; empty when it did not
	RetryBudget int    // retries that the budget would allow right now
}

// NewService returns a service that has no endpoints before Run. The error says
// everything that is wrong with cfg.
func NewService(cfg Config) (*Service, error) {
	var errs []error
	if cfg.Name == "" {
		errs = append(errs, errors.New("no name"))
	}
	if cfg.Resolver == nil {
		errs = append(errs, errors.New("no resolver"))
	}
	if min(cfg.Timeout, cfg.ConnectTimeout, cfg.PerTryTimeout, cfg.IdleTimeout) < 0 {
		errs = append(errs, errors.New("negative timeout"))
	}
	cfg.Retry.On = slices.Clone(cfg.Retry.On)
	errs = append(errs, cfg.Retry.check())
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Uint64
	}
	s := &Service{cfg: cfg, ready: make(chan struct{})}
	if cfg.Probe == nil {
		s.cfg.Probe = s.probe
	}
	b := cfg.Balance
	b.Service, b.MaxConnections, b.MaxPending, b.Log = cfg.Name, cfg.MaxConnections, cfg.MaxPending, cfg.Log
	b.Dial = func(e mesh.Endpoint) balance.Transport { return newTransport(s.dialer(e), cfg.Host) }
	b.Why = s.lastError
	var err error
	s.balancer, err = balance.New(b)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("service %s: %w", cfg.Name, err)
	}
	return s, nil
}

// Run follows the endpoints until ctx ends, and then returns nil: nothing it started
// is running any more, and idle connections are closed. Requests from then on fail.
// The error is that of a resolver that cannot go on. Run is called once.
func (s *Service) Run(ctx context.Context) error {
	defer s.balancer.Close()
	resolver := s.cfg.Resolver
	if s.cfg.Mesh != nil { // below the health checks, which call endpoints as requests do
		resolver = meshed{Resolver: resolver, mesh: s.cfg.Mesh}
	}
	if check := s.cfg.HealthCheck; check != nil {
		resolver = &discovery.Checked{Inner: resolver, Check: *check, Probe: s.cfg.Probe, Probed: s.probed, Changed: s.changed, Log: s.cfg.Log}
	}
	err := resolver.Watch(ctx, s.cfg.Name, s.update)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("service %s: %w", s.cfg.Name, err)
}

// update takes over a set of endpoints.
func (s *Service) update(set []mesh.Endpoint) {
	s.balancer.Update(set)
	if len(set) > 0 { // an empty one may be the failure itself
		s.failure.Store(nil)
		s.found.Store(true)
	}
	s.once.Do(func() { close(s.ready) })
}

// changed tells who listens about an endpoint's health.
func (s *Service) changed(e mesh.Endpoint) {
	if s.cfg.Events.Health != nil {
		s.cfg.Events.Health(s.cfg.Name, e)
	}
}

// probed tells who listens about an answer to a health check.
func (s *Service) probed(_ mesh.Endpoint, note string) {
	if s.cfg.Events.Probed != nil {
		s.cfg.Events.Probed(s.cfg.Name, note)
	}
}

// ResolveFailed notes why the resolver has no news, for Status and for the Fault of a
// request that finds no endpoint. It is a resolver's Failed.
func (s *Service) ResolveFailed(err error) {
	text := err.Error()
	s.failure.Store(&text)
}

func (s *Service) lastError() string {
	if text := s.failure.Load(); text != nil {
		return *text
	}
	return ""
}

// Ready is closed when the first set of endpoints has come.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Found reports whether the service has ever had an endpoint.
func (s *Service) Found() bool { return s.found.Load() }

// RoundTripper returns the service's stack for one route. What an override leaves
// open is the service's. A word in its Retry.On that is none repeats nothing.
func (s *Service) RoundTripper(o Override) http.RoundTripper {
	total, retry, breaker := s.cfg.Timeout, s.cfg.Retry, s.cfg.Breaker
	if o.Timeout != nil {
		total = *o.Timeout
	}
	if o.Retry != nil {
		retry = *o.Retry
	}
	if o.Breaker != nil {
		breaker = o.Breaker
	}
	return mesh.Stack(s.balancer.Through(breaker),
		// above retry: one deadline covers all attempts
		timeout(total, s.cfg.IdleTimeout),
		// above balance: each attempt picks anew, and avoids endpoints already tried
		s.retries(retry),
		// below retry: each attempt has its own
		perTry(s.cfg.PerTryTimeout),
	)
}

// retries returns the retry layer. Even without a retry it makes the attempt's copy
// of the request.
func (s *Service) retries(policy Retry) mesh.Layer {
	policy.On = slices.Clone(policy.On)
	return func(next http.RoundTripper) http.RoundTripper {
		return &retrier{next: next, service: s.cfg.Name, policy: policy, ledger: &s.ledger, events: s.cfg.Events, rand: s.cfg.Rand}
	}
}

// dialer returns what connects to e.
func (s *Service) dialer(e mesh.Endpoint) *dialer {
	return &dialer{endpoint: e, limit: s.cfg.ConnectTimeout, tls: s.cfg.TLS, mesh: s.cfg.Mesh}
}

// Status returns how the service fares.
func (s *Service) Status() Status {
	st := Status{
		Name:        s.cfg.Name,
		Endpoints:   s.balancer.Status(),
		LastError:   s.lastError(),
		RetryBudget: s.ledger.remaining(s.cfg.Retry.Budget, time.Now()),
	}
	select {
	case <-s.ready:
		st.Ready = true
	default:
	}
	return st
}
