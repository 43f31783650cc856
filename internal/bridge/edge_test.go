package bridge_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

// edgeOf returns an Edge before origin.
func edgeOf(origin mesh.RoundTripFunc, change ...func(*bridge.Config)) *bridge.Edge {
	config := bridge.Config{Stack: origin, Pseudonym: pseudonym}
	for _, c := range change {
		c(&config)
	}
	return bridge.NewEdge(config)
}

// arrive returns a request as a server of HTTP/1.1 hands it over.
func arrive(t *testing.T, method string, fields http.Header, body io.Reader) (*http.Request, *mesh.Call) {
	t.Helper()
	local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 8080}
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, local)
	call := mesh.NewCall(ctx)
	if !call.Renew(ctx) {
		t.Fatal("not renewed")
	}
	call.Peer = netip.MustParseAddrPort(strange)
	t.Cleanup(func() { call.End(mesh.Result{}) })
	req := call.Bind(httptest.NewRequest(method, "/", body))
	req.Host = "shop.example"
	for name, values := range fields {
		req.Header[name] = values
	}
	return req, call
}

func TestEdgePassesOn(t *testing.T) {
	req, _ := arrive(t, "GET", http.Header{
		"Connection": {"X-Hop, X-Request-Id"}, "X-Hop": {"1"}, "X-Request-Id": {"2"}, "Keep-Alive": {"5"}, "Te": {"gzip, trailers"},
		"Proxy-Authorization": {"x"}, "Upgrade": {"websocket"}, "Via": {"1.1 other"}, "X-End": {"1"},
	}, nil)
	edge := edgeOf(func(got *http.Request) (*http.Response, error) {
		want := http.Header{"X-Request-Id": {"2"}, "Te": {"trailers"}, "Via": {"1.1 other", "1.1 edge-1"}, "X-End": {"1"}}
		if !equal(got.Header, want) || got.RequestURI != "" || got.Body != http.NoBody {
			t.Errorf("the stack got %q, target %q", got.Header, got.RequestURI)
		}
		resp := reply(got, http.StatusOK, "hello")
		resp.Header = http.Header{"Connection": {"X-Hop"}, "X-Hop": {"1"}, "Upgrade": {"h2"}, "Keep-Alive": {"5"}, "X-End": {"2"}}
		resp.Close = true // of the endpoint's connection
		return resp, nil
	})
	resp, err := edge.Handle(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if want := (http.Header{"X-End": {"2"}, "Via": {"1.1 edge-1"}}); !equal(resp.Header, want) || resp.Close || string(body) != "hello" || resp.ContentLength != 5 {
		t.Errorf("%q, close %v, body %q of %d", resp.Header, resp.Close, body, resp.ContentLength)
	}
}

// equal compares headers by what they say.
func equal(a, b http.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for name, values := range a {
		if !slices.Equal(values, b[name]) {
			return false
		}
	}
	return true
}

func TestEdgeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		want   mesh.Kind
	}{
		{"method", func(r *http.Request) { r.Method = "GET IT" }, mesh.Malformed},
		{"TRACE", func(r *http.Request) { r.Method = "TRACE" }, mesh.MethodNotAllowed},
		{"CONNECT", func(r *http.Request) { r.Method = "CONNECT" }, mesh.MethodNotAllowed},
		{"query", func(r *http.Request) { r.URL.RawQuery = "a b" }, mesh.Malformed},
		{"trailer", func(r *http.Request) { r.Trailer = http.Header{"a b": nil} }, mesh.Malformed},
		{"host", func(r *http.Request) { r.Host = "a,b" }, mesh.Malformed},
		{"no host", func(r *http.Request) { r.Host = "" }, mesh.Malformed},
		{"loop", func(r *http.Request) { r.Header["Via"] = []string{"1.1 other", "1.0 EDGE-1 (x)"} }, mesh.Loop},
	} {
		t.Run(tt.name, func(t *testing.T) {
			heard := 0
			edge := edgeOf(func(*http.Request) (*http.Response, error) {
				t.Error("it reached the stack")
				return nil, nil
			}, func(c *bridge.Config) {
				c.Refused = func(req *http.Request, f *mesh.Fault) {
					heard++
					if call := mesh.From(req); f.Kind != tt.want || call.ID == "" || call.Client.String() != "192.0.2.1" {
						t.Errorf("heard of %v, ID %q, client %s", f, call.ID, call.Client)
					}
				}
			})
			req, call := arrive(t, "GET", nil, nil)
			tt.change(req)
			resp, err := edge.Handle(req)
			if kindOf(err) != tt.want || resp == nil || resp.StatusCode != tt.want.Status() || heard != 1 {
				t.Fatalf("response %v, error %v, heard of %d", resp, err, heard)
			}
			if resp.Header.Get("X-Request-Id") != call.ID || !strings.HasPrefix(resp.Header.Get("Proxy-Status"), "edge-1; error=") {
				t.Errorf("%q", resp.Header)
			}
		})
	}
}

