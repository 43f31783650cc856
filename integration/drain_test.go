package integration_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"outrider/integration/meshtest"
)

func TestDrainFinishesWhatIsInFlight(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	origin := meshtest.Origin(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "at last")
	})
	g := meshtest.Gateway(t, "services: {tea: {url: "+origin.URL+"}}\nrouting: [{path: /tea, service: tea}]\n")
	answer := make(chan meshtest.Reply, 1)
	go func() { answer <- g.Get("/tea") }()
	await(t, "the request at the endpoint", arrived)
	stopped := make(chan error, 1)
	go func() { stopped <- g.Stop() }()
	eventually(t, "the gateway refuses new connections", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.URL, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if status, text := get(t, http.MethodGet, g.Admin+"/ready"); status != http.StatusServiceUnavailable || !strings.Contains(text, "draining") {
		t.Errorf("/ready: %d %s, want 503 and that it is draining", status, text)
	}
	if status, _ := get(t, http.MethodGet, g.Admin+"/live"); status != http.StatusOK {
		t.Errorf("/live: %d, want 200 still", status)
	}
	select {
	case err := <-stopped:
		t.Errorf("it stopped with a request in flight: %v", err)
	default:
	}
	http.DefaultClient.CloseIdleConnections()
	close(finish)
	if got := await(t, "the answer", answer); got.StatusCode != http.StatusOK || got.Text != "at last" {
		t.Errorf("the request in flight: %s %q, want its answer", got.Status, got.Text)
	}
	if err := await(t, "the end", stopped); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func TestDrainCutsAtTheEndOfTheGrace(t *testing.T) {
	arrived := make(chan struct{})
	origin := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	p := startProxy(t, freePorts+"services: {tea: {url: "+origin.URL+"}}\nrouting: [{path: /tea, service: tea}]\nshutdown: {grace: 50ms}\n")
	talk := dial(t, "http://"+p.Server)
	_, _ = io.WriteString(talk.conn, "GET /tea HTTP/1.1\r\nHost: tea\r\n\r\n")
	await(t, "the request at the endpoint", arrived)
	err := p.Stop()
	if err == nil || !strings.Contains(err.Error(), "cut at the end of the grace") {
		t.Errorf("Run returned %v, want that something was cut", err)
	}
	resp, err := http.ReadResponse(talk.in, nil)
	if err != nil {
		t.Fatalf("the client was not told why: %v", err)
	}
	defer resp.Body.Close()
	if text := meshtest.ReadAll(resp.Body); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, `"code":"draining"`) {
		t.Errorf("the client got %s %s, want to be told that the proxy is shutting down", resp.Status, text)
	}
	if _, err := talk.in.ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
}
