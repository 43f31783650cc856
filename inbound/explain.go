package inbound

import (
	"errors"
	"net/http"

	"outrider/internal/mesh"
	"outrider/internal/route"
	"outrider/policy"
)

// Explanation says what becomes of a request before any layer of a route.
type Explanation struct {
	Route  *mesh.Route // which rule matches; nil for none
	Others []Other     // rules that do not, those that came closest first
}

// Other is a rule that a request does not go by.
type Other struct {
	Route *mesh.Route
	route.Unmet
}

var errThrough = errors.New("through")

// through is an origin that requests of a rehearsal end at.
var through = mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, errThrough })

// Rehearse sends req through layers that change nothing but req, and returns the Fault
// that one of them stops it with, or the response that one answers with; neither
// where it came through.
func Rehearse(req *http.Request, layers ...mesh.Layer) (*http.Response, *mesh.Fault) {
	resp, err := mesh.Stack(through, layers...).RoundTrip(req)
	if err == nil || errors.Is(err, errThrough) {
		return resp, nil
	}
	return nil, mesh.AsFault(err)
}

// TooLarge returns the Fault that a request of this size ends with, nil where it is
// small enough.
func (g *Guard) TooLarge(req *http.Request) *mesh.Fault {
	_, fault := Rehearse(req, g.limits.layers()...) //nolint:bodyclose // these layers answer nothing
	return fault
}

// Explain normalises req, and says which rule it goes by and, of at most so many
// others, why not by them. The Fault says why its path has no normal form. Nothing is
// sent, spent or kept.
func (g *Guard) Explain(req *http.Request, most int) (Explanation, *mesh.Fault) {
	var x Explanation
	if _, fault := Rehearse(req, normalize); fault != nil { //nolint:bodyclose // this layer answers nothing
		return x, fault
	}
	meant := g.routes.meant(req)
	if rule, ok := g.routes.table.Lookup(meant); ok {
		x.Route = rule.Value.is
	}
	for _, m := range g.routes.table.Misses(meant, most) {
		x.Others = append(x.Others, Other{Route: m.Rule.Value.is, Unmet: m.Unmet})
	}
	return x, nil
}

// layers are those that bound sizes, in the order in which requests meet them.
func (l Limits) layers() []mesh.Layer {
	return []mesh.Layer{
		policy.MaxURI(l.URIBytes),
		policy.MaxHeaders(l.HeaderCount, l.HeaderBytes),
		policy.MaxBody(l.BodyBytes),
	}
}
