package bridge_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"outrider/internal/bridge"
)

func TestNames(t *testing.T) {
	names := bridge.NewNames("X-User-Id", "x-claim-*")
	for _, tt := range []struct {
		name string
		want bool
	}{
		{"X-User-Id", true}, {"x-user-id", true}, {"X_USER_ID", true}, {"X.User_Id", true},
		{"X-Claim-Role", true}, {"x_claim_role", true}, {"X-Claim-", true},
		{"X-User", false}, {"X-User-Id-2", false}, {"XUserId", false}, {"X-Claim", false}, {"", false},
	} {
		if got := names.Has(tt.name); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.name, got, tt.want)
		}
	}
	if (bridge.Names{}).Has("X") {
		t.Error("the empty set has something")
	}
	if got := testing.AllocsPerRun(100, func() { names.Has("X-User-Id"); names.Has("Accept") }); got > 0 {
		t.Errorf("%v allocations for canonical names", got)
	}
}

// What belongs to one connection goes, be there few fields beside it or many.
func TestStrip(t *testing.T) {
	hop := []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade",
		"Proxy-Authorization", "Proxy-Authenticate", "Proxy-Authentication-Info", "Http2-Settings",
	}
	hops := bridge.NewHops(nil)
	for _, tt := range []struct {
		te, want []string
	}{{nil, nil}, {[]string{"gzip"}, nil}, {[]string{"trailers"}, []string{"trailers"}}, {[]string{"gzip, Trailers;q=1"}, []string{"trailers"}}, {[]string{"gzip", "trailers"}, []string{"trailers"}}} {
		for _, beside := range []int{1, 20} {
			for _, name := range hop {
				header := http.Header{"X-Hop": {"1"}, name: {"close, x-hop, trailers"}, "Te": {"gzip"}}
				if name != "Connection" {
					header["Connection"] = []string{"Keep-Alive, x-hop"}
				}
				if tt.te != nil {
					header["Te"] = tt.te
				}
				for i := range beside {
					header["X-Field-"+strconv.Itoa(i)] = []string{"1"}
				}
				hops.Strip(header)
				te, ok := header["Te"]
				if delete(header, "Te"); ok != (tt.want != nil) || !slices.Equal(te, tt.want) || len(header) != beside {
					t.Errorf("%s and TE %q: %q is left of %d, and TE %q", name, tt.te, header, beside, te)
				}
			}
		}
	}
}

// Letters that Unicode folds into those of ASCII are others to the next hop.
func TestNamesFoldAsASCII(t *testing.T) {
	hops := bridge.NewHops(nil)
	for te, want := range map[string]string{"TRAILERS": "trailers", "trailer\u017f": ""} {
		header := http.Header{"Te": {te}}
		if hops.Strip(header); header.Get("Te") != want {
			t.Errorf("TE %q became %q, want %q", te, header.Get("Te"), want)
		}
	}
	for via, want := range map[string]bool{"1.1 DESK-1": true, "1.1 desk-1": true, "1.1 des\u212a-1": false, "1.1 de\u017fk-1": false} {
		if got := bridge.Passed(http.Header{"Via": {via}}, "desk-1"); got != want {
			t.Errorf("Via %q has passed: %v, want %v", via, got, want)
		}
	}
	for _, tt := range []struct {
		option, field string
		want          bool
	}{{"upgrade", "websocket", true}, {"UPGRADE", "Websocket", true}, {"upgrade", "web\u017focket", false}} {
		req, _ := arrive(t, "GET", http.Header{"Connection": {tt.option}, "Upgrade": {"websocket"}}, nil)
		edge := edgeOf(switching(tt.field, nopDuplex{}))
		if resp, _ := edge.Handle(req); (resp.StatusCode == http.StatusSwitchingProtocols) != tt.want {
			t.Errorf("a switch to %q got %d", tt.field, resp.StatusCode)
		}
	}
}

// nopDuplex is an endpoint's side of a tunnel.
type nopDuplex struct{ io.ReadWriter }

func (nopDuplex) Close() error { return nil }

func TestStripAllocations(t *testing.T) {
	hops := bridge.NewHops(nil)
	header := http.Header{"Accept": {"*/*"}, "User-Agent": {"x"}}
	connection := []string{"keep-alive"}
	if got := testing.AllocsPerRun(100, func() { header["Connection"] = connection; hops.Strip(header) }); got > 0 {
		t.Errorf("%v allocations", got)
	}
}

