package bridge_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

const (
	strange = "192.0.2.1:1111"
	proxied = "10.0.0.1:2222" // a trusted proxy
)

func trusting() bridge.ForwardConfig {
	return bridge.ForwardConfig{
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::ffff:172.16.0.0/108"), netip.MustParsePrefix("fd00::/8")},
		Protected:      []string{"X-User-Id", "X-Claim-*"},
		Now:            func() time.Time { return time.UnixMilli(1700000000123) },
		NewID:          func() string { return "new-id" },
	}
}

// forward sends a request with these fields from peer through the layer.
func forward(c bridge.ForwardConfig, peer string, fields http.Header, change ...func(*http.Request, *mesh.Call)) (*http.Request, *mesh.Call, *http.Response) {
	call := mesh.NewCall(context.Background())
	call.Peer, _ = netip.ParseAddrPort(peer)
	req := call.Bind(httptest.NewRequest(http.MethodGet, "http://shop.example/", nil))
	for name, values := range fields {
		req.Header[name] = values
	}
	for _, f := range change {
		f(req, call)
	}
	resp, _ := mesh.Stack(mesh.RoundTripFunc(over), bridge.Forward(c)).RoundTrip(req)
	return req, call, resp
}

func TestForwardClaims(t *testing.T) {
	for _, tt := range []struct {
		name, peer     string
		fields         http.Header
		client         string
		xff, forwarded string
	}{
		{"stranger", strange, nil, "192.0.2.1",
			"192.0.2.1", `for="192.0.2.1:1111";host=shop.example;proto=http`},
		{"stranger lies", strange, http.Header{"X-Forwarded-For": {"1.1.1.1"}, "Forwarded": {"for=1.1.1.1"}}, "192.0.2.1",
			"192.0.2.1", `for="192.0.2.1:1111";host=shop.example;proto=http`},
		{"IPv6 stranger", "[2001:db8::1%eth0]:5", nil, "2001:db8::1",
			"2001:db8::1", `for="[2001:db8::1]:5";host=shop.example;proto=http`},
		{"mapped stranger", "[::ffff:192.0.2.1]:5", nil, "192.0.2.1",
			"192.0.2.1", `for="192.0.2.1:5";host=shop.example;proto=http`},
		{"no address", "", nil, "invalid IP", "unknown", `for=unknown;host=shop.example;proto=http`},
		{"trusted, silent", proxied, nil, "10.0.0.1",
			"10.0.0.1", `for="10.0.0.1:2222";host=shop.example;proto=http`},
		{"trusted", proxied, http.Header{"X-Forwarded-For": {"1.1.1.1"}}, "1.1.1.1",
			"1.1.1.1, 10.0.0.1", `for=1.1.1.1;host=shop.example;proto=http, for="10.0.0.1:2222";host=shop.example;proto=http`},
		{"trusted by mapped address", "[::ffff:10.0.0.1]:2222", http.Header{"X-Forwarded-For": {"1.1.1.1"}}, "1.1.1.1",
			"1.1.1.1, 10.0.0.1", `for=1.1.1.1;host=shop.example;proto=http, for="10.0.0.1:2222";host=shop.example;proto=http`},
		{"trusted by mapped prefix", "172.16.0.9:1", http.Header{"X-Forwarded-For": {"1.1.1.1"}}, "1.1.1.1",
			"1.1.1.1, 172.16.0.9", `for=1.1.1.1;host=shop.example;proto=http, for="172.16.0.9:1";host=shop.example;proto=http`},
		{"past the trusted", proxied, http.Header{"X-Forwarded-For": {"6.6.6.6, 1.1.1.1", "10.1.1.1,10.2.2.2:80 "}}, "1.1.1.1",
			"6.6.6.6, 1.1.1.1, 10.1.1.1,10.2.2.2:80 , 10.0.0.1", ""},
		{"all trusted", proxied, http.Header{"X-Forwarded-For": {"10.3.3.3, 10.1.1.1"}}, "10.3.3.3", "10.3.3.3, 10.1.1.1, 10.0.0.1", ""},
		{"garbage", proxied, http.Header{"X-Forwarded-For": {"1.1.1.1, <x>, 10.1.1.1"}}, "10.1.1.1",
			"1.1.1.1, <x>, 10.1.1.1, 10.0.0.1",
			`for=1.1.1.1;host=shop.example;proto=http, for=unknown, for=10.1.1.1, for="10.0.0.1:2222";host=shop.example;proto=http`},
		{"IPv6 behind", proxied, http.Header{"X-Forwarded-For": {"[2001:db8::7]:99, fd00::1"}}, "2001:db8::7",
			"[2001:db8::7]:99, fd00::1, 10.0.0.1",
			`for="[2001:db8::7]";host=shop.example;proto=http, for="[fd00::1]", for="10.0.0.1:2222";host=shop.example;proto=http`},
		{"Forwarded", proxied, http.Header{"Forwarded": {`For="[2001:db8::7]:99";proto=https;by=x, proto=http;for=10.1.1.1`}}, "2001:db8::7",
			"2001:db8::7, 10.1.1.1, 10.0.0.1",
			`For="[2001:db8::7]:99";proto=https;by=x, proto=http;for=10.1.1.1, for="10.0.0.1:2222";host=shop.example;proto=http`},
		{"Forwarded, hidden", proxied, http.Header{"Forwarded": {`for=1.1.1.1, for=_secret, for=10.1.1.1`, `host=a`}}, "10.0.0.1",
			"1.1.1.1, unknown, 10.1.1.1, unknown, 10.0.0.1", ""},
		{"Forwarded, quotes that do not end", proxied, http.Header{"Forwarded": {`for="1.1.1.1, for=10.1.1.1`}}, "10.0.0.1",
			"10.0.0.1", `for="10.0.0.1:2222";host=shop.example;proto=http`},
		{"both: a client's Forwarded slipped through", proxied, http.Header{"X-Forwarded-For": {"1.1.1.1"}, "Forwarded": {"for=6.6.6.6"}}, "1.1.1.1",
			"1.1.1.1, 10.0.0.1", `for=1.1.1.1;host=shop.example;proto=http, for="10.0.0.1:2222";host=shop.example;proto=http`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, call, _ := forward(trusting(), tt.peer, tt.fields)
			if got := call.Client.String(); got != tt.client {
				t.Errorf("client %s, want %s", got, tt.client)
			}
			if got := strings.Join(req.Header["X-Forwarded-For"], "|"); got != tt.xff {
				t.Errorf("X-Forwarded-For %q, want %q", got, tt.xff)
			}
			if got := strings.Join(req.Header["Forwarded"], "|"); tt.forwarded != "" && got != tt.forwarded {
				t.Errorf("Forwarded\n     %s\nwant %s", got, tt.forwarded)
			}
		})
	}
}