// What is no request at all is answered, noted and logged like any other.
func TestEdgeRefusesWhatIsNoRequest(t *testing.T) {
	heard := 0
	edge := edgeOf(over, func(c *bridge.Config) {
		c.Identify = func(*tls.ConnectionState) mesh.Identity { return "spiffe://web" }
		c.Refused = func(req *http.Request, _ *mesh.Fault) {
			heard++
			if call := mesh.From(req); req.URL.Path != "" || req.Header.Get("A") != "" || call.Source != "spiffe://web" {
				t.Errorf("heard of %q, %q of %q", req.URL, req.Header, call.Source)
			}
		}
	})
	_, call := arrive(t, "GET", nil, nil)
	call.Peer = netip.MustParseAddrPort("[::ffff:192.0.2.1]:5")
	bare := call.Bind(&http.Request{TLS: verified})
	fault := &mesh.Fault{Kind: mesh.HeaderTooLarge}
	resp, err := edge.Refuse(bare, fault)
	if !errors.Is(err, fault) || resp == nil || resp.StatusCode != fault.Kind.Status() || resp.Header.Get("X-Request-Id") == "" || heard != 1 || call.Client.String() != "192.0.2.1" {
		t.Errorf("response %+v, error %v, heard of %d, client %s", resp, err, heard, call.Client)
	}
	body, _ := io.ReadAll(resp.Body)
	if !bytes.Contains(body, []byte(`"code":"header_too_large"`)) || int64(len(body)) != resp.ContentLength {
		t.Errorf("body %q of %d", body, resp.ContentLength)
	}
	if resp, err := edge.Refuse(bare, &mesh.Fault{Kind: mesh.ClientGone}); resp != nil || kindOf(err) != mesh.ClientGone {
		t.Errorf("a client that is gone got %v, error %v", resp, err)
	}
}

var verified = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}

func TestEdgeIdentifies(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state *tls.ConnectionState
		want  mesh.Identity
	}{{"plain", nil, ""}, {"shown", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}, ""}, {"verified", verified, "spiffe://web"}} {
		t.Run(tt.name, func(t *testing.T) {
			edge := edgeOf(func(req *http.Request) (*http.Response, error) {
				if got := mesh.From(req).Source; got != tt.want {
					t.Errorf("source %q, want %q", got, tt.want)
				}
				return over(req)
			}, func(c *bridge.Config) {
				c.Identify = func(*tls.ConnectionState) mesh.Identity { return "spiffe://web" }
			})
			req, _ := arrive(t, "GET", nil, nil)
			req.TLS = tt.state
			if _, err := edge.Handle(req); err != nil {
				t.Error(err)
			}
		})
	}
}

