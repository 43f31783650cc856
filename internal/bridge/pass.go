package bridge

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"outrider/internal/mesh"
)

// pass removes from a response what belongs to the endpoint's connection, and says by
// whom it was passed on.
func (e *Edge) pass(call *mesh.Call, resp *http.Response) {
	e.hops.Strip(resp.Header)
	e.hops.StripTrailer(resp.Trailer)
	if resp.ProtoMajor > 0 { // zero: a layer made it, nobody forwards it
		e.vias.add(call, resp.Header, resp.ProtoMajor, resp.ProtoMinor)
	}
}

// passSwitch is pass for a 101.
func (e *Edge) passSwitch(call *mesh.Call, resp *http.Response) {
	protocol := resp.Header.Get("Upgrade")
	e.hops.Strip(resp.Header)
	setUpgrade(resp.Header, protocol)
	e.vias.add(call, resp.Header, 1, 1)
}

// frame readies a response for a server that goes by ContentLength, Trailer and Close.
func (e *Edge) frame(req *http.Request, resp *http.Response, protocols string) {
	resp.Close = false // it was about the endpoint's connection
	if protocols != "" {
		setUpgrade(resp.Header, protocols)
	}
	switch {
	case req.Method == http.MethodHead:
		if n, ok := lengthOf(resp.Header); ok { // a layer may have said it there alone
			resp.ContentLength = n
		}
	case len(resp.Trailer) > 0 && req.ProtoAtLeast(1, 1):
		resp.ContentLength = -1 // only a chunked body has a trailer section
	}
}

// wanted returns the protocols without which the endpoint refuses to serve, which a
// 426 has to name (RFC 9110, section 15.5.22), where the client's own has upgrades.
func wanted(req *http.Request, resp *http.Response) string {
	if resp.StatusCode != http.StatusUpgradeRequired || req.ProtoMajor != 1 || req.ProtoMinor < 1 {
		return ""
	}
	return strings.Join(resp.Header["Upgrade"], ", ")
}

var errUnasked = errors.New("the endpoint switched protocols unasked")

// switched returns what is wrong with a 101, nil for nothing: its body is the endpoint's
// side of a tunnel. Whole says that the endpoint has had all of the request.
func switched(resp *http.Response, upgrade string, whole bool) error {
	_, ok := resp.Body.(io.ReadWriteCloser)
	switch {
	case upgrade == "":
		return errUnasked
	case !ok:
		return errors.New("the endpoint's connection cannot be written to")
	case !offered(upgrade, resp.Header.Get("Upgrade")):
		return errors.New("the endpoint switched to a protocol that was not offered")
	case !whole:
		return errors.New("the endpoint switched protocols before it had the request's body")
	}
	return nil
}

// offered reports whether protocol is one of those in offers.
func offered(offers, protocol string) bool {
	for offer := range tokens([]string{offers}) {
		if folds(offer, protocol) {
			return true
		}
	}
	return false
}