func TestForwardOrigin(t *testing.T) {
	for _, tt := range []struct {
		name, peer        string
		fields            http.Header
		host              string
		secure            bool
		proto, said, port string
	}{
		{"plain", strange, nil, "", false, "http", "shop.example", "80"},
		{"secure", strange, nil, "", true, "https", "shop.example", "443"},
		{"port", strange, nil, "shop.example:8443", true, "https", "shop.example:8443", "8443"},
		{"IPv6", strange, nil, "[::1]", false, "http", "[::1]", "80"},
		{"stranger lies", strange, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"bank"}, "X-Forwarded-Port": {"1"}}, "", false, "http", "shop.example", "80"},
		{"trusted", proxied, http.Header{"X-Forwarded-Proto": {"HTTPS"}, "X-Forwarded-Host": {"bank, inner"}, "X-Forwarded-Port": {"8443"}}, "", false, "https", "bank", "8443"},
		{"trusted, no port", proxied, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"bank"}}, "", false, "https", "bank", "443"},
		{"Forwarded", proxied, http.Header{"Forwarded": {`for=1.1.1.1;Proto=HTTPS;host="bank:8443"`}}, "", false, "https", "bank:8443", "8443"},
		{"Forwarded, no port", proxied, http.Header{"Forwarded": {"for=1.1.1.1;proto=https;host=bank"}}, "", false, "https", "bank", "443"},
		{"Forwarded, several", proxied, http.Header{"Forwarded": {"for=1.1.1.1;proto=https;host=bank", "for=10.1.1.1;proto=http;host=inner"}}, "", false, "https", "bank", "443"},
		{"Forwarded, all trusted", proxied, http.Header{"Forwarded": {"for=10.2.2.2;proto=https;host=bank, for=10.1.1.1;proto=http;host=inner"}}, "", false, "https", "bank", "443"},
		{"Forwarded, begun by the client", proxied, http.Header{"Forwarded": {"for=6.6.6.6;proto=https;host=evil, for=1.1.1.1;host=bank"}}, "", false, "http", "bank", "80"},
		{"Forwarded, hidden", proxied, http.Header{"Forwarded": {"for=6.6.6.6;host=evil, for=_x;proto=https;host=bank"}}, "", false, "https", "bank", "443"},
		{"Forwarded, silent", proxied, http.Header{"Forwarded": {"for=1.1.1.1"}}, "", true, "https", "shop.example", "443"},
		{"Forwarded, empty", proxied, http.Header{"Forwarded": {" , "}}, "", false, "http", "shop.example", "80"},
		{"Forwarded, nonsense", proxied, http.Header{"Forwarded": {`for=1.1.1.1;proto=gopher;host="a b"`}}, "", false, "http", "shop.example", "80"},
		{"Forwarded, and what a client slipped through", proxied, http.Header{"Forwarded": {"for=1.1.1.1;host=bank"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil"}, "X-Forwarded-Port": {"1"}}, "", false, "http", "bank", "80"},
		{"Forwarded, broken to be passed over", proxied, http.Header{"Forwarded": {`for="`}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil"}}, "", false, "http", "shop.example", "80"},
		{"both", proxied, http.Header{"X-Forwarded-For": {"1.1.1.1"}, "X-Forwarded-Host": {"bank"}, "Forwarded": {"for=6.6.6.6;proto=https;host=evil"}}, "", false, "http", "bank", "80"},
		{"nonsense", proxied, http.Header{"X-Forwarded-Proto": {"gopher"}, "X-Forwarded-Host": {"a b"}, "X-Forwarded-Port": {"99999"}}, "", false, "http", "shop.example", "80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, _, _ := forward(trusting(), tt.peer, tt.fields, func(r *http.Request, c *mesh.Call) {
				c.Secure = tt.secure
				if tt.host != "" {
					r.Host = tt.host
				}
			})
			for name, want := range map[string]string{"X-Forwarded-Proto": tt.proto, "X-Forwarded-Host": tt.said, "X-Forwarded-Port": tt.port} {
				if got := strings.Join(req.Header[name], "|"); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
		})
	}
	t.Run("no host", func(t *testing.T) {
		local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 8080}
		for _, tt := range []struct {
			ctx        context.Context
			said, port string
		}{
			{context.WithValue(t.Context(), http.LocalAddrContextKey, local), "192.0.2.9:8080", "8080"},
			{t.Context(), "", "80"},
		} {
			call := mesh.NewCall(tt.ctx)
			req := call.Bind(httptest.NewRequest(http.MethodGet, "/", nil))
			req.Host = ""
			_, _ = mesh.Stack(mesh.RoundTripFunc(over), bridge.Forward(trusting())).RoundTrip(req)
			if values, ok := req.Header["X-Forwarded-Host"]; ok != (tt.said != "") || strings.Join(values, "|") != tt.said {
				t.Errorf("X-Forwarded-Host %q, want %q", values, tt.said)
			}
			if got := req.Header.Get("X-Forwarded-Port"); got != tt.port {
				t.Errorf("X-Forwarded-Port %q, want %q", got, tt.port)
			}
		}
	})
	t.Run("quoting", func(t *testing.T) {
		c := trusting()
		c.Pseudonym = pseudonym
		req, _, _ := forward(c, strange, nil, func(r *http.Request, _ *mesh.Call) { r.Host = `a"b\c:80` })
		if got, want := req.Header.Get("Forwarded"), `for="192.0.2.1:1111";by=_edge-1;host="a\"b\\c:80";proto=http`; got != want {
			t.Errorf("Forwarded %s, want %s", got, want)
		}
	})
}

