package balance

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/cespare/xxhash/v2"

	"outrider/internal/mesh"
)

func TestKey(t *testing.T) {
	v4 := netip.MustParseAddr("192.0.2.1")
	for name, tc := range map[string]struct {
		on     string
		client netip.Addr
		header http.Header
		want   string // empty is no key
	}{
		"client by default":      {"", v4, nil, addressKey(v4)},
		"client":                 {"client_ip", v4, nil, addressKey(v4)},
		"client in IPv6's form":  {"client_ip", netip.AddrFrom16(v4.As16()), nil, addressKey(v4)},
		"client with a zone":     {"client_ip", netip.MustParseAddr("fe80::1%eth0"), nil, addressKey(netip.MustParseAddr("fe80::1"))},
		"client unknown":         {"client_ip", netip.Addr{}, nil, ""},
		"header":                 {"header:x-user", v4, http.Header{"X-User": {"ann", "bob"}}, "ann"},
		"header, first filled":   {"header:X-User", v4, http.Header{"X-User": {"", "bob"}}, "bob"},
		"header missing":         {"header:X-User", v4, http.Header{"X-Usher": {"ann"}}, ""},
		"host":                   {"header:host", v4, nil, "shop.example"},
		"cookie":                 {"cookie:sid", v4, http.Header{"Cookie": {"a=b; sid=1; c=d"}}, "1"},
		"cookie first":           {"cookie:sid", v4, http.Header{"Cookie": {"sid=1;sid=2"}}, "1"},
		"cookie last":            {"cookie:sid", v4, http.Header{"Cookie": {"x=sid ;sid=a=b=="}}, "a=b=="},
		"cookie on another line": {"cookie:sid", v4, http.Header{"Cookie": {"a=b; ", "sid=1"}}, "1"},
		"cookie's case":          {"cookie:sid", v4, http.Header{"Cookie": {"SID=1; sidx=2; xsid=3"}}, ""},
		"cookie empty":           {"cookie:sid", v4, http.Header{"Cookie": {"sid=; sid"}}, ""},
		"no cookie":              {"cookie:sid", v4, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := newKeySource(tc.on)
			if err != nil {
				t.Fatal(err)
			}
			call := &mesh.Call{Client: tc.client}
			req := &http.Request{Host: "shop.example", Header: tc.header}
			got, ok := source.of(call, req)
			if ok != (tc.want != "") || ok && got != xxhash.Sum64String(tc.want) {
				t.Errorf("key = %x, %v; want that of %q", got, ok, tc.want)
			}
			if n := testing.AllocsPerRun(50, func() { source.of(call, req) }); n != 0 {
				t.Errorf("%v allocations; want none", n)
			}
		})
	}
}

func addressKey(a netip.Addr) string {
	b := a.As16()
	return string(b[:])
}

// The same in every process, on every machine: else two proxies would disagree.
func TestKeyIsFixed(t *testing.T) {
	source, err := newKeySource("header:X-User")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := source.of(&mesh.Call{}, &http.Request{Header: http.Header{"X-User": {"ann"}}})
	if want := uint64(0xb41beba40346ebe); got != want {
		t.Errorf("key = %#x; want %#x", got, want)
	}
	_, pick := ringOver(t, numbered(10))
	if got, want := pick(got), "10.0.0.8:80"; got != want {
		t.Errorf("goes to %s; want %s", got, want)
	}
}