// Trailers cannot take back what the header says in our name, announced or not.
func TestResponseTrailersDoNotSpeakForUs(t *testing.T) {
	ours := []string{"X-Request-Id", "Ratelimit", "Ratelimit-Policy", "X-Ratelimit-Limit", "Via", "Proxy-Status", "Cache-Status", "X-User-Id", "X_user_id"}
	eachProto(t, func(t *testing.T, proto string) {
		p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
			resp := reply(req, http.StatusOK, "hello")
			resp.Trailer = http.Header{"X-Sum": nil, "X-Request-Id": nil, "X-User-Id": nil}
			resp.Body = io.NopCloser(io.MultiReader(resp.Body, readerFunc(func([]byte) (int, error) {
				resp.Trailer["X-Sum"] = []string{"5"}
				for _, name := range ours {
					resp.Trailer[name] = []string{"6"}
				}
				return 0, io.EOF
			})))
			return resp, nil
		}, func(c *bridge.Config) { c.Protected = []string{"X-User-*"} })
		resp, _ := p.do(t, request(t, "GET", p.URL, nil))
		if len(resp.Trailer) != 1 || resp.Trailer.Get("X-Sum") != "5" {
			t.Errorf("trailers %q", resp.Trailer)
		}
	})
}

func FuzzStrip(f *testing.F) {
	f.Add("close, X-Hop", "gzip, trailers")
	f.Add("X-Forwarded-For,,x_forwarded_for;q=1", "\t trailers ")
	hops := bridge.NewHops([]string{"X-User-Id"})
	f.Fuzz(func(t *testing.T, connection, te string) {
		header := http.Header{"Connection": {connection}, "Te": {te}, "X-Forwarded-For": {"1"}, "X-User-Id": {"1"}, "Authorization": {"1"}, "Content-Length": {"1"}}
		hops.Strip(header)
		for _, name := range []string{"X-Forwarded-For", "X-User-Id", "Authorization", "Content-Length"} {
			if header[name] == nil {
				t.Errorf("Connection %q removed %s", connection, name)
			}
		}
		if header["Connection"] != nil {
			t.Error("Connection is still there")
		}
		if v := header.Get("Te"); v != "" && v != "trailers" {
			t.Errorf("TE %q became %q", te, v)
		}
	})
}

func FuzzVia(f *testing.F) {
	f.Add("1.1 a, 2.0 edge-1 (x, y)")
	f.Add("edge-1")
	f.Fuzz(func(t *testing.T, value string) {
		header := http.Header{"Via": {value}}
		bridge.AddVia(header, 1, 1, pseudonym)
		if !bridge.Passed(header, pseudonym) {
			t.Errorf("after %q our own mark is not found", value)
		}
	})
}

// Whatever a trusted proxy hands on, the client is an address or the peer, and what
// the service is told has our peer last.
func FuzzForward(f *testing.F) {
	f.Add("1.1.1.1, 10.1.1.1", "")
	f.Add("", `for="[2001:db8::1]:1";proto=http, for=_x;by="\""`)
	f.Add("", `for="a\`)
	f.Fuzz(func(t *testing.T, xff, forwarded string) {
		fields := http.Header{}
		if xff != "" {
			fields["X-Forwarded-For"] = []string{xff}
		} else {
			fields["Forwarded"] = []string{forwarded}
		}
		req, call, _ := forward(trusting(), proxied, fields)
		if !call.Client.IsValid() || call.Client.Is4In6() || call.Client.Zone() != "" {
			t.Errorf("client %v", call.Client)
		}
		if got := req.Header.Get("X-Forwarded-For"); !strings.HasSuffix(got, "10.0.0.1") {
			t.Errorf("X-Forwarded-For %q", got)
		}
		if got := req.Header.Get("Forwarded"); !strings.HasSuffix(got, `for="10.0.0.1:2222";host=shop.example;proto=http`) || strings.Count(strings.ReplaceAll(strings.ReplaceAll(got, `\\`, ""), `\"`, ""), `"`)%2 != 0 {
			t.Errorf("Forwarded %q", got)
		}
	})
}
