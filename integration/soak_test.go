package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/integration/meshtest"
)

const (
	soakTime    = 60 * time.Second
	soakPace    = 300 // requests a second that fall due
	soakFloor   = 200 // requests a second that must have been answered
	soakWorkers = 64
	soakReloads = 10
)

// TestSoak is a minute of everyday trouble: the configuration changes, once into an
// invalid one, and instances die by SIGKILL and come back, one at a time. No
// idempotent request may fail meanwhile.
func TestSoak(t *testing.T) {
	s := &soak{
		users:  []*Process{StartProcess(t, "users"), StartProcess(t, "users"), StartProcess(t, "users")},
		orders: []*Process{StartProcess(t, "orders"), StartProcess(t, "orders")},
	}
	s.gateway = meshtest.Gateway(t, s.config(0))
	s.awaitHealthy(t)

	traffic := newTraffic(s.gateway.URL, soakRequest)
	ctx, cancel := context.WithTimeout(t.Context(), soakTime)
	defer cancel()
	var chaos, load sync.WaitGroup
	load.Go(func() { traffic.run(ctx) })
	chaos.Go(func() { s.killInRotation(ctx, t, traffic) })
	chaos.Go(func() { s.reloadAgain(ctx, t) })
	chaos.Wait()
	load.Wait()

	n, failed := traffic.done.Load(), traffic.failed.Load()
	rate := float64(n) / soakTime.Seconds()
	fmt.Printf("soak: %d requests in %.0fs, %.0f/s, %d failed\n", n, soakTime.Seconds(), rate, failed)
	fmt.Printf("soak: %d instances killed and restarted, %d retries, %s reloads, %s refused\n", s.kills.Load(), s.retries(),
		s.gateway.Metric(`outrider_reloads_total{result="ok"}`), s.gateway.Metric(`outrider_reloads_total{result="refused"}`))
	if failed != 0 {
		t.Errorf("%d idempotent requests failed, want none:\n%s", failed, s.explain(t, traffic))
	}
	if rate < soakFloor {
		t.Errorf("%.0f requests a second, want %d", rate, soakFloor)
	}
	s.verify(t)
}

// soak is the gateway, what stands behind it, and what happens to it.
type soak struct {
	gateway       *meshtest.Running
	users, orders []*Process
	kills         atomic.Int64
}

// verify holds that what the soak is about took place.
func (s *soak) verify(t *testing.T) {
	t.Helper()
	if got := s.kills.Load(); got < int64(len(s.users)+len(s.orders)) {
		t.Errorf("%d instances were killed, want every one at least once", got)
	}
	if s.retries() == 0 {
		t.Error("no request was retried: no kill met any traffic")
	}
	for _, want := range []struct {
		series string
		least  float64
	}{
		{`outrider_reloads_total{result="ok"}`, soakReloads},
		{`outrider_reloads_total{result="refused"}`, 1},
	} {
		if got, err := strconv.ParseFloat(s.gateway.Metric(want.series), 64); err != nil || got < want.least {
			t.Errorf("%s = %v (%v), want at least %v", want.series, got, err, want.least)
		}
	}
}

// retries returns how many further attempts were made.
func (s *soak) retries() int {
	sum := 0.0
	for line := range strings.Lines(s.gateway.Metrics()) {
		if strings.HasPrefix(line, "outrider_retries_total{") {
			value, _ := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:len(line)-1], 64)
			sum += value
		}
	}
	return int(sum)
}

// config is version n of the configuration. Each is valid and differs from its
// neighbours, in something else every time.
func (s *soak) config(n int) string {
	users, orders := slices.Clone(s.users), slices.Clone(s.orders)
	timeout, extra, limits, logging := "10s", "", "header_bytes: 64KiB", "level: info"
	switch n % 5 {
	case 1:
		timeout = "12s"
	case 2:
		extra = "  spare: {url: \"http://" + users[0].Addr + "\", health_check: {path: /health, interval: 500ms}}\n"
	case 3:
		slices.Reverse(users)
		slices.Reverse(orders)
	case 4:
		limits, logging = "header_bytes: 32KiB, header_count: 80, uri_bytes: 8KiB", "level: debug, query: true"
	}
	return "# version " + strconv.Itoa(n) + "\nservices:\n" +
		service("user-service", users, timeout) + service("order-service", orders, timeout) + extra + `
routing:
  - {path: /api/users/**, service: user-service}
  - {path: /users/**, service: user-service, strip_path: true}
  - {path: /api/orders/**, service: order-service}
  - {path: /orders/**, service: order-service, strip_path: true}
limits: {` + limits + `}
logging: {access: true, ` + logging + `}
`
}

