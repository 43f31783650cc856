package app

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"strconv"

	"outrider/discovery/consul"
	"outrider/internal/config"
	"outrider/internal/identity"
)

// registration is how the configuration wants this instance to be known.
func registration(cfg *config.Config, inbound string) (consul.Registration, error) {
	host, portText, err := net.SplitHostPort(inbound)
	if err != nil {
		return consul.Registration{}, fmt.Errorf("inbound.listen: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return consul.Registration{}, fmt.Errorf("inbound.listen: %w", err)
	}
	s := cfg.Service
	r := consul.Registration{Name: s.Name, ID: s.ID, Address: s.Address, Port: port}
	describe(&r, cfg)
	if r.Address == "" {
		if r.Address, err = advertised(host, net.InterfaceAddrs); err != nil {
			return consul.Registration{}, err
		}
	}
	if r.ID == "" {
		name, err := os.Hostname()
		if err != nil {
			name = r.Address
		}
		r.ID = fmt.Sprintf("%s-%s-%d", s.Name, name, port)
	}
	return r, nil
}

// describe adds what a reload can change.
func describe(r *consul.Registration, cfg *config.Config) {
	s := cfg.Service
	r.Tags, r.Weight, r.Zone = s.Tags, s.Weight, s.Zone
	r.Meta = map[string]string{}
	maps.Copy(r.Meta, s.Meta)
	if mode := cfg.Identity.MTLS; mode != identity.Off {
		r.Meta[identity.MetaMTLS] = mode
	}
}

// advertised is the address that others are to use: the one that is listened on or,
// where that is every one, the machine's first that is not a loopback.
func advertised(host string, interfaces func() ([]net.Addr, error)) (string, error) {
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
		return ip.String(), nil
	}
	all, err := interfaces()
	if err != nil {
		return "", fmt.Errorf("service.address is not set, and the machine's addresses cannot be listed: %w", err)
	}
	six := ""
	for _, a := range all {
		network, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(network.IP)
		ip = ip.Unmap()
		if !ok || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		if ip.Is4() {
			return ip.String(), nil
		}
		if six == "" {
			six = ip.String()
		}
	}
	if six == "" {
		return "", fmt.Errorf("service.address is not set, and this machine has no address but loopback: set it to the address at which others reach %s", host)
	}
	return six, nil
}
