package discovery_test

import (
	"net/netip"
	"strings"
	"testing"

	"outrider/discovery"
)

func TestParse(t *testing.T) {
	tests := []struct {
		url  string
		want discovery.Address
	}{
		{"http://orders:3003", discovery.Address{Scheme: "http", Host: "orders", Port: "3003", Authority: "orders:3003"}},
		{"http://orders", discovery.Address{Scheme: "http", Host: "orders", Port: "80", Authority: "orders"}},
		{"https://orders/", discovery.Address{Scheme: "https", Host: "orders", Port: "443", Authority: "orders"}},
		{"h2c://orders", discovery.Address{Scheme: "h2c", Host: "orders", Port: "80", Authority: "orders"}},
		{"HTTP://Orders:80", discovery.Address{Scheme: "http", Host: "Orders", Port: "80", Authority: "Orders:80"}},
		{"http://127.0.0.1:1", discovery.Address{Scheme: "http", Host: "127.0.0.1", Port: "1", Authority: "127.0.0.1:1"}},
		{"http://[::1]:65535", discovery.Address{Scheme: "http", Host: "::1", Port: "65535", Authority: "[::1]:65535"}},
	}
	for _, tt := range tests {
		got, err := discovery.Parse(tt.url)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.url, got, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ url, want string }{
		{"", "http://host:port"},
		{"orders:3003", "http://host:port"},
		{"http:orders", "http://host:port"},
		{"http://or ders", "http://host:port"},
		{"ftp://orders", "scheme"},
		{"//orders", "http://host:port"},
		{"http://", "no host"},
		{"http://:80", "no host"},
		{"http://orders:", "no port"},
		{"http://orders:0", "1 to 65535"},
		{"http://orders:65536", "1 to 65535"},
		{"http://orders/api", "path"},
		{"http://orders?a=b", "query"},
		{"http://orders?", "query"},
		{"http://orders#a", "fragment"},
		{"http://orders#", "fragment"},
		{"http://me:secret@orders", "user"},
		{"http://me:secret@or ders", "user"},
	}
	for _, tt := range tests {
		_, err := discovery.Parse(tt.url)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want something about %q", tt.url, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error tells the password: %v", tt.url, err)
		}
	}
}

func TestAddressEndpoint(t *testing.T) {
	address, err := discovery.Parse("https://orders")
	if err != nil {
		t.Fatal(err)
	}
	e := address.Endpoint(netip.MustParseAddr("2001:db8::1"))
	if e.ID != "https://[2001:db8::1]:443" || e.Address != "[2001:db8::1]:443" || e.Scheme != "https" || e.Host != "orders" {
		t.Errorf("got %+v", e)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"http://a:1", "https://[::1]", "h2c://a/", "http://a:1/b", "http://u@a", "http://[fe80::1%25eth0]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := discovery.Parse(s)
		if err != nil {
			return
		}
		if a.Host == "" || a.Port == "" || a.Authority == "" || strings.ContainsAny(a.Authority, "/?#@") {
			t.Fatalf("%q: parsed as %+v", s, a)
		}
		if strings.Contains(a.Authority, "%") {
			return // a zone, which a URL escapes
		}
		if again, err := discovery.Parse(a.Scheme + "://" + a.Authority); err != nil || again != a {
			t.Fatalf("%q: parsed as %+v, then as %+v, %v", s, a, again, err)
		}
	})
}
