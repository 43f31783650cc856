package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/integration/meshtest"
)

// TestMesh is the mesh on a real Consul as its users meet it.
func TestMesh(t *testing.T) {
	consul := meshtest.StartConsul(t, false)
	f := startFleet(t, consul, fleetOptions{instances: 3})
	t.Run("OneRequestInEveryLog", f.testOneRequest)
	t.Run("Joins", f.testJoins)
	t.Run("Maintenance", f.testMaintenance)
	t.Run("CriticalCheck", f.testCritical)
}

// line is what a test looks for in an access log.
type line struct {
	RequestID string `json:"request_id"`
	Direction string `json:"direction"`
	Service   string `json:"service"`
	Source    string `json:"source"`
	Status    int    `json:"status"`
}

// logged returns the lines of a request in a program's access log.
func logged(p *program, id string) (all []line) {
	for text := range strings.Lines(p.out.String()) {
		var l line
		if json.Unmarshal([]byte(text), &l) == nil && l.RequestID == id {
			all = append(all, l)
		}
	}
	return all
}

// One X-Request-ID stands in the logs of all hops, and Via names each.
func (f *fleet) testOneRequest(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/api/users/42/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	text := meshtest.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s", resp.StatusCode, text)
	}
	id := resp.Header.Get("X-Request-Id")
	var hops []string
	seen := func() []string {
		hops = nil
		for _, l := range logged(f.ingress, id) {
			hops = append(hops, "ingress "+l.Direction)
		}
		for _, n := range f.nodes() {
			for _, l := range logged(n.sidecar, id) {
				hops = append(hops, n.service+" "+l.Direction)
			}
		}
		slices.Sort(hops)
		return hops
	}
	want := []string{"ingress ingress", "orders inbound", "users inbound", "users outbound"}
	meshtest.Eventually(t, "the request is in every hop's log", func() bool { return len(seen()) >= len(want) })
	if !slices.Equal(hops, want) {
		t.Errorf("the request is in the logs of %q, want %q", hops, want)
	}
	via := strings.Split(resp.Header.Get("X-Seen-Via"), ", ")
	if len(via) != len(want) {
		t.Errorf("orders saw a request that has come by %q, want %d proxies", via, len(want))
	}
	fmt.Printf("%s: request %s is in the logs of %s; Via: %s\n", t.Name(), id, strings.Join(hops, ", "), strings.Join(via, ", "))
}

// served returns which instances answer a hundred requests.
func (f *fleet) served(path string) map[string]int {
	by := map[string]int{}
	for range 60 {
		req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.url+path, nil)
		if err != nil {
			f.t.Fatal(err)
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			f.t.Fatal(err)
		}
		resp.Body.Close()
		by[resp.Header.Get("X-Instance")]++
	}
	return by
}

// takes waits until what is done shows, and prints how long that took.
func (f *fleet) takes(t *testing.T, what string, shows func() bool) {
	t.Helper()
	began := time.Now()
	meshtest.Eventually(t, what, shows)
	fmt.Printf("%s: %s after %v\n", t.Name(), what, time.Since(began).Round(time.Millisecond))
}

// A joining instance gets traffic.
func (f *fleet) testJoins(t *testing.T) {
	n := f.orders[0]
	n.stop()
	f.takes(t, "an instance that left gets no traffic", func() bool { return f.served("/api/orders")[n.id] == 0 })
	n.app.start()
	n.app.ready()
	n.sidecar.start()
	n.sidecar.ready()
	f.takes(t, "an instance that joined gets traffic", func() bool { return f.served("/api/orders")[n.id] > 0 })
}

// An instance in maintenance loses its traffic.
func (f *fleet) testMaintenance(t *testing.T) {
	n := f.orders[1]
	f.consul.Put("/v1/agent/service/maintenance/"+n.id+"?enable=true&reason=repairs", nil, nil)
	f.takes(t, "an instance in maintenance gets no traffic", func() bool { return f.served("/api/orders")[n.id] == 0 })
	f.consul.Put("/v1/agent/service/maintenance/"+n.id+"?enable=false", nil, nil)
	f.takes(t, "an instance back from maintenance gets traffic", func() bool { return f.served("/api/orders")[n.id] > 0 })
}

// An instance whose check is critical loses its traffic.
func (f *fleet) testCritical(t *testing.T) {
	n := f.orders[2]
	check := map[string]any{"ID": "extra", "Name": "extra", "ServiceID": n.id, "TTL": "10m", "Status": "critical"}
	f.consul.Put("/v1/agent/check/register", check, nil)
	f.takes(t, "an instance with a critical check gets no traffic", func() bool { return f.served("/api/orders")[n.id] == 0 })
	f.consul.Put("/v1/agent/check/deregister/extra", nil, nil)
	f.takes(t, "an instance without it gets traffic", func() bool { return f.served("/api/orders")[n.id] > 0 })
}