// service is a service as it is usual: a health check, and the defaults for the rest.
func service(name string, instances []*Process, timeout string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n    timeout: %s\n    health_check: {path: /health, interval: 500ms, timeout: 400ms, unhealthy: 2}\n    instances:\n", name, timeout)
	for _, p := range instances {
		fmt.Fprintf(&b, "      - url: http://%s\n", p.Addr)
	}
	return b.String()
}

// awaitHealthy waits until the gateway holds every instance for healthy.
func (s *soak) awaitHealthy(t *testing.T) {
	t.Helper()
	eventually(t, "every instance is healthy", func() bool {
		return s.gateway.Metric(`outrider_endpoints{service="user-service",state="unhealthy"}`) == "0" &&
			s.gateway.Metric(`outrider_endpoints{service="order-service",state="unhealthy"}`) == "0"
	})
}

// killInRotation kills one instance after the other and restarts it once the gateway
// has met its absence, until ctx ends.
func (s *soak) killInRotation(ctx context.Context, t *testing.T, traffic *traffic) {
	all := []*Process{s.users[0], s.orders[0], s.users[1], s.orders[1], s.users[2]}
	for n := 0; ctx.Err() == nil; n++ {
		p := all[n%len(all)]
		p.Kill()
		s.kills.Add(1)
		// Down for as long as it takes to be noticed, or half of that.
		traffic.await(ctx, soakPace*int64(1+n%2))
		p.Restart()
		s.awaitHealthy(t)
		traffic.await(ctx, soakPace/2)
	}
}

// reloadAgain has the gateway read new files at even distances: renamed into place or
// written over, and in the middle one that is invalid.
func (s *soak) reloadAgain(ctx context.Context, t *testing.T) {
	every := time.NewTicker(soakTime / (soakReloads + 3))
	defer every.Stop()
	for n := 1; n <= soakReloads+1; n++ {
		select {
		case <-every.C:
		case <-ctx.Done():
			t.Errorf("the time was up before reload %d", n)
			return
		}
		result := "ok"
		yaml := s.config(n)
		if n == soakReloads/2 {
			result, yaml = "refused", strings.Replace(yaml, "timeout: ", "timeuot: ", 1)
		}
		series := `outrider_reloads_total{result="` + result + `"}`
		before := s.gateway.Metric(series)
		replace(t, s.gateway.File, yaml, n%2 == 0)
		eventually(t, fmt.Sprintf("reload %d is %s", n, result), func() bool { return s.gateway.Metric(series) != before })
	}
}

// replace writes a file in place, or another one that is renamed over it.
func replace(t *testing.T, file, text string, rename bool) {
	t.Helper()
	into := file
	if rename {
		into = filepath.Join(t.TempDir(), filepath.Base(file))
	}
	if err := os.WriteFile(into, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
	if !rename {
		return
	}
	if err := os.Rename(into, file); err != nil {
		t.Error(err)
	}
}

// explain shows why requests failed: what the client saw, and the access log's lines.
func (s *soak) explain(t *testing.T, traffic *traffic) string {
	var b strings.Builder
	for _, why := range traffic.reasons() {
		fmt.Fprintln(&b, why)
	}
	for line := range strings.Lines(s.gateway.Metrics()) {
		if strings.HasPrefix(line, "outrider_faults_total{") || strings.HasPrefix(line, "outrider_retry_budget_exhausted_total{") {
			b.WriteString(line)
		}
	}
	shown := 0
	for line := range strings.Lines(s.gateway.Access.String()) {
		if !strings.Contains(line, `"status":200`) && shown < 20 {
			b.WriteString(line)
			shown++
		}
	}
	return b.String()
}

// soakRequest is request n: a GET or a PUT.
func soakRequest(n int) (method, path, body string) {
	switch n % 4 {
	case 1:
		return http.MethodGet, "/api/orders", ""
	case 2:
		return http.MethodPut, "/users/items/" + strconv.Itoa(n), strings.Repeat("tea ", n%2000)
	case 3:
		return http.MethodPut, "/orders/items/" + strconv.Itoa(n), "cake"
	}
	return http.MethodGet, "/api/users/42", ""
}
