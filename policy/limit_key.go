package policy

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/net/http/httpguts"

	"outrider/internal/mesh"
)

// Key says by what a Limiter tells clients apart. The zero Key is ClientIP.
type Key struct {
	by     keyKind
	header string
}

type keyKind int

const (
	byClientIP keyKind = iota
	byHeader
	bySubject
)

// ClientIP tells clients apart by Call.Client: an IPv4 address, or the /64 network
// of an IPv6 address, which is the least that one customer is given.
func ClientIP() Key { return Key{} }

// Header tells clients apart by the first value of a request header, and by
// address where the request has none. A client chooses what it sends: this
// bounds those who prove the header's worth elsewhere, such as by an API key.
func Header(name string) Key {
	return Key{by: byHeader, header: http.CanonicalHeaderKey(name)}
}

// Subject tells clients apart by Call.Subject, and by address where the call has
// none. Such a Limiter belongs below the Auth that sets it.
func Subject() Key { return Key{by: bySubject} }

// ParseKey reads a key as the configuration has it: client_ip, header:NAME or
// subject.
func ParseKey(s string) (Key, error) {
	name, isHeader := strings.CutPrefix(s, "header:")
	switch {
	case s == "client_ip":
		return ClientIP(), nil
	case s == "subject":
		return Subject(), nil
	case !isHeader:
		return Key{}, fmt.Errorf("rate limit key %q: want client_ip, header:NAME or subject", s)
	case !httpguts.ValidHeaderFieldName(name):
		return Key{}, fmt.Errorf("rate limit key %q: %q is not a header name", s, name)
	case strings.EqualFold(name, "Host"):
		// It would be found in no request's header, and so mean the address.
		return Key{}, fmt.Errorf("rate limit key %q: every client may send any Host: want client_ip, another header or subject", s)
	}
	return Header(name), nil
}

// BySubject reports whether the key is Subject: whether the Limiter belongs below
// authentication.
func (k Key) BySubject() bool { return k.by == bySubject }

// String returns the key as ParseKey reads it.
func (k Key) String() string {
	switch k.by {
	case byHeader:
		return "header:" + k.header
	case bySubject:
		return "subject"
	default:
		return "client_ip"
	}
}

// client is a client's name in the table: what it is named by, and the name. It
// has one size whatever a header holds, and keeps no secret that a header held.
type client [16]byte

const (
	unknownClient = iota
	ipv4Client
	ipv6Client
	textClient
)

// of returns who sent the request.
func (k Key) of(req *http.Request) client {
	call := mesh.From(req)
	switch k.by {
	case byHeader:
		if v := req.Header[k.header]; len(v) > 0 && v[0] != "" {
			return textName(v[0])
		}
	case bySubject:
		if call.Subject != "" {
			return textName(call.Subject)
		}
	}
	addr := call.Client
	if !addr.IsValid() { // a stack without a forwarding layer
		addr = call.Peer.Addr()
	}
	return addressName(addr)
}

// textName names a client by a digest. It is of a kind of its own, so that a
// header that spells an address spends nobody else's tokens.
func textName(s string) (c client) {
	var buf [128]byte // a longer text costs an allocation
	sum := sha256.Sum256(append(buf[:0], s...))
	c[0] = textClient
	copy(c[1:], sum[:])
	return c
}

// addressName names a client by its address. Clients without any share a name.
func addressName(addr netip.Addr) (c client) {
	switch addr = addr.Unmap(); {
	case addr.Is4():
		c[0] = ipv4Client
		b := addr.As4()
		copy(c[1:], b[:])
	case addr.Is6():
		c[0] = ipv6Client
		b := addr.As16()
		copy(c[1:], b[:8])
	default:
		c[0] = unknownClient
	}
	return c
}
