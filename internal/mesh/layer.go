package mesh

import "net/http"

// Layer wraps a RoundTripper in another. To stop a request it returns a *Fault;
// only a layer whose answer is the point (a cache hit, a redirect, a direct
// response) makes a Response of its own.
type Layer func(next http.RoundTripper) http.RoundTripper

// RoundTripFunc is a function as an [http.RoundTripper].
type RoundTripFunc func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f RoundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Stack applies layers to origin; a request meets them in the order listed. A
// nil layer is passed over, so that an optional one can stand in the list.
func Stack(origin http.RoundTripper, layers ...Layer) http.RoundTripper {
	for i := len(layers) - 1; i >= 0; i-- {
		if layers[i] != nil {
			origin = layers[i](origin)
		}
	}
	return origin
}
