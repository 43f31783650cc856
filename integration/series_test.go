package integration_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"outrider/discovery"
	"outrider/integration/meshtest"
	"outrider/internal/app"
	"outrider/internal/config"
	"outrider/internal/mesh"
)

const (
	strangers  = 10_000     // requests
	maxPairs   = 256 + 1    // of method and status, for each pair of route and service; the last stands for all others
	perPair    = 1 + 18 + 3 // the counter; the histogram's buckets, +Inf, sum and count
	perAttempt = 18 + 3
	maxResults = 6 + 40 // classes of status, codes of faults
)

// started runs a proxy of this configuration in this process until the test ends. m is
// its registry.
func started(t *testing.T, mode config.Mode, yaml string, m *discovery.Memory) app.Addresses {
	t.Helper()
	first, err := config.Load(config.Options{File: write(t, yaml), Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	at, ended := make(chan app.Addresses, 1), make(chan error, 1)
	p := app.New(app.Options{
		Registry: func(config.Consul) (app.Registry, error) { return app.Memory(m), nil },
		Started:  func(a app.Addresses) { at <- a },
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- p.Run(ctx, first) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the proxy did not stop cleanly: %v", err)
		}
	})
	return await(t, "the start", at)
}

// stranger asks for what nobody expects: of each word that it says it keeps a note.
type stranger struct {
	random *rand.Rand
	said   map[string]bool
}

func (s *stranger) word() string {
	b := make([]byte, 8+s.random.IntN(8))
	for i := range b {
		b[i] = byte('a' + s.random.IntN(26))
	}
	s.said[string(b)] = true
	return string(b)
}

// request is one to that address, where the Host is one of names half of the time.
func (s *stranger) request(ctx context.Context, addr string, names []string) *http.Request {
	method := []string{"GET", "PUT", "HEAD", "OPTIONS", strings.ToUpper(s.word())}[s.random.IntN(5)]
	path := []string{"/api/", "/split/", "/"}[s.random.IntN(3)] + s.word() + "/" + s.word()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path+"?"+s.word()+"="+s.word(), nil)
	if err != nil {
		panic(err) // each of the words is a token
	}
	req.Host = s.word() + ".test"
	if len(names) > 0 && s.random.IntN(2) == 0 {
		req.Host = names[s.random.IntN(len(names))]
	}
	req.Header.Set("User-Agent", s.word())
	req.Header.Set("X-Request-Id", s.word())
	req.Header.Set("X-Status", strconv.Itoa(200+s.random.IntN(800)))
	return req
}

// visit has strangers ask, several at once, and returns all that they said.
func visit(t *testing.T, addr string, names []string) map[string]bool {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(client.CloseIdleConnections)
	const several = 4
	all := make([]stranger, several)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = stranger{rand.New(rand.NewPCG(4, uint64(i))), map[string]bool{}}
		wg.Go(func() {
			for range strangers / several {
				resp, err := client.Do(all[i].request(t.Context(), addr, names))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	said := map[string]bool{}
	for _, s := range all {
		for word := range s.said {
			said[word], said[word+".test"], said[strings.ToUpper(word)] = true, true, true
		}
	}
	return said
}

// obedient answers with the status that it is told.
func obedient(w http.ResponseWriter, r *http.Request) {
	status, err := strconv.Atoi(r.Header.Get("X-Status"))
	if err != nil {
		status = http.StatusOK
	}
	w.WriteHeader(status)
}

var (
	ourSeries  = regexp.MustCompile(`(?m)^(?:gateway|outrider)_[a-z_]+(?:\{.*\})? `)
	labelValue = regexp.MustCompile(`="([^"]*)"`)
)

// bounded holds the series of a proxy to a bound, and that none has a label which a
// stranger chose.
func bounded(t *testing.T, admin string, said map[string]bool, limit int) {
	t.Helper()
	status, metrics := get(t, http.MethodGet, "http://"+admin+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: status %d\n%s", status, metrics)
	}
	n := len(ourSeries.FindAllString(metrics, -1))
	t.Logf("%d series, of at most %d, after %d requests", n, limit, strangers)
	if n > limit || n < maxPairs*perPair/2 {
		t.Errorf("%d series, want at most %d, and enough to show that anything was counted", n, limit)
	}
	for _, v := range labelValue.FindAllStringSubmatch(metrics, -1) {
		if said[v[1]] {
			t.Errorf("a stranger has chosen a label: %q", v[1])
		}
	}
}

// Whatever strangers send to a gateway, and whatever its services answer, there are no
// more series than its routes allow.
func TestSeriesOfAGatewayAreBounded(t *testing.T) {
	origin := meshtest.Origin(t, obedient)
	at := started(t, config.Ingress, fmt.Sprintf(freePorts+`
services:
  tea: {url: %[1]q, retries: 0, outlier: false}
  cake: {url: %[1]q, retries: {attempts: 1, on: ["503"]}, outlier: false}
rate_limiting: {paths: {/api/limited: {requests_per_minute: 1}}}
routing:
  - {path: /api/**, service: tea, middleware: [circuit-breaker], circuit_breaker: {failure_threshold: 1000000}}
  - {path: /split/**, split: [{service: tea}, {service: cake}]}
`, origin.URL), nil)
	const places, services = 3 + 1, 2 // one route and service, two of the split, nothing; and what is known without requests
	bounded(t, at.Admin, visit(t, at.Server, nil), places*maxPairs*perPair+services*maxResults*perAttempt+200)
}

// A sidecar that looks for whatever its app names makes no label of the names.
func TestSeriesOfASidecarAreBounded(t *testing.T) {
	origin := meshtest.Origin(t, obedient)
	m := &discovery.Memory{}
	var names []string
	where := netip.MustParseAddrPort(strings.TrimPrefix(origin.URL, "http://"))
	for i := range 200 { // further ones find no place
		name := fmt.Sprintf("found-%d", i)
		m.Register(mesh.Service(name), mesh.Endpoint{ID: name, Scheme: "http", Address: where.String()})
		names = append(names, name)
	}
	at := started(t, config.Run, fmt.Sprintf(`
service: {name: orders, app: %q}
inbound: {listen: "127.0.0.1:0"}
outbound: {listen: "127.0.0.1:0", undeclared: discover}
admin: {listen: "127.0.0.1:0"}
consul: {register: false}
services: {declared: {url: %q, retries: 0}}
`, where, origin.URL), m)
	for _, name := range names {
		get(t, http.MethodGet, "http://"+at.Outbound+"/", "Host", name)
	}
	said := visit(t, at.Outbound, append(names, "declared"))
	for _, name := range names {
		said[name] = true
	}
	const places, services = 3, 2 // undeclared, declared, nothing
	limit := places*maxPairs*perPair + services*maxResults*perAttempt + 200
	bounded(t, at.Admin, said, limit)
	t.Run("inbound", func(t *testing.T) {
		bounded(t, at.Admin, visit(t, at.Inbound, nil), limit+maxPairs*perPair+maxResults*perAttempt)
	})
}
