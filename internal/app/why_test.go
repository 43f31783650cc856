package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"outrider/discovery"
	"outrider/internal/explain"
	"outrider/internal/identity/identitytest"
	"outrider/internal/mesh"
	"outrider/internal/why"
)

// calls is an app that answers as the one that it calls by its sidecar's outbound does,
// and copies no field but the request's ID.
type calls struct {
	*httptest.Server
	outbound atomic.Value // string: where its sidecar listens
	host     string
	saw      atomic.Pointer[string] // the last path but that of the health check
}

func calling(t *testing.T, host string) *calls {
	t.Helper()
	c := &calls{host: host}
	c.Server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			return
		}
		path := r.URL.Path
		c.saw.Store(&path)
		at, _ := c.outbound.Load().(string)
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+at+r.URL.Path, nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Host = c.host
		req.Header["X-Request-Id"] = r.Header["X-Request-Id"]
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
	return c
}

// chain is client → gateway → tea → milk, whose app gives no answer under /slow.
type chain struct {
	gateway   *gateway
	tea, milk *sidecar
	app       *calls
}

// startChain starts one; certify returns what identifies a service, and may be nil.
func startChain(t *testing.T, certify func(service string) string) *chain {
	t.Helper()
	if certify == nil {
		certify = func(string) string { return "trusted_proxies: [127.0.0.0/8]\n" } // else no ID is believed
	}
	var m discovery.Memory
	silent := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow") {
			<-r.Context().Done()
		}
	})
	c := &chain{app: calling(t, "milk")}
	c.milk = besideService(t, "milk", silent.URL, "inbound:\n  timeout: 200ms\nconsul: {}\n"+certify("milk"), in(&m))
	c.tea = beside(t, c.app.URL, "consul: {}\nservices:\n  milk:\n    retries: 0\n"+certify("tea"), in(&m))
	c.app.outbound.Store(c.tea.where.Outbound)
	for _, name := range []mesh.Service{"milk", "tea"} {
		eventually(t, string(name)+" is well", func() bool {
			all := instances(t, &m, name)
			return len(all) == 1 && !all[0].Unhealthy
		})
	}
	c.gateway = start(t, "consul: {}\nservices:\n  tea:\n    retries: 0\nrouting:\n  - path: /**\n    service: tea\n"+certify("gateway"), in(&m))
	return c
}

// why asks the gateway until it knows of so many hops: a record is made when all is
// over, which may be after the client has its answer.
func (c *chain) why(t *testing.T, id string, hops int) why.Answer {
	t.Helper()
	var a why.Answer
	eventually(t, fmt.Sprintf("%d hops of %s are known", hops, id), func() bool {
		a = c.gateway.Why(t.Context(), id)
		return strings.Count(a.Text(), "client ") == hops
	})
	return a
}

var (
	elapsed = regexp.MustCompile(`(in|after) [\d.e+]+ms`)
	source  = regexp.MustCompile(`source [^,\s]+`)
)

func TestWhyJoinsTheHops(t *testing.T) {
	ca := identitytest.NewCA(t)
	for name, certify := range map[string]func(string) string{
		"loopback": nil,
		"mutual-tls": func(service string) string {
			return certified(t, ca, service, "strict") + "trusted_proxies: [127.0.0.0/8]\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := startChain(t, certify)
			known := map[string]string{
				address(c.gateway.url): "GATEWAY", c.tea.where.Inbound: "TEA-IN", c.milk.where.Inbound: "MILK-IN",
				configOf(c.tea): "tea.yml", configOf(c.milk): "milk.yml",
			}
			shown := func(a why.Answer) string {
				return source.ReplaceAllString(elapsed.ReplaceAllString(steady(a.Text(), c.gateway.file, known), "$1 TIME"), "source WHO")
			}
			c.gateway.want2("/slow/1", http.StatusGatewayTimeout, "X-Request-Id", "slow-1")
			a := c.why(t, "slow-1", 4)
			if a.Cause.Who != "inbound of milk" || a.Cause.Code != "response_timeout" || a.Cause.Because != configOf(c.milk)+":3 (inbound.timeout)" {
				t.Errorf("cause %+v", a.Cause)
			}
			golden(t, "why/"+name+"-slow.txt", shown(a))
			c.gateway.want2("/quick", http.StatusOK, "X-Request-Id", "quick-1")
			golden(t, "why/"+name+"-quick.txt", shown(c.why(t, "quick-1", 4)))
		})
	}
}

// The same ID twice is two requests, each with its own way.
func TestWhyKeepsRequestsOfOneIDApart(t *testing.T) {
	c := startChain(t, nil)
	for range 3 {
		c.gateway.want2("/quick", http.StatusOK, "X-Request-Id", "same")
	}
	var a why.Answer
	eventually(t, "three requests are known", func() bool {
		a = c.gateway.Why(t.Context(), "same")
		return len(a.Records) == 3 && strings.Count(a.Text(), "outbound of tea") == 3
	})
	for i := range a.Records {
		next := a.Records[i].Attempts[0].Next
		if i > 0 && next != nil && next.Start.Before(a.Records[i-1].Start) {
			t.Errorf("record %d is joined with an earlier one's", i)
		}
		if next == nil || next.Who != "inbound of tea" || len(next.Calls) != 1 || next.Calls[0].Start.Before(next.Start) {
			t.Errorf("record %d: %+v", i, next)
		}
	}
}

