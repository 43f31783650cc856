package bridge

import (
	"net/http"
	"net/netip"
	"time"

	"outrider/internal/mesh"
)

// ForwardConfig says whom to believe.
type ForwardConfig struct {
	// TrustedProxies are the peers that may speak for others.
	TrustedProxies []netip.Prefix

	// TrustIdentity reports whether a peer with this verified identity may speak
	// for others. Nil trusts none; it is not asked about the empty identity.
	TrustIdentity func(mesh.Identity) bool

	// Protected lists the header fields that only we and trusted peers may set,
	// beside the forwarding ones: those of identity. A name may end in "*".
	Protected []string

	// Pseudonym stands in Forwarded's by as "_pseudonym". Empty leaves it out.
	Pseudonym string

	// FromApp says that the peers are our own app, which calls others: whom it acts for
	// it may have said in X-Forwarded-* and Forwarded, and that goes on as it is. Its own
	// address, a loopback one, would say nothing.
	FromApp bool

	// Gateway sets X-Gateway-Timestamp, in milliseconds since 1970.
	Gateway bool

	Now   func() time.Time // nil means the call's Start, and time.Now where that is not known
	NewID func() string    // nil makes UUIDs of version 7
}

// forwarder tells the service who calls.
type forwarder struct {
	ForwardConfig
	next    http.RoundTripper
	by      string // parameter of Forwarded, empty for none
	guarded Names  // what strangers may not send
	framing Names  // what nobody may send in another spelling
	person  Names  // what makes the answer one person's
}

// strangers may not send these, whatever the configuration protects. Many
// applications take the client's address from any of the second line; the third
// makes some take another path or host than the one that was authorised.
var strangers = [...]string{
	"X-Forwarded-*", "Forwarded", "X-Envoy-*", "X-Outrider-*", "X-Gateway-Timestamp", "X-Request-Id",
	"X-Real-Ip", "Client-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip",
	"X-Original-Url", "X-Rewrite-Url", "X-Original-Host",
}

// Forward returns the layer that decides whom to believe. It sets the Call's
// Client, Trusted, Personal and ID, removes what the peer may not say, and tells
// the service who calls in X-Forwarded-*, Forwarded and X-Request-ID. An OPTIONS
// request whose Max-Forwards is used up it answers itself.
//
// It must be above every layer that reads those fields or the Call's, and above
// every layer that edits the request: Personal is about what the client sent.
func Forward(c ForwardConfig) mesh.Layer {
	prefixes := make([]netip.Prefix, len(c.TrustedProxies))
	for i, p := range c.TrustedProxies {
		prefixes[i] = unmapped(p)
	}
	c.TrustedProxies = prefixes
	f := forwarder{
		ForwardConfig: c,
		guarded:       NewNames(append(strangers[:len(strangers):len(strangers)], c.Protected...)...),
		framing:       NewNames(append(hopFields[:len(hopFields):len(hopFields)], "Host", "Content-*", "Trailer", "Expect")...),
		person:        NewNames(append([]string{"Authorization", "Cookie", "Proxy-Authorization"}, c.Protected...)...),
	}
	if c.Pseudonym != "" {
		f.by = string(appendPair(nil, ";by=", "_"+c.Pseudonym))
	}
	return func(next http.RoundTripper) http.RoundTripper {
		f := f
		f.next = next
		return &f
	}
}

// RoundTrip rewrites the request's forwarding fields and marks the response with
// the request's ID.
func (f *forwarder) RoundTrip(req *http.Request) (*http.Response, error) {
	call := mesh.From(req)
	call.Trusted = f.trusts(call.Peer.Addr()) ||
		call.Source != "" && f.TrustIdentity != nil && f.TrustIdentity(call.Source)
	f.clean(req, call)
	claims := f.believe(req, call)
	call.Client = claims.client
	f.declare(req, call, &claims)

	resp, err := f.pass(req)
	if err != nil {
		return nil, err
	}
	if resp.Header == nil {
		resp.Header = make(http.Header)
	}
	resp.Header["X-Request-Id"] = call.List(call.ID)
	return resp, nil
}

// pass sends the request on, or answers one that may go no further.
func (f *forwarder) pass(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodOptions && !spend(req.Header) {
		header := http.Header{"Content-Length": {"0"}}
		return withStatus(&http.Response{StatusCode: http.StatusOK, Header: header, Body: http.NoBody, Request: req}), nil
	}
	return f.next.RoundTrip(req)
}

// trusts reports whether addr is one of the trusted proxies.
func (f *forwarder) trusts(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range f.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// unmapped returns p in plain IPv4 where it is written in mapped form.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// clean removes what the peer may not say, from the header and from the trailers
// that are announced and yet to come. Other spellings of a guarded name or of
// framing go whoever sent them: a trusted proxy that does not know them passes them
// through. So does Proxy, which CGI hands to programs as HTTP_PROXY.
func (f *forwarder) clean(req *http.Request, call *mesh.Call) {
	if f.remove(req.Header, call.Trusted) {
		call.Personal = true
	}
	if req.Trailer != nil {
		trusted := call.Trusted
		f.remove(req.Trailer, trusted)
		req.Body = &trailerGuard{ReadCloser: req.Body, clean: func() { f.remove(req.Trailer, trusted) }}
	}
}

// remove cleans a header, and reports whether what is left says who the person is.
func (f *forwarder) remove(header http.Header, trusted bool) (personal bool) {
	for name := range header {
		plain := plain(name)
		switch {
		case name == "Proxy", (!plain || !trusted) && f.guarded.has(name, plain), !plain && f.framing.has(name, plain):
			delete(header, name)
		case f.person.has(name, plain):
			personal = true
		}
	}
	return personal
}
