package outbound

import (
	"net/http"
	"slices"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

// Plan is what a service's stack would do with a request.
type Plan struct {
	Timeout    time.Duration // of the whole exchange; zero is no bound
	PerTry     time.Duration // of one attempt; zero is no bound
	Connect    time.Duration
	Idle       time.Duration
	Asked      time.Duration // the client's own grpc-timeout; zero is none
	Retry      Retry
	Acts       []string // the words of Retry.On that can act on this request
	Idempotent bool     // by its method
	BudgetLeft int      // retries that the budget allows right now
	Balance    balance.Explanation
}

// Explain says what the stack of RoundTripper(o) would do with req. Nothing is sent,
// and nothing is spent.
func (s *Service) Explain(o Override, req *http.Request, call *mesh.Call) Plan {
	p := Plan{
		Timeout: s.cfg.Timeout, PerTry: s.cfg.PerTryTimeout, Connect: s.cfg.ConnectTimeout, Idle: s.cfg.IdleTimeout,
		Asked: grpcTimeout(req), Retry: s.cfg.Retry, Idempotent: mesh.Idempotent(req.Method),
	}
	breaker := s.cfg.Breaker
	if o.Timeout != nil {
		p.Timeout = *o.Timeout
	}
	if o.Retry != nil {
		p.Retry = *o.Retry
	}
	if o.Breaker != nil {
		breaker = o.Breaker
	}
	p.Acts = slices.Clone(p.Retry.On)
	if !p.Idempotent {
		p.Acts = slices.DeleteFunc(p.Acts, func(on string) bool { return on != onConnect })
	}
	p.BudgetLeft = s.ledger.remaining(p.Retry.Budget, time.Now())
	p.Balance = s.balancer.Explain(breaker, req, call)
	return p
}
