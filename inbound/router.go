package inbound

import (
	"errors"
	"fmt"
	"net/http"

	"outrider/internal/mesh"
	"outrider/internal/route"
)

// chain is one route's layers and origin, put together.
type chain struct {
	is      *mesh.Route
	cors    mesh.Layer // nil: the route answers no preflight
	through http.RoundTripper
}

// routes says which route a request meets, and takes it there.
type routes struct {
	table  *route.Table[chain]
	chains map[*mesh.Route]chain
}

func newRoutes(rules []route.Rule[chain]) (*routes, error) {
	table, err := route.NewTable(rules)
	if err != nil {
		return nil, err
	}
	r := &routes{table: table, chains: make(map[*mesh.Route]chain, len(rules))}
	var errs []error
	for _, rule := range rules {
		is := rule.Value.is
		if _, taken := r.chains[is]; taken { // its requests would go down the other's layers
			errs = append(errs, &route.RuleError{Line: rule.Line, Message: fmt.Sprintf("route %s says that it is another", rule.Match.Path)})
		}
		r.chains[is] = rule.Value
	}
	return r, errors.Join(errs...)
}

// match is the layer that writes the call's Route: the most specific one, nil when
// none matches. The route's CORS stands here, above the path limits: a preflight
// spends no tokens, and a page must be able to read a 429.
func (r *routes) match(next http.RoundTripper) http.RoundTripper {
	shared := make(map[*mesh.Route]http.RoundTripper)
	for is, c := range r.chains {
		if c.cors != nil {
			shared[is] = c.cors(next)
		}
	}
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		found, ok := r.find(req)
		if !ok {
			return next.RoundTrip(req)
		}
		mesh.From(req).Route = found.is
		if found.cors != nil {
			return shared[found.is].RoundTrip(req)
		}
		return next.RoundTrip(req)
	})
}

// RoundTrip sends the request down the layers of the call's Route.
func (r *routes) RoundTrip(req *http.Request) (*http.Response, error) {
	to, ok := r.chains[mesh.From(req).Route]
	if !ok {
		return nil, &mesh.Fault{Kind: mesh.NoRoute}
	}
	return to.through.RoundTrip(req)
}

// find returns the route that req goes by.
func (r *routes) find(req *http.Request) (chain, bool) {
	rule, ok := r.table.Lookup(r.meant(req))
	if !ok {
		return chain{}, false
	}
	return rule.Value, true
}

// meant returns what routes are to match for req: a CORS preflight counts as the
// request that it asks about, where that one's route answers it. A route of `methods:
// [PUT]` would never see the OPTIONS that goes before its PUT.
func (r *routes) meant(req *http.Request) *http.Request {
	if req.Method != http.MethodOptions || req.Header.Get("Origin") == "" {
		return req
	}
	asked := req.Header.Get("Access-Control-Request-Method")
	if asked == "" {
		return req
	}
	about := *req
	about.Method = asked
	if rule, ok := r.table.Lookup(&about); ok && rule.Value.cors != nil {
		return &about
	}
	return req
}
