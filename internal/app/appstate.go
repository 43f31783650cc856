package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"outrider/internal/config"
	"outrider/internal/mesh"
	"outrider/outbound"
)

// appState is what is known of the app's health.
type appState struct {
	seen atomic.Bool            // a check has passed at least once
	note atomic.Pointer[string] // why it is not well; nil: it is
}

// wellness returns whether the app may get requests, and why not in one line.
func (s *appState) wellness() (bool, string) {
	if note := s.note.Load(); note != nil {
		return false, *note
	}
	if !s.seen.Load() {
		return false, "the app has not answered yet"
	}
	return true, ""
}

// newApp reaches the app and watches its health.
func (p *Proxy) newApp(c *config.Service) (*service, error) {
	return p.newService(c, func(o *outbound.Config) {
		if o.HealthCheck == nil {
			o.HealthCheck, o.Probe = healthCheck(&appCheck), connects
		}
		o.Events.Probed = func(_ mesh.Service, note string) {
			if note == "" && !p.app.seen.Swap(true) {
				p.beat()
			}
		}
		changed := o.Events.Health
		o.Events.Health = func(s mesh.Service, e mesh.Endpoint) {
			changed(s, e)
			p.app.note.Store(nil)
			if e.Unhealthy {
				note := e.HealthNote
				p.app.note.Store(&note)
			}
			p.beat()
		}
	})
}

// connects probes an app that has no health check: it is well while it accepts
// connections.
func connects(ctx context.Context, e mesh.Endpoint, _ string) (int, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", e.Address)
	if err != nil {
		return 0, err
	}
	c.Close()
	return http.StatusOK, nil
}

// warnExposed warns where the app can be reached around its guard: it listens on
// addresses other than loopback. Only Linux can tell.
func (p *Proxy) warnExposed(app string) {
	addr, err := netip.ParseAddrPort(app)
	if err == nil && !addr.Addr().IsLoopback() {
		p.log.Warn("the app is not on this machine's loopback: whoever reaches it goes around its guard", "service.app", app)
		return
	}
	_, port, err := net.SplitHostPort(app)
	if err != nil {
		return
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue // not Linux, or no IPv6
		}
		at, err := publicListener(f, port)
		f.Close()
		if err == nil && at != "" {
			p.log.Warn("the app listens on a public address: whoever reaches it there goes around its guard; have it listen on 127.0.0.1",
				"app", at, "port", port)
			return
		}
	}
}

// publicListener returns the address other than loopback at which a table of sockets
// (proc_net_tcp of the kernel's documentation) has a listener on port; "" for none.
func publicListener(table io.Reader, port string) (string, error) {
	want, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", fmt.Errorf("port %q: %w", port, err)
	}
	const listening = "0A"
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != listening {
			continue
		}
		host, hexPort, ok := strings.Cut(fields[1], ":")
		if got, err := strconv.ParseUint(hexPort, 16, 16); !ok || err != nil || got != want {
			continue
		}
		if addr, err := kernelAddr(host); err == nil && !addr.IsLoopback() {
			return addr.String(), nil
		}
	}
	return "", lines.Err()
}

// kernelAddr reads an address as the kernel prints it: words of 32 bits in the byte
// order of the machine, which is little-endian wherever this runs.
func kernelAddr(hex string) (netip.Addr, error) {
	if len(hex) != 8 && len(hex) != 32 {
		return netip.Addr{}, errors.New("not an address")
	}
	raw := make([]byte, len(hex)/2)
	for i := range raw {
		b, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			return netip.Addr{}, err
		}
		raw[i/4*4+3-i%4] = byte(b)
	}
	addr, _ := netip.AddrFromSlice(raw)
	return addr.Unmap(), nil
}
