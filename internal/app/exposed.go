package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// socketTables are where Linux lists its sockets. Elsewhere they are missing, and
// nothing is known.
var socketTables = [...]string{"/proc/net/tcp", "/proc/net/tcp6"}

// warnExposed warns where the app can be reached around its guard.
func (p *Proxy) warnExposed(app string) {
	if why := exposed(app, p.table); why != "" {
		p.log.Warn("the app is exposed: whoever reaches it goes around its guard", "service.app", app, "why", why)
	}
}

// openFile is os.Open as [Proxy] has it.
func openFile(name string) (io.ReadCloser, error) { return os.Open(name) }

// exposed returns how an app can be reached from other machines, and what would be
// right; "" where it cannot, as far as the tables tell.
func exposed(app string, open func(name string) (io.ReadCloser, error)) string {
	if addr, err := netip.ParseAddrPort(app); err == nil && !addr.Addr().IsLoopback() {
		return "it is not on this machine's loopback: have it listen on 127.0.0.1, and name that in service.app"
	}
	_, port, err := net.SplitHostPort(app)
	if err != nil {
		return ""
	}
	for _, name := range socketTables {
		table, err := open(name)
		if err != nil {
			continue // not Linux, or no IPv6
		}
		at, err := publicListener(table, port)
		table.Close()
		if err == nil && at != "" {
			return fmt.Sprintf("it listens on %s: have it listen on 127.0.0.1", net.JoinHostPort(at, port))
		}
	}
	return ""
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
