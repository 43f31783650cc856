package policy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/policy"
)

// clock is a time that only the test moves.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1e9, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func newLimiter(t testing.TB, c policy.LimitConfig) *policy.Limiter {
	t.Helper()
	l, err := policy.NewLimiter(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLimiterRefusesBeyondBurst(t *testing.T) {
	var c clock
	origin := &service{}
	stack := mesh.Stack(origin, newLimiter(t, policy.LimitConfig{
		Name: "login", Rate: policy.Rate{PerMinute: 10, Burst: 2}, Now: c.now,
	}).Layer())
	steps := []struct {
		name       string
		wait       time.Duration
		limit      string
		retryAfter time.Duration // zero: the request passes
	}{
		{"first", 0, `"login";r=1;t=6`, 0},
		{"second", 0, `"login";r=0;t=6`, 0},
		{"third", 0, `"login";r=0;t=6`, 6 * time.Second},
		{"a little later", 5500 * time.Millisecond, `"login";r=0;t=1`, time.Second},
		{"when told to", time.Second, `"login";r=0;t=6`, 0},
		{"much later", time.Hour, `"login";r=1;t=6`, 0},
	}
	for _, s := range steps {
		c.advance(s.wait)
		resp, err := stack.RoundTrip(get(t.Context(), "/api/auth/login"))
		var h http.Header
		if s.retryAfter > 0 {
			f := faulted(t, err, mesh.Limited)
			if f.RetryAfter != s.retryAfter {
				t.Errorf("%s: RetryAfter %v, want %v", s.name, f.RetryAfter, s.retryAfter)
			}
			h = f.Header
		} else {
			h = passed(t, resp, err).Header
		}
		if got := field(h, "RateLimit"); got != s.limit {
			t.Errorf("%s: RateLimit %s, want %s", s.name, got, s.limit)
		}
		if got, want := field(h, "RateLimit-Policy"), `"login";q=2;w=12`; got != want {
			t.Errorf("%s: RateLimit-Policy %s, want %s", s.name, got, want)
		}
	}
	if got := origin.calls.Load(); got != 4 {
		t.Errorf("the origin got %d requests, want 4", got)
	}
}

func TestLimiterPolicyField(t *testing.T) {
	tests := []struct {
		name string
		rate policy.Rate
		want string
	}{
		{"default", policy.Rate{PerMinute: 1000, Burst: 50}, `"default";q=50;w=3`},
		{"no burst", policy.Rate{PerMinute: 60}, `"no burst";q=60;w=60`},
		{"less than a second", policy.Rate{PerMinute: 6000, Burst: 1}, `"less than a second";q=1;w=1`},
		{`a "quoted" \`, policy.Rate{PerMinute: 1}, `"a \"quoted\" \\";q=1;w=60`},
		{"/café/**\x00", policy.Rate{PerMinute: 60}, `"/caf%C3%A9/**%00";q=60;w=60`},
		{"", policy.Rate{PerMinute: 1, Burst: 1e8}, `"";q=100000000;w=6000000000`},
	}
	for _, tt := range tests {
		stack := mesh.Stack(&service{}, newLimiter(t, policy.LimitConfig{Name: tt.name, Rate: tt.rate}).Layer())
		resp, err := stack.RoundTrip(get(t.Context(), "/"))
		if got := field(passed(t, resp, err).Header, "RateLimit-Policy"); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// RetryAfter is the truth: a client that obeys it passes, and it could not have
// come a second earlier.
func TestLimiterRetryAfterHolds(t *testing.T) {
	for perMinute := 1; perMinute <= 90; perMinute++ {
		var c clock
		stack := mesh.Stack(&service{}, newLimiter(t, policy.LimitConfig{
			Rate: policy.Rate{PerMinute: perMinute, Burst: 1}, Now: c.now,
		}).Layer())
		for round := range 5 {
			resp, err := stack.RoundTrip(get(t.Context(), "/"))
			passed(t, resp, err)
			c.advance(time.Duration(round) * 77 * time.Millisecond)
			_, err = stack.RoundTrip(get(t.Context(), "/"))
			wait := faulted(t, err, mesh.Limited).RetryAfter
			if wait < time.Second || wait%time.Second != 0 {
				t.Fatalf("%d a minute: RetryAfter %v, want whole seconds", perMinute, wait)
			}
			if wait > time.Second {
				c.advance(wait - time.Second)
				_, err = stack.RoundTrip(get(t.Context(), "/"))
				faulted(t, err, mesh.Limited)
				c.advance(time.Second)
			} else {
				c.advance(wait)
			}
		}
	}
}

func TestLimiterTellsClientsApart(t *testing.T) {
	type who struct {
		addr, subject string
		header        []string
	}
	long := strings.Repeat("k", 5000)
	tests := []struct {
		name string
		key  string
		a, b who
		same bool
	}{
		{"one address", "client_ip", who{addr: "192.0.2.1"}, who{addr: "192.0.2.1"}, true},
		{"two addresses", "client_ip", who{addr: "192.0.2.1"}, who{addr: "192.0.2.2"}, false},
		{"IPv4 in IPv6", "client_ip", who{addr: "192.0.2.1"}, who{addr: "::ffff:192.0.2.1"}, true},
		{"one /64", "client_ip", who{addr: "2001:db8:0:1::1"}, who{addr: "2001:db8:0:1:ffff::2"}, true},
		{"two /64", "client_ip", who{addr: "2001:db8:0:1::1"}, who{addr: "2001:db8:0:2::1"}, false},
		{"IPv4 and IPv6 of the same bytes", "client_ip", who{addr: "32.1.13.184"}, who{addr: "2001:db8::"}, false},
		{"headers mean nothing to an address", "client_ip", who{addr: "192.0.2.1", header: []string{"a"}}, who{addr: "192.0.2.1", header: []string{"b"}}, true},
		{"one header value", "header:x-key", who{addr: "192.0.2.1", header: []string{"a"}}, who{addr: "192.0.2.2", header: []string{"a"}}, true},
		{"two header values", "header:X-Key", who{addr: "192.0.2.1", header: []string{"a"}}, who{addr: "192.0.2.1", header: []string{"b"}}, false},
		{"only the first value counts", "header:X-Key", who{addr: "192.0.2.1", header: []string{"a", "x"}}, who{addr: "192.0.2.1", header: []string{"a", "y"}}, true},
		{"long header values", "header:X-Key", who{addr: "192.0.2.1", header: []string{long + "1"}}, who{addr: "192.0.2.1", header: []string{long + "2"}}, false},
		{"no header: one address", "header:X-Key", who{addr: "192.0.2.1"}, who{addr: "192.0.2.1"}, true},
		{"no header: two addresses", "header:X-Key", who{addr: "192.0.2.1"}, who{addr: "192.0.2.2"}, false},
		{"empty header is none", "header:X-Key", who{addr: "192.0.2.1", header: []string{""}}, who{addr: "192.0.2.2", header: []string{""}}, false},
		{"a header that spells an address", "header:X-Key", who{addr: "192.0.2.1"}, who{addr: "192.0.2.2", header: []string{"192.0.2.1"}}, false},
		{"one subject", "subject", who{addr: "192.0.2.1", subject: "u1"}, who{addr: "192.0.2.2", subject: "u1"}, true},
		{"two subjects", "subject", who{addr: "192.0.2.1", subject: "u1"}, who{addr: "192.0.2.1", subject: "u2"}, false},
		{"no subject", "subject", who{addr: "192.0.2.1"}, who{addr: "192.0.2.2"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := policy.ParseKey(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			stack := mesh.Stack(&service{}, newLimiter(t, policy.LimitConfig{
				Rate: policy.Rate{PerMinute: 1, Burst: 1}, Key: key,
			}).Layer())
			var err2 error
			for _, w := range []who{tt.a, tt.b} {
				req := get(t.Context(), "/")
				req.Header["X-Key"] = w.header
				call := mesh.From(req)
				call.Client, call.Subject = netip.MustParseAddr(w.addr), w.subject
				_, err2 = stack.RoundTrip(req)
			}
			if same := err2 != nil; same != tt.same {
				t.Errorf("same client: %v, want %v", same, tt.same)
			}
		})
	}
}

func TestLimiterFallsBackToThePeer(t *testing.T) {
	stack := mesh.Stack(&service{}, newLimiter(t, policy.LimitConfig{Rate: policy.Rate{PerMinute: 1}}).Layer())
	from := func(peer netip.AddrPort) error {
		req := get(t.Context(), "/")
		call := mesh.From(req)
		call.Client, call.Peer = netip.Addr{}, peer
		_, err := stack.RoundTrip(req)
		return err
	}
	if err := from(netip.MustParseAddrPort("192.0.2.7:1")); err != nil {
		t.Error(err)
	}
	faulted(t, from(netip.MustParseAddrPort("192.0.2.7:2")), mesh.Limited)
	if err := from(netip.AddrPort{}); err != nil {
		t.Errorf("without any address: %v", err)
	}
	faulted(t, from(netip.AddrPort{}), mesh.Limited)
}

func TestParseKey(t *testing.T) {
	for _, s := range []string{"client_ip", "header:X-Api-Key", "subject"} {
		k, err := policy.ParseKey(s)
		if err != nil || k.String() != s {
			t.Errorf("ParseKey(%q) = %v, %v", s, k, err)
		}
		if k.BySubject() != (s == "subject") {
			t.Errorf("%s: BySubject is %v", s, k.BySubject())
		}
	}
	for _, s := range []string{"", "ip", "header:", "header", "header:X Key", "header:host", "Subject", "cookie:a"} {
		if k, err := policy.ParseKey(s); err == nil {
			t.Errorf("ParseKey(%q) = %v, want an error", s, k)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"client_ip", "subject", "header:x-key", "header:", "header:a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := policy.ParseKey(s)
		if err != nil {
			return
		}
		if again, err := policy.ParseKey(k.String()); err != nil || again != k {
			t.Errorf("%q is %v, and that %v, %v", s, k, again, err)
		}
	})
}

func TestNewLimiterRefuses(t *testing.T) {
	tests := []struct {
		name string
		c    policy.LimitConfig
		want string
	}{
		{"nothing", policy.LimitConfig{}, "requests per minute must be from 1"},
		{"negative rate", policy.LimitConfig{Rate: policy.Rate{PerMinute: -1}}, "not -1"},
		{"huge rate", policy.LimitConfig{Rate: policy.Rate{PerMinute: 2e8}}, "requests per minute"},
		{"negative burst", policy.LimitConfig{Rate: policy.Rate{PerMinute: 1, Burst: -1}}, "burst must be"},
		{"huge burst", policy.LimitConfig{Rate: policy.Rate{PerMinute: 1, Burst: 2e8}}, "burst must be"},
		{"negative keys", policy.LimitConfig{Rate: policy.Rate{PerMinute: 1}, MaxKeys: -1}, "max keys"},
	}
	for _, tt := range tests {
		if _, err := policy.NewLimiter(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestLimitersAddUp(t *testing.T) {
	rate := policy.Rate{PerMinute: 60}
	outer := newLimiter(t, policy.LimitConfig{Name: "outer", Rate: rate})
	inner := newLimiter(t, policy.LimitConfig{Name: "inner", Rate: rate})
	origin := &service{header: http.Header{"Ratelimit": {`"own";r=7`}, "Ratelimit-Policy": {`"own";q=9`}}}
	resp, err := mesh.Stack(origin, outer.Layer(), inner.Layer()).RoundTrip(get(t.Context(), "/"))
	h := passed(t, resp, err).Header
	if got, want := field(h, "RateLimit"), `"own";r=7, "inner";r=59;t=1, "outer";r=59;t=1`; got != want {
		t.Errorf("RateLimit %s, want %s", got, want)
	}
	if got, want := field(h, "RateLimit-Policy"), `"own";q=9, "inner";q=60;w=60, "outer";q=60;w=60`; got != want {
		t.Errorf("RateLimit-Policy %s, want %s", got, want)
	}
}

func TestLimiterReportsOnFaults(t *testing.T) {
	shared := &mesh.Fault{Kind: mesh.NoEndpoints, RetryAfter: time.Second, Header: http.Header{"X-A": {"1"}}}
	l := newLimiter(t, policy.LimitConfig{Name: "l", Rate: policy.Rate{PerMinute: 60}})
	for _, below := range []error{shared, fmt.Errorf("outbound: %w", shared), &mesh.Fault{Kind: mesh.NoEndpoints, RetryAfter: time.Second}} {
		_, err := mesh.Stack(&service{err: below}, l.Layer()).RoundTrip(get(t.Context(), "/"))
		f := faulted(t, err, mesh.NoEndpoints)
		if f.RetryAfter != time.Second || field(f.Header, "RateLimit") == "" {
			t.Errorf("got %+v, want the Fault from below with RateLimit", f)
		}
	}
	if len(shared.Header) != 1 {
		t.Errorf("the Fault below has been edited: %v", shared.Header)
	}
}

func TestLimiterOfOneClientUnderConcurrency(t *testing.T) {
	var c clock // stands still: no token comes back
	l := newLimiter(t, policy.LimitConfig{Rate: policy.Rate{PerMinute: 60, Burst: 37}, Now: c.now})
	origin := &service{}
	stack := mesh.Stack(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		origin.calls.Add(1)
		return (&service{}).RoundTrip(req)
	}), l.Layer())
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { _, _ = stack.RoundTrip(get(t.Context(), "/")) })
	}
	all.Wait()
	if got := origin.calls.Load(); got != 37 {
		t.Errorf("%d requests passed, want 37", got)
	}
	if l.Keys() != 1 {
		t.Errorf("%d clients, want 1", l.Keys())
	}
}

func TestPathLimits(t *testing.T) {
	limiter := func(name string) *policy.Limiter {
		return newLimiter(t, policy.LimitConfig{Name: name, Rate: policy.Rate{PerMinute: 60}})
	}
	layer, err := policy.PathLimits([]policy.PathLimit{
		{Path: "/api/**", Line: 1, Limiter: limiter("api")},
		{Path: "/api/auth/login", Line: 2, Limiter: limiter("login")},
		{Path: "/api/v1.0/*/Login", Line: 3, Limiter: limiter("v1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	stack := mesh.Stack(&service{}, layer)
	for path, want := range map[string]string{
		"/api/auth/login":     `"login"`,
		"/api/auth/login/":    `"login"`,
		"/api/auth/login;x=1": `"login"`,
		"/api/auth":           `"api"`,
		"/api":                `"api"`,
		"/api/v1.0/a/Login":   `"v1"`,
		"/api/v1.0/a/login":   `"api"`,
		"/other":              "",
	} {
		resp, err := stack.RoundTrip(get(t.Context(), path))
		got, _, _ := strings.Cut(field(passed(t, resp, err).Header, "RateLimit"), ";")
		if got != want {
			t.Errorf("%s: limited by %s, want %s", path, got, want)
		}
	}
}

func TestPathLimitsRefuses(t *testing.T) {
	l := newLimiter(t, policy.LimitConfig{Rate: policy.Rate{PerMinute: 60}})
	_, err := policy.PathLimits([]policy.PathLimit{{Path: "no/slash", Line: 7, Limiter: l}, {Path: "/a", Line: 8, Limiter: l}, {Path: "/a", Line: 9, Limiter: l}})
	for _, want := range []string{"line 7", "line 9"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
	if layer, err := policy.PathLimits(nil); layer != nil || err != nil {
		t.Errorf("without limits: got a layer %v, error %v", layer != nil, err)
	}
}

func BenchmarkLimiterLayer(b *testing.B) {
	stack := mesh.Stack(&service{}, newLimiter(b, policy.LimitConfig{Name: "default", Rate: policy.Rate{PerMinute: 1e8}}).Layer())
	req := get(context.Background(), "/")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = stack.RoundTrip(req)
	}
}