// HTTP/1.0 need not name the host, and has neither upgrades nor interim responses.
func TestEdgeHTTP10(t *testing.T) {
	edge := edgeOf(func(req *http.Request) (*http.Response, error) {
		if req.Host != "192.0.2.9:8080" || req.Header.Get("Via") != "1.0 edge-1" || req.Header.Get("Upgrade") != "" {
			t.Errorf("host %q, header %q", req.Host, req.Header)
		}
		if mesh.From(req).Interim != nil {
			t.Error("it could be sent a 1xx")
		}
		resp := reply(req, http.StatusUpgradeRequired, "")
		resp.Header = http.Header{"Upgrade": {"websocket"}}
		return resp, nil
	})
	req, _ := arrive(t, "GET", http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket"}}, nil)
	req.Host, req.Proto, req.ProtoMinor = "", "HTTP/1.0", 0
	resp, err := edge.Handle(req)
	if err != nil || resp.Header.Get("Upgrade") != "" {
		t.Errorf("error %v, header %q", err, resp.Header)
	}
}

func TestEdgeNamesWhatA426Wants(t *testing.T) {
	edge := edgeOf(func(req *http.Request) (*http.Response, error) {
		resp := reply(req, http.StatusUpgradeRequired, "")
		resp.Header = http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket", "foo/2"}}
		return resp, nil
	})
	req, _ := arrive(t, "GET", nil, nil)
	resp, err := edge.Handle(req)
	if want := (http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket, foo/2"}, "Via": {"1.1 edge-1"}}); err != nil || !equal(resp.Header, want) {
		t.Errorf("error %v, header %q", err, resp.Header)
	}
}

func TestEdgeInterim(t *testing.T) {
	type sent struct {
		status int
		header http.Header
	}
	var got []sent
	var kept func(int, http.Header)
	edge := edgeOf(func(req *http.Request) (*http.Response, error) {
		kept = mesh.From(req).Interim
		hints := http.Header{"Link": {"a"}, "Connection": {"X-Hop"}, "X-Hop": {"1"}, "Content-Length": {"3"}}
		kept(103, hints)
		kept(100, http.Header{"A": {"1"}})
		kept(102, nil)
		kept(101, nil)
		kept(200, nil)
		if len(hints) != 4 {
			t.Errorf("what was lent is %q now", hints)
		}
		return over(req)
	})
	req, call := arrive(t, "GET", nil, nil)
	call.Interim = func(status int, header http.Header) { got = append(got, sent{status, header}) }
	if _, err := edge.Handle(req); err != nil {
		t.Fatal(err)
	}
	kept(103, nil) // the final response has begun
	call.End(mesh.Result{})
	kept(103, nil)
	via := http.Header{"Via": {"1.1 edge-1"}}
	want := []sent{{103, http.Header{"Link": {"a"}, "Via": {"1.1 edge-1"}}}, {100, nil}, {102, via}}
	if !slices.EqualFunc(got, want, func(a, b sent) bool { return a.status == b.status && equal(a.header, b.header) }) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

// ending is a body at whose end trailers come.
func ending(text string, trailers func()) io.ReadCloser {
	r := strings.NewReader(text)
	return io.NopCloser(readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if err == io.EOF {
			trailers()
		}
		return n, err
	}))
}

func TestEdgeTrailers(t *testing.T) {
	for _, tt := range []struct {
		name                string
		announced           http.Header
		request, response   http.Header // what is left
		length, passedAhead int64
	}{
		{"announced", http.Header{"X-Sum": nil, "X-Request-Id": nil}, http.Header{"X-Sum": {"1"}, "X-More": {"1"}}, http.Header{"X-Sum": {"1"}, "X-More": {"1"}}, 4, -1},
		{"unannounced", nil, nil, http.Header{"X-Sum": {"1"}, "X-More": {"1"}}, -1, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			come := http.Header{"X-Sum": {"1"}, "X-More": {"1"}, "X-Request-Id": {"lie"}, "Content-Length": {"1"}, "Host": {"lie"}}
			fill := func(trailer *http.Header) func() {
				return func() {
					if *trailer == nil {
						*trailer = http.Header{}
					}
					for name, values := range come {
						(*trailer)[name] = values
					}
				}
			}
			edge := edgeOf(func(req *http.Request) (*http.Response, error) {
				if _, ok := req.Trailer["X-Request-Id"]; ok {
					t.Error("the stack was told of a trailer that may not come")
				}
				if _, err := io.ReadAll(req.Body); err != nil || !equal(req.Trailer, tt.request) {
					t.Errorf("error %v, the stack got %q", err, req.Trailer)
				}
				resp := reply(req, http.StatusOK, "text")
				resp.ContentLength = tt.length
				resp.Trailer = tt.announced.Clone()
				resp.Body = ending("text", fill(&resp.Trailer))
				return resp, nil
			})
			req, _ := arrive(t, "POST", nil, nil)
			req.ContentLength, req.Trailer = -1, tt.announced.Clone()
			req.Body = ending("text", fill(&req.Trailer))
			resp, err := edge.Handle(req)
			if err != nil || resp.ContentLength != tt.passedAhead {
				t.Fatalf("error %v, length %d", err, resp.ContentLength)
			}
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "text" || !equal(resp.Trailer, tt.response) {
				t.Errorf("error %v, body %q, the client gets %q", err, body, resp.Trailer)
			}
		})
	}
}

