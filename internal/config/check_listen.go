package config

import (
	"net"
	"net/netip"
	"strconv"
)

// listener is an address that is listened on, and the key that says so.
type listener struct{ path, host, port string }

// listeners returns all of them, whichever the command.
func (l *loader) listeners() []listener {
	c, all := l.cfg, []listener{}
	add := func(path, address string) {
		if host, port, err := net.SplitHostPort(address); err == nil {
			all = append(all, listener{path, host, port})
		}
	}
	if c.Mode == Run {
		add("inbound.listen", c.Inbound.Listen)
		add("outbound.listen", c.Outbound.Listen)
	} else {
		all = append(all, listener{"server.port", c.Server.Host, strconv.Itoa(c.Server.Port)})
	}
	add("admin.listen", c.Admin.Listen)
	add("probe.listen", c.Probe.Listen)
	for _, name := range sorted(c.Services) {
		if c.Mode == Run {
			add(under(under("services", name), "listen"), c.Services[name].Listen)
		}
	}
	return all
}

// calls reports whether the app's calls come in at the listener of this key.
func (l *loader) calls(path string) bool { return path == "outbound.listen" || below("services", path) }

// checkCircle finds an app that is the proxy itself.
func (l *loader) checkCircle(all []listener) {
	if l.cfg.Service == nil {
		return
	}
	host, port, err := net.SplitHostPort(l.cfg.Service.App)
	for _, a := range all {
		if err == nil && a.port == port && overlap(a.host, host) {
			l.fault("service.app", "is where the proxy itself listens (%s): requests would go in a circle", a.path)
		}
	}
}

// checkListeners finds ports that are asked for twice, and doors left open.
func (l *loader) checkListeners() {
	all := l.listeners()
	for i, a := range all {
		for _, b := range all[:i] {
			if a.port != "0" && a.port == b.port && overlap(a.host, b.host) {
				late, early := a.path, b.path
				if !l.has(late) { // then it is the other that somebody wrote
					late, early = early, late
				}
				l.fault(late, "port %s is taken by %s already", a.port, early)
			}
		}
	}
	for _, a := range all {
		if l.calls(a.path) && !loopback(a.host) {
			l.warn(a.path, "can be reached from other machines: whoever does so calls with this service's identity: listen on 127.0.0.1")
		}
	}
	l.checkCircle(all)
	host, _, err := net.SplitHostPort(l.cfg.Admin.Listen)
	if err == nil && !loopback(host) && l.cfg.Admin.TokenFile == "" {
		l.warn("admin.listen", "can be reached from other machines and asks for no token: set admin.token_file, or listen on 127.0.0.1")
	}
	for i, prefix := range l.cfg.TrustedProxies {
		if prefix.Bits() == 0 && prefix.IsValid() {
			l.warn(item("trusted_proxies", i), "trusts everyone: any client may then pretend to be another")
		}
	}
}

// overlap reports whether two hosts can stand for the same address.
func overlap(a, b string) bool {
	return numeric(a) == numeric(b) || unspecified(a) || unspecified(b)
}

// numeric returns the address that Go's net.Listen takes localhost for.
func numeric(host string) string {
	if host == "localhost" {
		return "127.0.0.1"
	}
	return host
}

func unspecified(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
