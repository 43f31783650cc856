package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"strings"
	"testing"

	"outrider/internal/identity"
	"outrider/internal/mesh"
)

// verified is the state of a connection whose client showed leaf, and was believed.
func verified(leaf *x509.Certificate) *tls.ConnectionState {
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
}

func uris(t testing.TB, raw ...string) []*url.URL {
	t.Helper()
	var all []*url.URL
	for _, s := range raw {
		u, err := url.Parse(s) // as crypto/x509 does
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	return all
}

// The grammar of the SPIFFE ID specification, section 2.
func TestSPIFFEGrammar(t *testing.T) {
	longest := "spiffe://td/" + strings.Repeat("a", 2048-len("spiffe://td/"))
	domain := strings.Repeat("d", 255)
	for _, tt := range []struct {
		uri string
		ok  bool
	}{
		{"spiffe://td/orders", true},
		{"spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/orders", true},
		{"spiffe://td_1.example/A-b_c.d/0", true},
		{"spiffe://td/...", true}, // three dots are a name
		{longest, true},
		{longest + "a", false},
		{"spiffe://" + domain + "/a", true},
		{"spiffe://" + domain + "d/a", false},
		{"spiffe://td", false},
		{"spiffe://td/", false},
		{"spiffe://td/orders/", false},
		{"spiffe://td//orders", false},
		{"spiffe://td/./orders", false},
		{"spiffe://td/../orders", false},
		{"spiffe://td/a%62", false},
		{"spiffe://td/a b", false},
		{"spiffe://td/a%2Fb", false},
		{"spiffe://td/ä", false},
		{"spiffe://td/a:b", false},
		{"spiffe://td/a~b", false},
		{"spiffe://TD/orders", false},
		{"spiffe://t%64/orders", false},
		{"spiffe://tä/orders", false},
		{"spiffe://[::1]/orders", false},
		{"spiffe://td:80/orders", false},
		{"spiffe://td:/orders", false},
		{"spiffe://me@td/orders", false},
		{"spiffe://@td/orders", false},
		{"spiffe://td/orders?a=b", false},
		{"spiffe://td/orders?", false},
		{"spiffe://td/orders#a", false},
		{"spiffe:///orders", false},
		{"spiffe:td/orders", false},
		{"spiffe:/orders", false},
		{"spiffe:", false},
	} {
		u, err := url.Parse(tt.uri)
		if err != nil {
			if tt.ok {
				t.Errorf("%s: %v", tt.uri, err)
			}
			continue // crypto/x509 would not read the certificate
		}
		// The other names do not make up for an ID that is not valid.
		leaf := &x509.Certificate{URIs: []*url.URL{u}, DNSNames: []string{"orders"}, Subject: pkix.Name{CommonName: "orders"}}
		want := mesh.Identity("")
		if tt.ok {
			want = mesh.Identity(tt.uri)
		}
		if got := identity.Peer(verified(leaf)); got != want {
			t.Errorf("%.100s: got %.100q", tt.uri, got)
		}
	}
}

func TestPeer(t *testing.T) {
	common := pkix.Name{CommonName: "Orders Team", Organization: []string{"shop"}}
	for _, tt := range []struct {
		name string
		leaf x509.Certificate
		want mesh.Identity
	}{
		{"spiffe first", x509.Certificate{URIs: uris(t, "spiffe://td/svc/orders"), DNSNames: []string{"orders"}, Subject: common}, "spiffe://td/svc/orders"},
		{"two spiffe", x509.Certificate{URIs: uris(t, "spiffe://td/a", "spiffe://td/b"), DNSNames: []string{"orders"}}, ""},
		{"another URI before", x509.Certificate{URIs: uris(t, "https://td/a", "spiffe://td/b"), DNSNames: []string{"orders"}}, ""},
		{"another URI behind", x509.Certificate{URIs: uris(t, "spiffe://td/b", "https://td/a"), DNSNames: []string{"orders"}}, ""},
		{"another URI alone", x509.Certificate{URIs: uris(t, "https://td/a"), DNSNames: []string{"orders"}}, "orders"},
		{"dns", x509.Certificate{DNSNames: []string{"Orders.Example", "b"}, Subject: common}, "orders.example"},
		{"dns that looks like spiffe", x509.Certificate{DNSNames: []string{"spiffe://td/svc/admin"}, Subject: common}, ""},
		{"wildcard", x509.Certificate{DNSNames: []string{"*.example"}, Subject: common}, ""},
		{"wildcard first", x509.Certificate{DNSNames: []string{"*.example", "orders"}, Subject: common}, "orders"},
		{"dns too long", x509.Certificate{DNSNames: []string{strings.Repeat("a", 256)}}, ""},
		{"common name", x509.Certificate{Subject: common}, "Orders Team"},
		{"common name like spiffe", x509.Certificate{Subject: pkix.Name{CommonName: "spiffe://td/svc/admin"}}, ""},
		{"common name with a line", x509.Certificate{Subject: pkix.Name{CommonName: "a\nb"}}, ""},
		{"common name too long", x509.Certificate{Subject: pkix.Name{CommonName: strings.Repeat("a", 256)}}, ""},
		{"nobody", x509.Certificate{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := identity.Peer(verified(&tt.leaf)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// What was shown and not verified proves nothing.
func TestPeerUnverified(t *testing.T) {
	leaf := &x509.Certificate{DNSNames: []string{"orders"}}
	for name, state := range map[string]*tls.ConnectionState{
		"no state":    nil,
		"no peer":     {},
		"unverified":  {PeerCertificates: []*x509.Certificate{leaf}},
		"empty chain": {PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{}}},
	} {
		if got := identity.Peer(state); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// Peer is asked for each request.
func TestPeerAllocates(t *testing.T) {
	state := verified(&x509.Certificate{URIs: uris(t, "spiffe://td/ns/default/dc/dc1/svc/orders")})
	if n := testing.AllocsPerRun(100, func() { identity.Peer(state) }); n > 1 {
		t.Errorf("%v allocations, want 1: the ID itself", n)
	}
}

func FuzzPeer(f *testing.F) {
	f.Add("spiffe://td/ns/default/dc/dc1/svc/orders", "orders", "orders")
	f.Add("spiffe://td:80/a?b#c", "*.a", "spiffe://a/b")
	f.Add("https://a", "spiffe://td/svc/x", "")
	f.Fuzz(func(t *testing.T, uri, dns, common string) {
		leaf := &x509.Certificate{Subject: pkix.Name{CommonName: common}}
		if dns != "" {
			leaf.DNSNames = []string{dns}
		}
		if u, err := url.Parse(uri); err == nil && uri != "" {
			leaf.URIs = []*url.URL{u}
		}
		got := string(identity.Peer(verified(leaf)))
		rest, spiffe := strings.CutPrefix(got, "spiffe://")
		switch {
		case spiffe && !strings.EqualFold(got, strings.TrimSuffix(uri, "#")): // the scheme may be in capitals, and an empty fragment is lost
			t.Errorf("%q made of the URI %q", got, uri)
		case spiffe && (len(got) > 2048 || strings.ContainsAny(rest, "%?#@: ") || strings.Contains(rest, "//")):
			t.Errorf("%q is no SPIFFE ID", got)
		case !spiffe && strings.ContainsAny(got, ":/\n"):
			t.Errorf("%q could be taken for a SPIFFE ID", got)
		case len(leaf.URIs) > 0 && leaf.URIs[0].Scheme == "spiffe" && !spiffe && got != "":
			t.Errorf("%q stands for the URI %q", got, uri)
		}
	})
}