// ready is a body that knows what there is of it.
type ready struct {
	io.ReadCloser
	is bool
}

func (r ready) Ready() bool { return r.is }

// A server writes head and body in one where it knows that there is some.
func TestEdgeBodyIsReady(t *testing.T) {
	for _, tt := range []struct {
		name string
		body io.ReadCloser
		want bool
	}{{"yes", ready{http.NoBody, true}, true}, {"no", ready{http.NoBody, false}, false}, {"who knows", io.NopCloser(strings.NewReader("")), false}} {
		edge := edgeOf(func(req *http.Request) (*http.Response, error) {
			resp := reply(req, http.StatusOK, "")
			resp.ContentLength, resp.Body = -1, tt.body
			return resp, nil
		})
		req, _ := arrive(t, "GET", nil, nil)
		resp, err := edge.Handle(req)
		if err != nil {
			t.Fatal(err)
		}
		if body, ok := resp.Body.(interface{ Ready() bool }); !ok || body.Ready() != tt.want {
			t.Errorf("%s: it says so %v, want %v", tt.name, ok && body.Ready(), tt.want)
		}
	}
}

// A HEAD has the length that its GET would have.
func TestEdgeHead(t *testing.T) {
	edge := edgeOf(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Length": {"7"}}, Trailer: http.Header{"A": nil}}, nil
	})
	req, _ := arrive(t, "HEAD", nil, nil)
	if resp, err := edge.Handle(req); err != nil || resp.ContentLength != 7 {
		t.Errorf("error %v, length %d", err, resp.ContentLength)
	}
}

func TestEdgeAllocations(t *testing.T) {
	ctx := t.Context()
	call := mesh.NewCall(ctx)
	interim := func(int, http.Header) {}
	for _, tt := range []struct {
		name   string
		length int64
	}{{"of known length", 5}, {"chunked, both ways", -1}} {
		t.Run(tt.name, func(t *testing.T) {
			body := io.NopCloser(strings.NewReader("hello"))
			resp := &http.Response{Header: http.Header{}}
			edge := edgeOf(func(*http.Request) (*http.Response, error) { return resp, nil })
			req := call.Bind(httptest.NewRequest(http.MethodPost, "/?a=b", nil))
			req.Host = "shop.example:80"
			keep, list := []string{"keep-alive"}, []string{"text/plain"}
			if got := testing.AllocsPerRun(200, func() {
				call.Renew(ctx)
				call.Interim = interim
				clear(req.Header)
				req.Header["Connection"], req.Header["Accept"] = keep, list
				req.Body, req.ContentLength = body, tt.length
				clear(resp.Header)
				resp.Header["Connection"], resp.Header["Content-Type"] = keep, list
				resp.StatusCode, resp.ProtoMajor, resp.ProtoMinor, resp.Body, resp.ContentLength = 200, 1, 1, body, tt.length
				if _, err := edge.Handle(req); err != nil {
					t.Fatal(err)
				}
				call.End(mesh.Result{})
			}); got > 0 {
				t.Errorf("%v allocations a request, want none", got)
			}
		})
	}
}
