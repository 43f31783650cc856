package inbound

import (
	"errors"
	"fmt"
	"net/http"

	"outrider/internal/mesh"
	"outrider/internal/route"
)

// Config is what one guard does.
type Config struct {
	Limits     Limits
	PathLimits mesh.Layer // the rate limits that act by path on every request; nil means none
	Routes     []Route
}

// Limits bound a request's size. Zero means unlimited.
type Limits struct {
	URIBytes    int // of the request target
	HeaderCount int // field lines, as they came
	HeaderBytes int // of all field lines, as they came
	BodyBytes   int64
}

// Route is one rule and the layers that its requests meet. A nil layer is not there.
type Route struct {
	Match  route.Match
	Is     *mesh.Route // this route's alone
	Origin http.RoundTripper

	CORS         mesh.Layer
	AddressLimit mesh.Layer // a rate limit whose key is known before auth
	Auth         mesh.Layer
	SubjectLimit mesh.Layer // a rate limit whose key is known only after auth
	Transform    mesh.Layer
	Cache        mesh.Layer
	Rewrite      Rewrite
}

// Guard is a stack of rules: every request goes through it to the origin of the route
// that matches, or ends in a Fault.
type Guard struct {
	stack  http.RoundTripper
	limits Limits
	routes *routes
}

// RoundTrip sends req through the rules.
func (g *Guard) RoundTrip(req *http.Request) (*http.Response, error) { return g.stack.RoundTrip(req) }

// New returns the guard. Its error joins every fault of the routes, as
// *route.RuleError.
func New(c Config) (*Guard, error) {
	var errs []error
	rules := make([]route.Rule[chain], 0, len(c.Routes))
	for _, r := range c.Routes {
		through, err := r.chain()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		rules = append(rules, route.Rule[chain]{Match: r.Match, Line: r.Is.Line, Value: through})
	}
	routes, err := newRoutes(rules)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	g := &Guard{limits: c.Limits, routes: routes}
	// Sizes first: nothing below should read what is too large to be read.
	g.stack = mesh.Stack(
		routes,
		append(c.Limits.layers(),
			// Above every rule that matches by path, so that none can be slipped past.
			normalize,
			// Above the path limits: what they refuse is counted under its route, too. The
			// route's CORS stands here: a preflight carries no token and spends none.
			routes.match,
			// Above the routes' own layers: these limits act whatever matches.
			c.PathLimits)...,
	)
	return g, nil
}

// chain orders the layers of one route.
func (r Route) chain() (chain, error) {
	switch {
	case r.Is == nil:
		return chain{}, &route.RuleError{Message: fmt.Sprintf("route %s does not say what it is", r.Match.Path)}
	case r.Origin == nil:
		return chain{}, &route.RuleError{Line: r.Is.Line, Message: fmt.Sprintf("route %s leads nowhere: it has no origin", r.Match.Path)}
	}
	rewrite, err := r.Rewrite.Layer(r.Match.Path)
	if err != nil {
		return chain{}, &route.RuleError{Line: r.Is.Line, Message: fmt.Sprintf("route %s: %v", r.Match.Path, err)}
	}
	return chain{
		is:   r.Is,
		cors: r.CORS,
		through: mesh.Stack(r.Origin,
			// Above auth: a flood of strangers never reaches the auth service.
			r.AddressLimit,
			r.Auth,
			// Below auth: strangers spend nobody's tokens.
			r.SubjectLimit,
			// Above the cache: an envelope's timestamp is today's, not the stored answer's.
			r.Transform,
			// Below auth: a hit leaks nothing. Above retry: a hit costs no attempt.
			r.Cache,
			// Below the cache: two routes may rewrite to the same path of different services.
			rewrite,
		),
	}, nil
}

func normalize(next http.RoundTripper) http.RoundTripper {
	return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		if err := route.Normalize(req.URL); err != nil {
			return nil, err
		}
		return next.RoundTrip(req)
	})
}
