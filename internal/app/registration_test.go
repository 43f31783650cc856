package app

import (
	"errors"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"

	"outrider/discovery/consul"
	"outrider/internal/config"
	"outrider/internal/identity"
)

func TestAdvertised(t *testing.T) {
	network := func(ips ...string) []net.Addr {
		var all []net.Addr
		for _, ip := range ips {
			all = append(all, &net.IPNet{IP: net.ParseIP(ip), Mask: net.CIDRMask(24, 32)})
		}
		return all
	}
	for _, tt := range []struct {
		name, host string
		has        []net.Addr
		err        error
		want       string // or a part of the error
	}{
		{"what is listened on", "10.0.0.7", nil, errors.New("not asked"), "10.0.0.7"},
		{"a loopback that is listened on", "127.0.0.1", nil, nil, "127.0.0.1"},
		{"the first of the machine's", "0.0.0.0", network("127.0.0.1", "10.0.0.7", "10.0.0.8"), nil, "10.0.0.7"},
		{"of both sorts, one of IPv4", "::", network("::1", "2001:db8::1", "10.0.0.7"), nil, "10.0.0.7"},
		{"of IPv6, the first", "", network("::1", "fe80::1", "2001:db8::1", "2001:db8::2"), nil, "2001:db8::1"},
		{"no link-local one", "0.0.0.0", network("169.254.0.1", "fe80::1"), nil, "set it to the address at which others reach"},
		{"none but loopback", "0.0.0.0", network("127.0.0.1", "::1"), nil, "service.address is not set, and this machine has no address but loopback"},
		{"others than networks", "0.0.0.0", []net.Addr{&net.UnixAddr{Name: "x"}}, nil, "no address but loopback"},
		{"what cannot be listed", "0.0.0.0", nil, errors.New("denied"), "cannot be listed: denied"},
	} {
		got, err := advertised(tt.host, func() ([]net.Addr, error) { return tt.has, tt.err })
		if err == nil && got != tt.want || err != nil && (got != "" || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestRegistration(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	configured := &config.Instance{
		Name: "tea", ID: "t1", Address: "tea.test", Tags: []string{"x"}, Meta: map[string]string{"k": "v"}, Weight: 3, Zone: "b",
	}
	for _, tt := range []struct {
		name    string
		service *config.Instance
		mtls    string
		inbound string
		want    consul.Registration
		fault   string
	}{
		{"all that is said", configured, identity.Strict, "10.0.0.7:15006", consul.Registration{
			Name: "tea", ID: "t1", Address: "tea.test", Port: 15006, Tags: []string{"x"}, Weight: 3, Zone: "b",
			Meta: map[string]string{"k": "v", identity.MetaMTLS: identity.Strict},
		}, ""},
		{"as little as may be", &config.Instance{Name: "tea", Weight: 1}, identity.Off, "10.0.0.7:15006", consul.Registration{
			Name: "tea", ID: "tea-" + host + "-15006", Address: "10.0.0.7", Port: 15006, Weight: 1, Meta: map[string]string{},
		}, ""},
		{"no port", configured, identity.Off, "10.0.0.7", consul.Registration{}, "inbound.listen: "},
		{"a port by name", configured, identity.Off, "10.0.0.7:http", consul.Registration{}, "inbound.listen: "},
	} {
		got, err := registration(&config.Config{Service: tt.service, Identity: config.Identity{MTLS: tt.mtls}}, tt.inbound)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.fault)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	if configured.Meta[identity.MetaMTLS] != "" {
		t.Error("the configuration has been written to")
	}
}
