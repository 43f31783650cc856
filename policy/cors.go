package policy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"outrider/internal/mesh"
)

// CORSConfig says which other origins' pages may call, in the words of the Gateway
// API's HTTPCORSFilter. In each list but ExposeHeaders, "*" stands alone.
type CORSConfig struct {
	AllowOrigins     []string      // "*", https://a.example, https://*.a.example (any depth), https://*; at least one
	AllowMethods     []string      // beyond GET, HEAD and POST, which need no leave; "*" is all
	AllowHeaders     []string      // request headers that pages may set; "*" is all
	ExposeHeaders    []string      // response headers that pages may read; "*" is all, and not with AllowCredentials
	AllowCredentials bool          // pages may send cookies and Authorization
	MaxAge           time.Duration // how long browsers remember a preflight, in whole seconds. Zero means 5s; negative means not at all
}

const defaultMaxAge = 5 * time.Second

// The response fields of the Fetch standard's CORS protocol.
const (
	allowOrigin      = "Access-Control-Allow-Origin"
	allowCredentials = "Access-Control-Allow-Credentials"
	allowMethods     = "Access-Control-Allow-Methods"
	allowHeaders     = "Access-Control-Allow-Headers"
	exposeHeaders    = "Access-Control-Expose-Headers"
	maxAge           = "Access-Control-Max-Age"
)

// cors is a CORSConfig made ready.
type cors struct {
	origins     origins
	methods     string // as the field has it; "*" is all
	headers     string
	expose      string
	credentials bool
	maxAge      string
}

// NewCORS returns a layer that lets pages of other origins call, as the Fetch
// standard has it. It answers preflights itself, 204 whether the origin is allowed
// or not, and so belongs above authentication, which they never pass. On other
// answers, Faults among them, it replaces whatever the service says of the matter.
// It refuses no request: the browser does.
//
// With credentials every origin that matches is named, never "*"; the opaque origin
// "null", which any page can take on, is then not allowed.
func NewCORS(c CORSConfig) (mesh.Layer, error) {
	p, err := newCORS(c)
	if err != nil {
		return nil, fmt.Errorf("cors: %w", err)
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if isPreflight(req) {
				mesh.From(req).Acts |= mesh.Preflight
				return p.preflight(req), nil
			}
			origin := theOrigin(req.Header) // now: layers below may edit the header
			resp, err := next.RoundTrip(req)
			if err != nil {
				return nil, amend(err, func(h http.Header) { p.share(nil, h, origin) }) // a Fault may outlive its call
			}
			p.share(mesh.From(req), resp.Header, origin)
			return resp, nil
		})
	}, nil
}

func newCORS(c CORSConfig) (*cors, error) {
	origins, err := parseOrigins(c.AllowOrigins)
	errs := []error{
		err,
		checkNames("allowed methods", c.AllowMethods),
		checkNames("allowed headers", c.AllowHeaders),
		checkNames("exposed headers", c.ExposeHeaders),
	}
	if c.AllowCredentials && slices.Contains(c.ExposeHeaders, "*") {
		errs = append(errs, errors.New(`exposed headers: "*" means nothing with credentials: list them`))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if c.MaxAge == 0 {
		c.MaxAge = defaultMaxAge
	}
	return &cors{
		origins:     origins,
		methods:     strings.Join(c.AllowMethods, ", "),
		headers:     strings.Join(c.AllowHeaders, ", "),
		expose:      strings.Join(c.ExposeHeaders, ", "),
		credentials: c.AllowCredentials,
		maxAge:      strconv.Itoa(max(0, int(c.MaxAge/time.Second))),
	}, nil
}

// checkNames holds a list to tokens (RFC 9110, section 5.6.2), "*" being one.
func checkNames(what string, names []string) error {
	for _, name := range names {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("%s: %q is not a name", what, name)
		}
		if name == "*" && len(names) > 1 {
			return fmt.Errorf(`%s: "*" allows all: list nothing beside it`, what)
		}
	}
	return nil
}

func isPreflight(req *http.Request) bool {
	return req.Method == http.MethodOptions && len(req.Header["Origin"]) > 0 &&
		len(req.Header["Access-Control-Request-Method"]) > 0
}

// theOrigin returns where the request comes from, empty if that is not said or not
// said clearly.
func theOrigin(h http.Header) string {
	if v := h["Origin"]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// preflight answers the question whether a request may come.
func (p *cors) preflight(req *http.Request) *http.Response {
	h := make(http.Header)
	h.Set("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	if p.admit(mesh.From(req), h, theOrigin(req.Header)) {
		h.Set(maxAge, p.maxAge)
		if methods := p.allowedMethods(req.Header); methods != "" {
			h.Set(allowMethods, methods)
		}
		if headers := p.allowedHeaders(req.Header); headers != "" {
			h.Set(allowHeaders, headers)
		}
	}
	return reply(req, http.StatusNoContent, h, "")
}

// allowedMethods names the method that was asked for where all are allowed: with
// credentials a "*" in the field would be a method of that name.
func (p *cors) allowedMethods(h http.Header) string {
	if p.methods != "*" || !p.credentials {
		return p.methods
	}
	return tokens(h["Access-Control-Request-Method"])
}

// allowedHeaders names the headers that were asked for where all are allowed: "*"
// in the field never covers Authorization.
func (p *cors) allowedHeaders(h http.Header) string {
	if p.headers != "*" {
		return p.headers
	}
	return tokens(h["Access-Control-Request-Headers"])
}

// tokens returns the list that lines hold, or nothing where that is not one of
// tokens: nothing else is ever sent back.
func tokens(lines []string) string {
	list := strings.Join(lines, ", ")
	for name := range strings.SplitSeq(list, ",") {
		if !httpguts.ValidHeaderFieldName(strings.Trim(name, " \t")) {
			return ""
		}
	}
	return list
}

// share says on an answer whether pages of origin may read it. What it adds to the header
// is of call.
func (p *cors) share(call *mesh.Call, h http.Header, origin string) {
	for _, name := range [...]string{allowOrigin, allowCredentials, allowMethods, allowHeaders, exposeHeaders, maxAge} {
		delete(h, name)
	}
	if !p.constant() {
		addVary(call, h)
	}
	if p.admit(call, h, origin) && p.expose != "" {
		call.Set(h, exposeHeaders, p.expose)
	}
}

// constant reports whether every request is told the same: "*".
func (p *cors) constant() bool { return p.origins.all && !p.credentials }

// admit names the origin in h if it is allowed. The constant "*" is given to
// requests without Origin as well: a shared cache may hand the answer to a page
// (Fetch standard, "CORS protocol and HTTP caches").
func (p *cors) admit(call *mesh.Call, h http.Header, origin string) bool {
	switch {
	case p.constant():
		call.Set(h, allowOrigin, "*")
		return true
	case !p.origins.allow(origin):
		return false
	}
	call.Set(h, allowOrigin, origin)
	if p.credentials {
		call.Set(h, allowCredentials, "true")
	}
	return true
}

// addVary has caches keep answers to different origins apart.
func addVary(call *mesh.Call, h http.Header) {
	for _, line := range h["Vary"] {
		if httpguts.HeaderValuesContainsToken([]string{line}, "Origin") || strings.TrimSpace(line) == "*" {
			return
		}
	}
	call.Add(h, "Vary", "Origin")
}
