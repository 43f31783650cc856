package integration_test

import (
	"bytes"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

// The budgets of a whole gateway, in allocations a request.
const (
	plainBudget  = 4
	policyBudget = 5
	raceBudget   = 30 // the race detector has pools forget at random
)

// echoing answers each request that it reads in one piece, and allocates nothing.
func echoing(c net.Conn) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
	in := make([]byte, 8<<10)
	for {
		n, err := c.Read(in)
		if err != nil || !bytes.HasSuffix(in[:n], []byte("\r\n\r\n")) {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// TestAllocationBudget holds what a keep-alive request costs the whole gateway: its
// server, every layer with metrics, the transport.
func TestAllocationBudget(t *testing.T) {
	for _, tt := range []struct {
		name, service, config string
		budget                int
	}{
		{"no policy", "", "logging: {access: false}", plainBudget},
		{"access log", "", "", plainBudget},
		{"rate limit and breaker", "circuit_breaker: {failure_threshold: 5}", "logging: {access: false}\nrate_limiting: {default: {requests_per_minute: 1000000, burst: 1000000}}", policyBudget},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := meshtest.RawOrigin(t, echoing)
			config := to("http://"+e.Addr, tt.service, tt.config)
			if tt.service != "" {
				config = strings.Replace(config, "service: s}", "service: s, middleware: [rate-limit]}", 1)
			}
			c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(meshtest.Gateway(t, config).URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			request := []byte("GET /x HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
			in := make([]byte, 8<<10)
			ask := func() {
				if _, err := c.Write(request); err != nil {
					t.Fatal(err)
				}
				for n := 0; !bytes.HasSuffix(in[:n], []byte("\r\n\r\nok")); {
					m, err := c.Read(in[n:])
					if n += m; err != nil {
						t.Fatalf("%v after %q", err, in[:n])
					}
				}
			}
			got := perRequest(100, ask)
			if budget := float64(tt.budget + forgetful); got > budget {
				t.Errorf("%.1f allocations a request, want %.0f at most", got, budget)
			}
			t.Logf("%.2f allocations a request", got)
		})
	}
}

// perRequest returns how often memory was allocated for each call, by anybody: the
// gateway has goroutines of its own. Of several rounds it is the least: a garbage
// collection has pools forget.
func perRequest(n int, ask func()) float64 {
	for range 6000 { // until the memory of decisions is full, and its entries are used again
		ask()
	}
	least := math.Inf(1)
	for range 10 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			ask()
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/float64(n))
	}
	return least
}