// Nobody from outside learns anything at the proxies' own path, whatever way they come,
// and no app sees it.
func TestWhyIsForProxiesAlone(t *testing.T) {
	c := startChain(t, nil)
	c.gateway.want2("/quick", http.StatusOK, "X-Request-Id", "target")
	_ = c.why(t, "target", 4)
	const ask = "/.well-known/outrider/why?id=target"
	if got := c.tea.ask(c.tea.where.Inbound, http.MethodGet, ask); got.StatusCode != http.StatusOK || !strings.Contains(got.text, `"target"`) {
		t.Fatalf("on this machine: %d %s", got.StatusCode, got.text)
	}
	seen := *c.app.saw.Load()
	for _, path := range []string{ask, "/x/../.well-known/outrider/why?id=target", "/.well-known//outrider/why?id=target", "/.well-known/outrider/%77hy?id=target", "/.well-known/outrider/else", "/.well-known/outrider/"} {
		if status, text := c.gateway.get(path); status != http.StatusForbidden || strings.Contains(text, "MILK") || strings.Contains(text, `"hop"`) {
			t.Errorf("by the gateway, %s: %d %s", path, status, text)
		}
		got := c.milk.ask(c.tea.where.Outbound, http.MethodGet, path, "Host", "milk")
		if got.StatusCode != http.StatusForbidden {
			t.Errorf("by the app's outbound, %s: %d %s", path, got.StatusCode, got.text)
		}
	}
	for _, fields := range [][]string{
		{"Via", "1.1 nginx"}, {"X-Forwarded-For", "192.0.2.1"}, {"Forwarded", "for=192.0.2.1"}, {"X-Request-Id", "a"}, {"Origin", "http://evil.example"}, {"Sec-Fetch-Site", "none"},
	} {
		if got := c.tea.ask(c.tea.where.Inbound, http.MethodGet, ask, fields...); got.StatusCode != http.StatusForbidden {
			t.Errorf("%v: %d", fields, got.StatusCode)
		}
	}
	if got := c.tea.ask(c.tea.where.Inbound, http.MethodPost, ask); got.StatusCode != http.StatusNotFound {
		t.Errorf("POST: %d", got.StatusCode)
	}
	if now := *c.app.saw.Load(); now != seen {
		t.Errorf("the app saw %s", now)
	}
}

// A peer is believed for its verified identity or for being on this machine, and for
// nothing else.
func TestWhyIsToldToNoStranger(t *testing.T) {
	p := New(Options{})
	layer := p.reserved(&generation{})(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		t.Error("the request went on")
		return nil, &mesh.Fault{}
	}))
	for _, tt := range []struct {
		peer   string
		source mesh.Identity
		ok     bool
	}{
		{"127.0.0.1:5", "", true},
		{"[::1]:5", "", true},
		{"[::ffff:127.0.0.1]:5", "", true},
		{"10.0.0.1:5", "", false},
		{"10.0.0.1:5", "spiffe://mesh.test/ns/default/dc/dc1/svc/tea", true},
	} {
		call := mesh.NewCall(t.Context())
		call.Peer, call.Source = netip.MustParseAddrPort(tt.peer), tt.source
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a"+reservedWhy+"?id=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Via"] = []string{"1.1 outrider-own-in"} // the server's
		resp, err := layer.RoundTrip(call.Bind(req))
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != tt.ok {
			t.Errorf("%s %q: %v", tt.peer, tt.source, err)
		}
	}
}

// A hop that gives no answer, or nonsense, costs no more than its time.
func TestWhyBearsWithTheNextHop(t *testing.T) {
	var m discovery.Memory
	for name, answer := range map[string]http.HandlerFunc{
		"no proxy of ours answers there": func(http.ResponseWriter, *http.Request) {},
		"its answer cannot be read": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", whyKind)
			fmt.Fprint(w, "{")
		},
		"longer than": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", whyKind)
			fmt.Fprint(w, strings.Repeat(" ", maxAnswer+1))
		},
		"nobody answers there in time": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == reservedWhy {
				<-r.Context().Done()
			}
		},
		"nothing is known of it there": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", whyKind)
			fmt.Fprint(w, `{"records":[]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, answer)
			g := start(t, fmt.Sprintf("services: {s: {url: %q}}\nrouting: [{path: /**, service: s}]\ntrusted_proxies: [127.0.0.0/8]", e.URL), in(&m))
			g.want2("/x", http.StatusOK, "X-Request-Id", "one")
			var a why.Answer
			eventually(t, "it is known", func() bool { a = g.Why(t.Context(), "one"); return len(a.Records) == 1 })
			if note := a.Records[0].Attempts[0].Note; !strings.Contains(note, name) {
				t.Errorf("note %q", note)
			}
		})
	}
}

// A sidecar that has no place left says so, before and after.
func TestExplainAndWhyOfShedding(t *testing.T) {
	arrived := make(chan struct{}, 1)
	app := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			arrived <- struct{}{}
			<-r.Context().Done()
		}
	})
	s := beside(t, app.URL, "inbound:\n  max_concurrent: 1\ntrusted_proxies: [127.0.0.0/8]\n")
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.where.Inbound+"/held", nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := s.client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-arrived
	because := configOf(s) + ":3 (inbound.max_concurrent)"
	foretold, err := s.Explain(t.Context(), explain.Question{URL: "/x", Direction: "inbound"})
	if err != nil {
		t.Fatal(err)
	}
	if r := foretold.Reports[0]; r.Code != "shed" || r.From != because {
		t.Errorf("foretold: %s, because of %s", r.Verdict, r.From)
	}
	if got := s.ask(s.where.Inbound, http.MethodGet, "/x", "X-Request-Id", "shed-1"); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.StatusCode)
	}
	var a why.Answer
	eventually(t, "it is known", func() bool { a = s.Why(t.Context(), "shed-1"); return a.Cause != nil })
	if a.Cause.Code != "shed" || a.Cause.Because != because {
		t.Errorf("cause %+v", a.Cause)
	}
	leave()
	<-gone
}
