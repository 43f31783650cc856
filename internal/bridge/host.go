package bridge

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// maxHost bounds an authority, in bytes: that of a DNS name.
const maxHost = 255

// validHost reports whether authority is a DNS name, an IPv4 address or an IPv6
// address in brackets, with or without a port. RFC 3986 allows names that others
// cut at a comma, a quote or an escape, and then another host would be served than
// the one that was matched.
func validHost(authority string) bool {
	if len(authority) > maxHost {
		return false
	}
	end := strings.LastIndexByte(authority, ':')
	if end <= strings.LastIndexByte(authority, ']') { // the address's own colon, or none
		end = len(authority)
	} else if _, err := strconv.ParseUint(authority[end+1:], 10, 16); err != nil {
		return false
	}
	host := authority[:end]
	if literal, ok := strings.CutPrefix(host, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		addr, err := netip.ParseAddr(literal)
		return ok && err == nil && addr.Is6() && addr.Zone() == ""
	}
	return validName(host)
}

// validName reports whether name consists of labels. Its end may be the root's dot.
func validName(name string) bool {
	before := byte('.')
	for i := range len(name) {
		c := name[i]
		if c == '.' && before == '.' || c != '.' && c != '-' && c != '_' && !alphanumeric(c) {
			return false
		}
		before = c
	}
	return name != ""
}

// reached returns the address of ours that the client connected to, "" where that
// is not known.
func reached(ctx context.Context) string {
	local, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	addr, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return ""
	}
	return netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port()).String()
}
