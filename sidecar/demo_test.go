package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"outrider/discovery"
	"outrider/examples"
)

// small is a demo of one instance, on free ports.
func small(t *testing.T, out *output) *demo {
	t.Helper()
	app := examples.Orders("orders-1")
	s, err := examples.Start(t.Context(), app, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &demo{
		dir: t.TempDir(), out: out, level: new(slog.LevelVar), log: slog.New(slog.DiscardHandler),
		shared: new(discovery.Memory), failed: make(chan error, 1),
		instances: []examples.Instance{{
			Service: app, Of: "order-service", Addr: s.Addr, Inbound: "127.0.0.1:0", Outbound: "127.0.0.1:0", Admin: "127.0.0.1:0",
		}},
		ingress: []byte("server: {host: 127.0.0.1, port: 0}\nadmin: {listen: \"127.0.0.1:0\"}\nconsul: {}\n" +
			"services: {order-service: {}}\nrouting: [{path: /**, service: order-service}]\ntrusted_proxies: [127.0.0.0/8]\nlogging: {access: false}\n"),
	}
}

func TestDemo(t *testing.T) {
	out, up := waitFor("/api/orders/broken")
	d := small(t, out)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	select {
	case <-up:
	case err := <-ended:
		t.Fatalf("it ended with %v", err)
	}
	for _, want := range []string{"gateway   http://127.0.0.1:", "config    " + d.dir, "orders-1  " + d.instances[0].Addr} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the tour has no %q:\n%s", want, out)
		}
	}
	_, rest, _ := strings.Cut(out.String(), "gateway   ")
	gateway, _, _ := strings.Cut(rest, "\n")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, gateway+"/api/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if via := resp.Header.Get("X-Seen-Via"); resp.StatusCode != http.StatusOK || strings.Count(via, ",") != 1 {
		t.Errorf("status %d, by way of %q, want the gateway and a sidecar", resp.StatusCode, via)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if !strings.HasSuffix(out.String(), "\nstopped\n") {
		t.Errorf("its last words are:\n%s", out)
	}
}

func TestDemoWhosePortIsTaken(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	for _, tt := range []struct {
		name string
		edit func(*demo)
		want string
	}{
		{"a sidecar's", func(d *demo) { d.instances[0].Inbound = at }, "inbound.listen: " + at + " is taken by another process"},
		{"the gateway's", func(d *demo) {
			d.ingress = []byte("server: {host: 127.0.0.1, port: " + at[strings.LastIndex(at, ":")+1:] + "}\n")
		},
			"server.port: " + at + " is taken by another process"},
	} {
		d := small(t, &output{})
		tt.edit(d)
		if err := d.run(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// A demo that is interrupted before it is up just ends.
func TestDemoInterruptedWhileStarting(t *testing.T) {
	out := &output{}
	d := small(t, out)
	d.shared, d.environ = nil, []string{"OUTRIDER_CONSUL_ADDRESS=127.0.0.1:1"} // so that it is never ready
	if err := d.run(over(t)); err != nil || strings.Contains(out.String(), "running") {
		t.Errorf("got %v, and it said:\n%s", err, out)
	}
}

func TestDemoWithAConfigurationThatIsWrong(t *testing.T) {
	d := small(t, &output{})
	d.ingress = []byte("servces: {}\n")
	if err := d.run(t.Context()); err == nil || !strings.Contains(err.Error(), "gateway.yml:1: ") {
		t.Errorf("got %v", err)
	}
}

func TestReportKeepsTheFirst(t *testing.T) {
	d := &demo{failed: make(chan error, 1)}
	first := errors.New("first")
	d.report(nil)
	d.report(first)
	d.report(errors.New("second"))
	if got := <-d.failed; got != first { //nolint:errorlint // the very same
		t.Errorf("got %v", got)
	}
}