func TestForwardRemovesWhatPeerMayNotSay(t *testing.T) {
	always := []string{"X_forwarded_for", "X-User_id", "X.User.Id", "X_outrider_load", "X_request_id", "X_claim_role", "X_client_ip",
		"Proxy", "Content_Length", "Transfer_Encoding"}
	strangers := []string{"X-Real-Ip", "X-Envoy-Original-Path", "X-Outrider-Lineage", "X-User-Id", "X-Claim-Role", "x-user-id",
		"X-Forwarded-Server", "X-Original-Url", "X-Rewrite-Url", "X-Gateway-Timestamp",
		"Client-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Original-Host"}
	kept := []string{"X-Users", "Accept", "Authorization", "X-User-Identity", "Content-Length", "Te"}
	fields := http.Header{}
	for _, names := range [][]string{always, strangers, kept} {
		for _, name := range names {
			fields[name] = []string{"1"}
		}
	}
	for _, tt := range []struct {
		name, peer string
		source     mesh.Identity
		trusted    bool
	}{{"stranger", strange, "", false}, {"proxy", proxied, "", true}, {"identity", strange, "spiffe://friend", true}, {"other identity", strange, "spiffe://foe", false}} {
		t.Run(tt.name, func(t *testing.T) {
			c := trusting()
			c.TrustIdentity = func(id mesh.Identity) bool { return id == "spiffe://friend" }
			req, call, _ := forward(c, tt.peer, fields.Clone(), func(_ *http.Request, c *mesh.Call) { c.Source = tt.source })
			if call.Trusted != tt.trusted {
				t.Errorf("trusted %v", call.Trusted)
			}
			has := func(names []string, want bool) {
				t.Helper()
				for _, name := range names {
					if _, ok := req.Header[name]; ok != want {
						t.Errorf("%s: there %v, want %v", name, ok, want)
					}
				}
			}
			has(always, false)
			has(strangers, tt.trusted)
			has(kept, true)
		})
	}
	t.Run("nobody", func(t *testing.T) {
		c := trusting()
		c.TrustIdentity = func(mesh.Identity) bool { return true }
		if _, call, _ := forward(c, strange, nil); call.Trusted {
			t.Error("the empty identity is trusted")
		}
	})
}

