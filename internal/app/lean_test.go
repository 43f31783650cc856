package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/inbound"
	"outrider/internal/config"
	"outrider/internal/mesh"
	"outrider/internal/why"
)

// leanConfig has one route of each kind that a request may go by.
const leanConfig = `
services:
  users: {url: http://127.0.0.1:3002}
  auth-service: {url: http://127.0.0.1:3001}
routing:
  - {path: /plain/**, service: users}
  - {path: /limited/**, service: users, middleware: [rate-limit]}
  - {path: /shared/**, service: users, middleware: [cors]}
  - {path: /known/**, service: users, middleware: [auth, rate-limit]}
  - {path: /edited/**, service: users, middleware: [transform], transform: {envelope: false, response: {set: {X-Served-By: us}}}}
  - {path: /kept/**, service: users, middleware: [cache]}
  - {path: /stripped/**, service: users, strip_path: true}
rate_limiting: {default: {requests_per_minute: 100000000, burst: 100000000}}
auth: {validate_url: http://auth-service:3001/validate, cache_ttl: 1h}
cors: {allow_origins: ["https://shop.example"]}
cache: {ttl: 300}
`

// lean is an ingress' stack as its engine drives it: one Call, one Request and one
// Response for all requests of a connection. The bridge's layers are left out, and
// what is behind the rules costs nothing.
type lean struct {
	proxy  *Proxy
	close  func() // of the access log, when all is written
	stack  http.RoundTripper
	call   *mesh.Call
	req    *http.Request
	url    *url.URL
	header http.Header
	values []string
	base   context.Context

	id, agent string // of the next request
}

// answering is an origin that has one endpoint, and reuses its response.
func answering(service mesh.Service) http.RoundTripper {
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, ContentLength: 2}
	kind, length := []string{"text/plain"}, []string{"2"}
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		call := mesh.From(req)
		call.Service = service
		call.Attempts = append(call.Attempts, mesh.Attempt{Endpoint: "10.0.0.1:3002", Scheme: "http", Start: call.Start, Duration: 750 * time.Microsecond, Status: http.StatusOK})
		clear(resp.Header)
		resp.Header["Content-Type"], resp.Header["Content-Length"] = kind, length
		resp.Request = req
		return resp, nil
	})
}

