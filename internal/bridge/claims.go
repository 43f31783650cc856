package bridge

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"outrider/internal/mesh"
)

// claims is what is known about the client.
type claims struct {
	client netip.Addr // the last address that no trusted proxy vouches for

	// What came in, before us.
	forwardedFor string
	forwarded    string

	origin        // of the client's own request
	port   string // that it connected to
	ours   origin // of the request that came to us
}

// origin is what a request was addressed to.
type origin struct{ proto, host string }

// believe returns what is to be said about the request's client. What a trusted
// peer says counts.
func (f *forwarder) believe(req *http.Request, call *mesh.Call) claims {
	ours := origin{proto: "http", host: req.Host}
	if ours.host == "" {
		ours.host = reached(req.Context())
	}
	if call.Secure {
		ours.proto = "https"
	}
	c := claims{client: plainAddr(call.Peer), origin: ours, ours: ours}
	if call.Trusted {
		f.hear(&c, req.Header)
	}
	if c.port == "" {
		c.port = portOf(c.host, c.proto)
	}
	return c
}

// hear takes over what a trusted peer says about the client. Of the X-Forwarded
// family and Forwarded it believes one: Forwarded only without X-Forwarded-For. The
// other is written anew from it: a proxy that keeps one of them hands the other
// through from whoever made it up.
func (f *forwarder) hear(c *claims, header http.Header) {
	if len(header["X-Forwarded-For"]) == 0 && len(header["Forwarded"]) > 0 {
		f.hearReports(c, strings.Join(header["Forwarded"], ", "))
		return
	}
	c.take(first(header["X-Forwarded-Proto"]), first(header["X-Forwarded-Host"]), first(header["X-Forwarded-Port"]))
	if len(header["X-Forwarded-For"]) > 0 {
		c.forwardedFor = strings.Join(header["X-Forwarded-For"], ", ")
		c.forwarded = elements(c.forwardedFor, c.origin)
		c.client, _ = f.walk(c.forwardedFor, c.client)
	}
}

// hearReports takes over what Forwarded says. What the client was asking for stands
// in the first report by a proxy that we trust: those before it are the client's own.
func (f *forwarder) hearReports(c *claims, field string) {
	reports, ok := parseReports(field)
	if !ok {
		return
	}
	c.forwardedFor, c.forwarded = chainOf(reports), field
	client, entries := f.walk(c.forwardedFor, c.client)
	c.client = client
	if entries > 0 {
		outermost := reports[len(reports)-entries]
		c.take(outermost.proto, outermost.host, "")
	}
}

// take takes over where the client's own request went, as far as it makes sense.
func (c *claims) take(proto, host, port string) {
	if proto = strings.ToLower(proto); proto == "http" || proto == "https" {
		c.proto = proto
	}
	if validHost(host) {
		c.host = host
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
		c.port = strconv.FormatUint(n, 10)
	}
}

// walk returns the client in a chain of addresses: from the right, past those that
// we trust. What is no address cannot be vouched for, so whoever reported it
// stands for it. It says too how many entries it took, the client's with them.
func (f *forwarder) walk(chain string, last netip.Addr) (client netip.Addr, entries int) {
	for chain != "" {
		entries++
		i := strings.LastIndexByte(chain, ',')
		addr, ok := nodeAddr(strings.Trim(chain[i+1:], " \t"))
		if !ok {
			return last, entries
		}
		last = addr
		if !f.trusts(addr) {
			return last, entries
		}
		chain = chain[:max(i, 0)]
	}
	return last, entries
}

// nodeAddr returns the address in an entry, with or without a port.
func nodeAddr(entry string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]")); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(entry); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// plainAddr returns the peer's address in the one form that we compare.
func plainAddr(peer netip.AddrPort) netip.Addr { return peer.Addr().Unmap().WithZone("") }

// portOf returns the port that a client of this authority connected to.
func portOf(host, proto string) string {
	if strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']') { // else there is none, which SplitHostPort would make an error of
		if _, port, err := net.SplitHostPort(host); err == nil && port != "" {
			return port
		}
	}
	if proto == "https" {
		return "443"
	}
	return "80"
}

// first returns the first member of a list field: proxies that append put the
// client's own there.
func first(values []string) string {
	for token := range tokens(values) {
		return token
	}
	return ""
}