func TestForwardPersonal(t *testing.T) {
	for _, tt := range []struct {
		name, peer, field string
		want              bool
	}{
		{"nothing", strange, "Accept", false},
		{"authorization", strange, "Authorization", true},
		{"cookie", strange, "Cookie", true},
		{"proxy authorization", strange, "Proxy-Authorization", true},
		{"identity of a trusted peer", proxied, "X-User-Id", true},
		{"identity by prefix", proxied, "X-Claim-Role", true},
		{"identity that is not believed", strange, "X-User-Id", false},
		{"other spelling", proxied, "X_User_Id", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			call := mesh.NewCall(t.Context())
			call.Peer = netip.MustParseAddrPort(tt.peer)
			req := call.Bind(httptest.NewRequest(http.MethodGet, "http://shop.example/", nil))
			req.Header[tt.field] = []string{"1"}
			edit := func(next http.RoundTripper) http.RoundTripper {
				return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
					if call.Personal != tt.want {
						t.Errorf("personal %v, want %v", call.Personal, tt.want)
					}
					clear(req.Header)
					return next.RoundTrip(req)
				})
			}
			_, _ = mesh.Stack(mesh.RoundTripFunc(over), bridge.Forward(trusting()), edit).RoundTrip(req)
			if call.Personal != tt.want {
				t.Errorf("personal %v after an edit, want %v", call.Personal, tt.want)
			}
		})
	}
}

