package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"outrider/integration/meshtest"
)

// TestOrdinaryClients is clients in three languages that know nothing of Outrider: what
// is theirs is a base URL, or HTTP_PROXY. They reach a service on a real Consul by a
// sidecar.
func TestOrdinaryClients(t *testing.T) {
	t.Parallel()
	f := newFleet(t, meshtest.StartConsul(t, false))
	orders := f.node("orders", 0, fleetOptions{})
	orders.start()
	host := meshtest.OwnHost()
	own := fmt.Sprintf("%s:%d", host, meshtest.FreePorts(t, host, 1)[0])
	b := f.binary.beside(t, fmt.Sprintf("services: {orders: {listen: %q}}\nconsul: {address: %q, register: false}\n", own, f.consul.Address))
	b.run()
	meshtest.Eventually(t, "orders is there", func() bool { return statusOf("http://"+own+"/api/orders") == http.StatusOK })

	self := filepath.Join(t.TempDir(), "client")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", self, "./testdata/clients/go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	python := []string{needs(t, "python3", "apt-get install python3"), "testdata/clients/python/client.py"}
	node := []string{needs(t, "node", "apt-get install nodejs"), "testdata/clients/node/client.mjs"}
	byPort, byProxy := "http://"+own, "HTTP_PROXY=http://"+b.outbound
	for _, c := range []client{
		{"Go by base URL", []string{self, byPort}, nil, 4, 2},
		{"Go by HTTP_PROXY", []string{self, "http://orders"}, []string{byProxy}, 4, 2},
		{"Node by base URL", append(node, byPort), nil, 4, 3},
		{"Python by base URL", append(python, byPort, "--keep"), nil, 6, 5},
		{"Python by HTTP_PROXY", append(python, "http://orders"), []string{byProxy}, 4, 4},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, b, orders) })
	}
	b.ends()
	orders.sidecar.send(syscall.SIGTERM)
	if code := orders.sidecar.end(); code != 0 {
		t.Errorf("the sidecar of orders: exit code %d", code)
	}
}

// needs returns where a program is, and fails where it is not.
func needs(t *testing.T, name, remedy string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: run %s", name, remedy)
	}
	return path
}

// client is a program that calls orders.
type client struct {
	name     string
	command  []string
	environ  []string
	requests int
	conns    int // that they take at most: the proxy closes one after a request in chunks
}

// answers are what its requests are to get.
var answers = map[string]struct {
	status int
	body   string
}{
	"get":        {200, `{"orders":["tea","cake"],"user":""}`},
	"post":       {201, `{"ordered":{"item":"tea"}}`},
	"upload":     {200, "one two three"},
	"again":      {200, `{"orders":["tea","cake"],"user":""}`},
	"kept":       {200, `{"orders":["tea","cake"],"user":""}`},
	"kept again": {200, `{"orders":["tea","cake"],"user":""}`},
}

func (c client) test(t *testing.T, b *beside, orders *node) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	before, beforeThere := len(accessed(b.program)), len(accessed(orders.sidecar))
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, c.environ...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs.String())
	}
	got := 0
	for line := range strings.Lines(string(out)) {
		var said struct {
			Case   string
			Status int
			Body   string
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("not a JSON line: %s", line)
		}
		want, known := answers[said.Case]
		if !known || said.Status != want.status || strings.TrimSpace(said.Body) != want.body {
			t.Errorf("%s: %d %s\nwant %d %s", said.Case, said.Status, said.Body, want.status, want.body)
		}
		got++
	}
	if got != c.requests {
		t.Errorf("%d answers, want %d", got, c.requests)
	}
	meshtest.Eventually(t, "both sidecars have logged them", func() bool {
		return len(accessed(b.program))-before >= c.requests && len(accessed(orders.sidecar))-beforeThere >= c.requests
	})
	c.check(t, accessed(b.program)[before:])
}

// check finds in the sidecar's access log that they have come by its outbound, and on
// how many connections.
func (c client) check(t *testing.T, log []accessLine) {
	t.Helper()
	peers := map[string]bool{}
	for _, l := range log {
		peers[l.Peer] = true
		if l.Direction != "outbound" || l.Service != "orders" || l.Code != "" {
			t.Errorf("it has logged %+v", l)
		}
		if l.Method == http.MethodPut && l.BytesIn != int64(len("one two three")) {
			t.Errorf("of the upload %d bytes came", l.BytesIn)
		}
	}
	if len(log) != c.requests || len(peers) > c.conns {
		t.Errorf("%d requests on %d connections, want %d on %d at most", len(log), len(peers), c.requests, c.conns)
	}
}

// accessLine is what a test looks for in an access log.
type accessLine struct {
	Msg, Direction, Service, Peer, Method, Path, Code, Source, Error string
	Status                                                           int
	BytesIn                                                          int64 `json:"bytes_in"`
}

// accessed returns the access log of a program.
func accessed(p *program) (all []accessLine) {
	for text := range strings.Lines(p.out.String()) {
		var l accessLine
		if json.Unmarshal([]byte(text), &l) == nil && l.Msg == "request" {
			all = append(all, l)
		}
	}
	return all
}