func newLean(t testing.TB, access io.Writer) *lean {
	t.Helper()
	p := New(Options{Access: access})
	p.access.Bound(1 << 30) // or lines would be dropped, which costs less
	p.access.Start()
	var closing sync.Once
	closed := func() {
		closing.Do(func() {
			if err := p.access.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(closed)
	cfg := parse(t, leanConfig)
	g, err := p.build(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.end(&generation{}) })
	b := &builder{p: p, g: g, last: &generation{}, broken: map[string]bool{}, shares: map[*mesh.Route]float64{}}
	routes := b.routes(cfg.Routing, func(r *config.Route, out *inbound.Route) error {
		out.Origin = mesh.Stack(answering(mesh.Service(r.Service)), p.tel.Active(r.Service))
		return nil
	})
	stack := mesh.Stack(b.guard(nil, routes),
		p.tel.Requests(b.observation("ingress")),
		p.decisions.Layer(why.Config{Hop: "outrider-7c94", Who: "ingress", Direction: "ingress", Because: g.because}),
		b.traces("ingress"))
	if len(b.faults) > 0 {
		t.Fatal(b.faults)
	}
	l := &lean{proxy: p, close: closed, stack: stack, base: t.Context(), url: &url.URL{}, header: http.Header{}, id: "0198c9f2-6749-7911-ac80-0aaaf25d4ccf", agent: "curl/8.5.0"}
	l.call = mesh.NewCall(l.base)
	l.req = l.call.Bind(&http.Request{Method: http.MethodGet, URL: l.url, Header: l.header, Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1})
	l.values = make([]string, 0, 16)
	return l
}

// ask is one request of the connection. What it had is written over at its end.
func (l *lean) ask(t testing.TB, path string, fields ...string) {
	clear(l.header)
	l.values = append(l.values[:0], "*/*", l.agent, l.id)
	l.values = append(l.values, fields...)
	v := l.values
	l.header["Accept"], l.header["User-Agent"], l.header["X-Request-Id"] = v[0:1:1], v[1:2:2], v[2:3:3]
	for i := 3; i < len(v); i += 2 {
		l.header[v[i]] = v[i+1 : i+2 : i+2]
	}
	*l.url = url.URL{Path: path}
	l.req.Method, l.req.Host, l.req.URL, l.req.Header, l.req.Body, l.req.ContentLength = http.MethodGet, "shop.example", l.url, l.header, http.NoBody, 0
	l.call.Start = time.Now()
	l.call.Peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 40000)
	l.call.Client, l.call.ID = l.call.Peer.Addr(), v[2]
	l.call.Fields, l.call.FieldBytes = len(l.header), 100
	resp, err := l.stack.RoundTrip(l.req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", path, err)
	}
	resp.Body.Close()
	l.call.End(mesh.Result{Status: resp.StatusCode, Sent: 2})
	for i := range v {
		v[i] = "scribbled"
	}
	l.url.Path, l.req.Host, l.req.Method = "/scribbled", "scribbled", "SCRIBBLED"
	if !l.call.Renew(l.base) {
		t.Fatal("somebody has asked for the call's context")
	}
}

// What the layers of an ingress cost a request whose metrics and access log are written.
func TestAnIngressAllocatesNothing(t *testing.T) {
	for _, tt := range leanRoutes {
		t.Run(tt.name, func(t *testing.T) {
			l := newLean(t, io.Discard) // and no access log
			if tt.name == "plain" {
				l = newLean(t, &output{})
			}
			most := 0.0
			if racing { // a quarter of what is pooled is made anew
				most = 8
			}
			ask := func() { l.ask(t, tt.path, tt.fields...) }
			for range 4096 + 1024 { // the ring is full, and the log has its room
				ask()
			}
			if n := testing.AllocsPerRun(500, ask); n > most {
				t.Errorf("%v allocations, the budget is %v", n, most)
			}
		})
	}
}

// What is told of a request past its end is not the request's: that is another by then.
func TestNothingIsKeptOfWhatWasLent(t *testing.T) {
	access := &output{}
	l := newLean(t, access)
	for i := range 3 {
		l.id, l.agent = fmt.Sprintf("id-%d", i), fmt.Sprintf("agent/%d", i)
		l.ask(t, fmt.Sprintf("/plain/%d", i))
	}
	l.close()
	lines := strings.Split(strings.TrimSpace(access.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), access)
	}
	for i, line := range lines {
		for _, want := range []string{
			fmt.Sprintf(`"request_id":"id-%d"`, i), fmt.Sprintf(`"path":"/plain/%d"`, i), fmt.Sprintf(`"user_agent":"agent/%d"`, i),
			`"method":"GET"`, `"host":"shop.example"`, `"service":"users"`, `"endpoint":"10.0.0.1:3002"`,
		} {
			if !strings.Contains(line, want) {
				t.Errorf("no %s in %s", want, line)
			}
		}
		found := l.proxy.decisions.Find(fmt.Sprintf("id-%d", i))
		if len(found) != 1 {
			t.Fatalf("%d records of request %d", len(found), i)
		}
		if r := found[0]; r.Path != fmt.Sprintf("/plain/%d", i) || r.Method != http.MethodGet || r.Host != "shop.example" || r.Service != "users" || len(r.Attempts) != 1 {
			t.Errorf("the record of request %d: %+v", i, r)
		}
	}
}

// BenchmarkLean is what the layers of an ingress cost a request, bridge and outbound
// aside.
func BenchmarkLean(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for _, tt := range leanRoutes {
		b.Run(tt.name, func(b *testing.B) {
			l := newLean(b, null)
			l.ask(b, tt.path, tt.fields...)
			b.ReportAllocs()
			for b.Loop() {
				l.ask(b, tt.path, tt.fields...)
			}
		})
	}
	b.Run("plain, no access log", func(b *testing.B) {
		l := newLean(b, io.Discard)
		b.ReportAllocs()
		for b.Loop() {
			l.ask(b, "/plain/7")
		}
	})
}

var leanRoutes = []struct {
	name, path string
	fields     []string
}{
	{"plain", "/plain/7", nil},
	{"rate limit", "/limited/7", nil},
	{"cors", "/shared/7", []string{"Origin", "https://shop.example"}},
	{"transform", "/edited/7", nil},
	{"cache passed by", "/kept/7", []string{"Cookie", "a=b"}},
	{"path stripped", "/stripped/7", nil},
}
