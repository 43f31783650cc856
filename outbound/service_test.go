package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outrider/discovery"
	"outrider/internal/mesh"
	"outrider/outbound"
	"outrider/outbound/balance"
)

func TestNewServiceRefuses(t *testing.T) {
	ok := discovery.Static(nil)
	for _, c := range []struct {
		name string
		cfg  outbound.Config
		want []string
	}{
		{"zero", outbound.Config{}, []string{"no name", "no resolver"}},
		{"timeouts", outbound.Config{Name: "a", Resolver: ok, PerTryTimeout: -1}, []string{"service a: ", "negative timeout"}},
		{"retry", outbound.Config{Name: "a", Resolver: ok, Retry: outbound.Retry{On: []string{"x"}}}, []string{`"x"`}},
		{"balance", outbound.Config{Name: "a", Resolver: ok, Balance: balance.Config{Policy: "x"}}, []string{`x`}},
	} {
		s, err := outbound.NewService(c.cfg)
		if err == nil || s != nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", c.name, want, err)
			}
		}
	}
}

// pushed is a resolver that the test is the source of.
type pushed chan []mesh.Endpoint

func (p pushed) Watch(ctx context.Context, _ mesh.Service, update func([]mesh.Endpoint)) error {
	for {
		select {
		case set, ok := <-p:
			if !ok {
				return errors.New("gave up")
			}
			update(set)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func TestReadyAndStatus(t *testing.T) {
	source := make(pushed)
	s, err := outbound.NewService(outbound.Config{Name: "orders", Resolver: source, Retry: outbound.Retry{Budget: outbound.Budget{Min: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	if st := s.Status(); st.Ready || st.Name != "orders" || st.RetryBudget != 30 || len(st.Endpoints) != 0 {
		t.Errorf("before: %+v", st)
	}
	s.ResolveFailed(errors.New("no such host"))
	source <- nil
	<-s.Ready()
	x := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil)
	if f := x.want(mesh.NoEndpoints); !strings.Contains(f.Error(), "no such host") {
		t.Errorf("the Fault does not say why: %v", f)
	}
	if st := s.Status(); !st.Ready || st.LastError != "no such host" {
		t.Errorf("after an empty set: %+v", st)
	}
	source <- []mesh.Endpoint{endpoint("http", "127.0.0.1:1")}
	source <- []mesh.Endpoint{endpoint("http", "127.0.0.1:1")} // so that the one before has been taken
	if st := s.Status(); len(st.Endpoints) != 1 || st.LastError != "" {
		t.Errorf("after a set: %+v", st)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil).want(mesh.NoEndpoints)
}

func TestRunReturnsTheResolversError(t *testing.T) {
	source := make(pushed)
	close(source)
	s, err := outbound.NewService(outbound.Config{Name: "orders", Resolver: source})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil || err.Error() != "service orders: gave up" {
		t.Errorf("Run: %v", err)
	}
}

// TestAnotherEndpoint: a retry goes where nobody has been, even for a POST.
func TestAnotherEndpoint(t *testing.T) {
	_, good := serve(t, "http", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	var retries atomic.Int32
	cfg := outbound.Config{
		Retry:   outbound.Retry{Attempts: 1, On: []string{"connect"}, Budget: always},
		Balance: balance.Config{Policy: balance.RoundRobin},
		Events:  outbound.Events{Retry: func(mesh.Service, int, string) { retries.Add(1) }},
	}
	rt := start(t, cfg, endpoint("http", closedPort(t)), good).RoundTripper(outbound.Override{})
	for range 10 {
		x := send(t, rt, "POST", "/", body("hello"))
		if got := x.text(); got != "hello" {
			t.Errorf("got %q", got)
		}
		if n := len(x.call.Attempts); x.call.Attempts[n-1].Endpoint != good.Address || x.call.Attempts[n-1].Status != 200 {
			t.Errorf("attempts %+v", x.call.Attempts)
		}
	}
	if retries.Load() == 0 {
		t.Error("nothing was retried")
	}
}

func TestOverride(t *testing.T) {
	_, e := serve(t, "http", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	retry := outbound.Retry{Attempts: 1, On: []string{"503"}, Budget: always}
	s := start(t, outbound.Config{Timeout: time.Hour, Retry: retry}, e)
	attempts := func(o outbound.Override) int {
		return len(send(t, s.RoundTripper(o), "GET", "/", nil).call.Attempts)
	}
	if n := attempts(outbound.Override{}); n != 2 {
		t.Errorf("%d attempts without override", n)
	}
	retry.Attempts = 3
	if n := attempts(outbound.Override{Retry: &retry}); n != 4 {
		t.Errorf("%d attempts with override", n)
	}
	short := tiny
	send(t, s.RoundTripper(outbound.Override{Timeout: &short}), "GET", "/slow", nil).want(mesh.ResponseTimeout)

	one := outbound.Override{Retry: &outbound.Retry{}, Breaker: &balance.Breaker{FailureThreshold: 2, RecoveryTimeout: time.Hour}}
	for range 2 {
		if x := send(t, s.RoundTripper(one), "GET", "/", nil); x.err != nil {
			t.Error(x.err)
		}
	}
	if f := send(t, s.RoundTripper(one), "GET", "/", nil).want(mesh.BreakerOpen); f.RetryAfter == 0 {
		t.Error("no Retry-After")
	}
}

func TestHealthChecks(t *testing.T) {
	for _, scheme := range []string{"http", "https", "h2c"} {
		t.Run(scheme, func(t *testing.T) {
			var healthy atomic.Bool
			asked := make(chan string, 100)
			srv, e := serve(t, scheme, func(w http.ResponseWriter, r *http.Request) {
				select {
				case asked <- fmt.Sprint(r.Method, " ", r.Host, " ", r.RequestURI, " ", r.UserAgent()):
				default:
				}
				if !healthy.Load() {
					http.Redirect(w, r, "/elsewhere", http.StatusFound)
				}
			})
			changed := make(chan mesh.Endpoint, 100)
			s := start(t, outbound.Config{
				HealthCheck: &discovery.Check{Path: "/health?deep=1", Interval: 10 * time.Millisecond},
				TLS:         tlsOf(srv),
				Events:      outbound.Events{Health: func(_ mesh.Service, e mesh.Endpoint) { changed <- e }},
			}, e)
			if got, want := <-asked, "GET orders.test /health?deep=1 outrider-health"; got != want {
				t.Errorf("asked %q, want %q", got, want)
			}
			if e := <-changed; !e.Unhealthy || !strings.Contains(e.HealthNote, "302") {
				t.Errorf("changed to %+v", e)
			}
			send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil).want(mesh.NoEndpoints)
			healthy.Store(true)
			if e := <-changed; e.Unhealthy {
				t.Errorf("changed to %+v", e)
			}
			st := s.Status().Endpoints[0]
			if st.Successes+st.Failures != 0 {
				t.Errorf("the balancer has counted probes: %+v", st)
			}
		})
	}
}