func TestForwardRequestID(t *testing.T) {
	for _, tt := range []struct {
		name, peer string
		ids        []string
		want       string
	}{
		{"none", proxied, nil, "new-id"},
		{"stranger's", strange, []string{"mine"}, "new-id"},
		{"trusted", proxied, []string{"theirs"}, "theirs"},
		{"longest", proxied, []string{strings.Repeat("x", 128)}, strings.Repeat("x", 128)},
		{"too long", proxied, []string{strings.Repeat("x", 129)}, "new-id"},
		{"empty", proxied, []string{""}, "new-id"},
		{"space", proxied, []string{"a b"}, "new-id"},
		{"not ASCII", proxied, []string{"é"}, "new-id"},
		{"two", proxied, []string{"a", "b"}, "new-id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fields := http.Header{}
			if tt.ids != nil {
				fields["X-Request-Id"] = tt.ids
			}
			req, call, resp := forward(trusting(), tt.peer, fields)
			if call.ID != tt.want || strings.Join(req.Header["X-Request-Id"], "|") != tt.want || strings.Join(resp.Header["X-Request-Id"], "|") != tt.want {
				t.Errorf("call %q, request %q, response %q", call.ID, req.Header["X-Request-Id"], resp.Header["X-Request-Id"])
			}
		})
	}
	t.Run("version 7", func(t *testing.T) {
		form := regexp.MustCompile(`^018bcfe5-687b-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`) // 1700000000123 ms
		came := time.UnixMilli(1700000000123)
		seen, last := map[string]bool{}, ""
		for i := range 1000 { // within a millisecond they are in the order of their coming
			_, call, _ := forward(bridge.ForwardConfig{}, strange, nil, func(_ *http.Request, c *mesh.Call) {
				c.Start = came.Add(time.Duration(i) * time.Microsecond)
			})
			if !form.MatchString(call.ID) || call.ID <= last {
				t.Errorf("id %q after %q", call.ID, last)
			}
			last = call.ID
			_, call, _ = forward(bridge.ForwardConfig{}, strange, nil, func(_ *http.Request, c *mesh.Call) { c.Start = came })
			if seen[call.ID] {
				t.Errorf("id %q for the second time", call.ID)
			}
			seen[call.ID] = true
		}
		if _, call, _ := forward(bridge.ForwardConfig{}, strange, nil); call.ID <= last {
			t.Errorf("id %q of a call whose start nobody noted", call.ID)
		}
	})
	t.Run("on faults and bare responses", func(t *testing.T) {
		layer := bridge.Forward(trusting())
		var fault error
		p := serve(t, "h1", mesh.Stack(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusNoContent}, fault
		}), layer).RoundTrip)
		for _, fault = range []error{nil, &mesh.Fault{Kind: mesh.Denied}} {
			if resp, _ := p.do(t, request(t, "GET", p.URL, nil)); resp.Header.Get("X-Request-Id") != "new-id" {
				t.Errorf("fault %v: %q", fault, resp.Header)
			}
		}
	})
}

func TestForwardGatewayTimestamp(t *testing.T) {
	c := trusting()
	if req, _, _ := forward(c, strange, nil); req.Header.Get("X-Gateway-Timestamp") != "" {
		t.Error("set without Gateway")
	}
	c.Gateway = true
	req, _, _ := forward(c, proxied, http.Header{"X-Gateway-Timestamp": {"1"}})
	if got := strings.Join(req.Header["X-Gateway-Timestamp"], "|"); got != "1700000000123" {
		t.Errorf("got %q", got)
	}
}

// Trailers are cleaned when they are announced, and again when they have come.
func TestForwardTrailers(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		var got seen
		p := serve(t, proto, mesh.Stack(record(&got), bridge.Forward(trusting())).RoundTrip)
		if proto == "h1" {
			p.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-User-Id\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\nX-User-Id: 7\r\nX_User_Id: 7\r\nX-Outrider-Load: 1\r\n\r\n")
		} else {
			req := request(t, "POST", p.URL, nil)
			req.Trailer = http.Header{"X-Sum": {"5"}, "X-User-Id": {"7"}, "X_user_id": {"7"}}
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader("hello")), -1
			p.do(t, req)
		}
		await(t, p.ends)
		if len(got.trailer) != 1 || got.trailer.Get("X-Sum") != "5" || got.body != "hello" {
			t.Errorf("body %q, trailers %q", got.body, got.trailer)
		}
	})
}

func TestForwardAllocations(t *testing.T) {
	call := mesh.NewCall(context.Background())
	req := call.Bind(httptest.NewRequest(http.MethodGet, "http://shop.example/", nil))
	req.Header.Set("User-Agent", "test")
	req.Header.Set("X-User-Name", "test")
	resp := &http.Response{Header: http.Header{}}
	// All that is new is cut from one piece; the lists are the call's.
	for _, gateway := range []bool{false, true} {
		stack := mesh.Stack(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return resp, nil }),
			bridge.Forward(bridge.ForwardConfig{Protected: []string{"X-User-Id", "X-Claim-*"}, Pseudonym: pseudonym, Gateway: gateway}))
		if got := testing.AllocsPerRun(100, func() {
			call.Renew(context.Background())
			call.Peer = netip.MustParseAddrPort(strange)
			if _, err := stack.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			call.End(mesh.Result{})
		}); got > 1 {
			t.Errorf("gateway %v: %v allocations a request, want at most 1", gateway, got)
		}
	}
}
