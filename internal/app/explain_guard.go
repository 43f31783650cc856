package app

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"outrider/inbound"
	"outrider/internal/bridge"
	"outrider/internal/config"
	"outrider/internal/explain"
	"outrider/internal/mesh"
	"outrider/outbound"
	"outrider/policy"
	"outrider/policy/cache"
)

// mostOthers bounds the rules that are told of beside the one that matches.
const mostOthers = 8

// server is what stands before the stack.
func (x *explanation) server() bool {
	if f := bridge.Refusal(x.req, x.way.pseudonym); f != nil {
		return x.stop("server", f)
	}
	x.way.hops.Strip(x.req.Header)
	return true
}

// forward finds out who the client is, by the layer itself: it changes nothing but the
// request.
func (x *explanation) forward() bool {
	if resp, f := inbound.Rehearse(x.req, x.way.forward); f != nil {
		return x.stop("forward", f)
	} else if resp != nil {
		resp.Body.Close()
		return x.answer("forward", resp.StatusCode, "OPTIONS with a Max-Forwards of 0 goes no further")
	}
	x.report.Client = x.call.Client.String()
	says := "the client is " + x.report.Client
	switch {
	case !x.call.Trusted:
		says += ", the other end of the socket: it is not trusted to speak for others"
	case x.way.direction == "outbound":
		says += ": the app is believed"
	default:
		says += ": the other end of the socket is trusted to speak for others"
	}
	x.layer("forward", explain.Edits, says, x.set("trusted_proxies", len(x.g.cfg.TrustedProxies)))
	return true
}

// sizes is what the request may not exceed.
func (x *explanation) sizes() bool {
	limits := x.g.cfg.Limits
	if f := x.way.guard.TooLarge(x.req); f != nil {
		return x.stop("sizes", f, x.sizeSetting(f.Kind))
	}
	x.layer("sizes", explain.Passes, fmt.Sprintf("a target of %d bytes, %d header fields of %d bytes, a body of %d",
		len(x.req.URL.RequestURI()), x.call.Fields, x.call.FieldBytes, x.req.ContentLength),
		x.set("limits.uri_bytes", limits.URIBytes), x.set("limits.header_count", limits.HeaderCount),
		x.set("limits.header_bytes", limits.HeaderBytes), x.set("limits.body_bytes", limits.BodyBytes))
	return true
}

// match is normalise and match.
func (x *explanation) match() bool {
	came := x.req.URL.EscapedPath()
	found, f := x.way.guard.Explain(x.req, mostOthers)
	if f != nil {
		return x.stop("normalise", f)
	}
	x.report.Path = x.req.URL.EscapedPath()
	if x.report.Path == came {
		x.layer("normalise", explain.Passes, "the path is in normal form")
	} else {
		x.layer("normalise", explain.Edits, came+" becomes "+x.report.Path)
	}
	for _, o := range found.Others {
		if o.Want != "" && strings.HasPrefix(o.Failed, "header ") && config.Sensitive(o.Failed) {
			o.Want = "a value that is not shown"
		}
		x.report.Others = append(x.report.Others, explain.Other{Route: x.routeOf(o.Route), Failed: o.Failed, Want: o.Want, Got: o.Got})
	}
	if found.Route == nil {
		x.layer("match", explain.Passes, "no route: only what acts on every request is met")
		return true
	}
	x.plan, x.call.Route = x.g.plans[found.Route], found.Route
	is := x.routeOf(found.Route)
	x.report.Route = &is
	x.layer("match", explain.Passes, "the route "+is.Name)
	return true
}

func (x *explanation) sizeSetting(kind mesh.Kind) explain.Setting {
	limits := x.g.cfg.Limits
	switch kind {
	case mesh.URITooLong:
		return x.set("limits.uri_bytes", limits.URIBytes)
	case mesh.BodyTooLarge:
		return x.set("limits.body_bytes", limits.BodyBytes)
	}
	if x.call.Fields > limits.HeaderCount {
		return x.set("limits.header_count", limits.HeaderCount)
	}
	return x.set("limits.header_bytes", limits.HeaderBytes)
}

// routeOf says where a rule stands.
func (x *explanation) routeOf(is *mesh.Route) explain.Route {
	r := explain.Route{Name: is.Name}
	p := x.g.plans[is]
	if p == nil {
		return r
	}
	if len(p.rule.Hosts) > 0 {
		r.Name = strings.Join(p.rule.Hosts, ",") + r.Name
	}
	r.Key, r.From = p.key, x.g.cfg.Origin(p.key).String()
	if p.rule.Line == 0 {
		r.Key = "follows from " + p.key
	}
	return r
}

// cors lets the layer itself say what it would: it changes nothing but the answer.
func (x *explanation) cors() bool {
	if x.plan == nil || x.plan.made.CORS == nil {
		return true
	}
	below := mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
	})
	resp, err := x.plan.made.CORS(below).RoundTrip(x.req)
	if err != nil {
		return x.stop("cors", mesh.AsFault(err))
	}
	resp.Body.Close()
	says := "no page of another origin asks"
	if origin := x.req.Header.Get("Origin"); origin != "" {
		says = "pages of " + origin + " may read the answer"
		if resp.Header.Get("Access-Control-Allow-Origin") == "" {
			says = "pages of " + origin + " may not read the answer"
		}
	}
	settings := x.set("cors.allow_origins", x.corsOrigins(), config.Key(x.plan.key, "cors", "allow_origins"), "cors.allow_origins")
	if resp.StatusCode == http.StatusNoContent {
		return x.answer("cors", resp.StatusCode, "a preflight: "+says, settings)
	}
	x.layer("cors", explain.Edits, says, settings)
	return true
}

func (x *explanation) corsOrigins() []string {
	if x.plan.rule.CORS != nil {
		return x.plan.rule.CORS.AllowOrigins
	}
	return x.g.cfg.CORS.AllowOrigins
}

func (x *explanation) pathLimit() bool {
	if x.way.paths == nil {
		return true
	}
	rule, ok := x.way.paths.Lookup(x.req)
	if !ok {
		x.layer("path limits", explain.Passes, "no limit by path matches")
		return true
	}
	key := config.Key("rate_limiting.paths", rule.Value.Path)
	return x.limit("path limits", rule.Value.Limiter, [][]string{{config.Key(key, "requests_per_minute")}, {config.Key(key, "burst")}})
}

// limit says what is left to the client. keys are those of the rate and of the burst.
func (x *explanation) limit(name string, l *policy.Limiter, keys [][]string) bool {
	left := l.Peek(x.req)
	settings := []explain.Setting{
		x.set("requests_per_minute", left.Rate.PerMinute, keys[0]...),
		x.set("burst", left.Rate.Burst, keys[1]...),
	}
	says := fmt.Sprintf("%d of %d requests left to this client, told apart by %s", left.Remaining, left.Rate.Burst, left.Key)
	if !left.Allowed {
		return x.stop(name, &mesh.Fault{Kind: mesh.Limited, Message: fmt.Sprintf("Too many requests: %s; the next in %s.", says, left.Reset)}, settings...)
	}
	x.layer(name, explain.Passes, says, settings...)
	return true
}

// known ends where no rule matches.
func (x *explanation) known() bool {
	if x.plan != nil {
		return true
	}
	x.stop("routes", &mesh.Fault{Kind: mesh.NoRoute})
	if len(x.report.Others) > 0 {
		x.report.Verdict += " Closest is " + x.report.Others[0].Name + ", " + x.report.Others[0].From + "."
	}
	return false
}

func (x *explanation) addressLimit() bool { return x.ownLimit(false) }
func (x *explanation) subjectLimit() bool { return x.ownLimit(true) }

// ownLimit is the route's own limit, where it stands at this side of auth.
func (x *explanation) ownLimit(bySubject bool) bool {
	p := x.plan
	if p.limit == nil || (p.made.SubjectLimit != nil) != bySubject {
		return true
	}
	if bySubject && x.call.Subject == "" {
		x.layer("rate limit", explain.Passes, "by whom the token names, which only the auth service knows", x.listed("rate-limit"))
		return true
	}
	own, general := config.Key(p.key, "rate_limiting", "default"), "rate_limiting.default"
	return x.limit("rate limit", p.limit, [][]string{
		{config.Key(own, "requests_per_minute"), general + ".requests_per_minute"},
		{config.Key(own, "burst"), general + ".burst"},
	})
}

// listed is the middleware list that has the route do so.
func (x *explanation) listed(name string) explain.Setting {
	keys := []string{config.Key(x.plan.key, "middleware")}
	if x.way.direction == "inbound" {
		keys = append(keys, "inbound.middleware")
		if slices.Contains(x.g.cfg.Inbound.Middleware, name) {
			slices.Reverse(keys)
		}
	}
	return x.set("middleware", name, keys...)
}

func (x *explanation) auth() bool {
	p := x.plan
	if p.auth == nil {
		return true
	}
	settings, own := &x.g.cfg.Auth, config.Key(p.key, "auth")
	if p.rule.Auth != nil {
		settings = p.rule.Auth
	}
	shown := []explain.Setting{
		x.listed("auth"),
		x.set("validate_url", settings.ValidateURL, config.Key(own, "validate_url"), "auth.validate_url"),
		x.set("timeout", settings.Timeout, config.Key(own, "timeout"), "auth.timeout"),
		x.set("cache_ttl", settings.CacheTTL, config.Key(own, "cache_ttl"), "auth.cache_ttl"),
	}
	v := p.auth.Peek(x.req.Header)
	x.call.Personal = true
	switch {
	case v.Fault != nil && v.Known:
		v.Fault.Message = fmt.Sprintf("%s: the auth service refused it lately, which is believed for another %s.", v.Fault.Text(), v.Left.Round(time.Second))
		return x.stop("auth", v.Fault, shown...)
	case v.Fault != nil:
		return x.stop("auth", v.Fault, shown...)
	case v.Known:
		x.call.Subject = v.Subject
		x.layer("auth", explain.Passes, fmt.Sprintf("the token is believed for another %s without asking", v.Left.Round(time.Second)), shown...)
		return true
	}
	ask, _ := http.NewRequestWithContext(x.req.Context(), http.MethodGet, settings.ValidateURL, nil) // validated on loading
	if plan := p.asks.Explain(outbound.Override{}, ask, x.call); plan.Balance.Fault != nil {
		f := &mesh.Fault{Kind: mesh.AuthFailed, Message: "Auth validation failed: " + plan.Balance.Fault.Error()}
		return x.stop("auth", f, slices.Concat(shown[1:], shown[:1])...)
	}
	x.layer("auth", explain.Asks, "the token is not known yet: the service "+p.asks.name+" would be asked", shown...)
	return true
}

func (x *explanation) transform() bool {
	p := x.plan
	if p.made.Transform == nil {
		return true
	}
	t := &x.g.cfg.Transform
	if p.rule.Transform != nil {
		t = p.rule.Transform
	}
	_, _ = inbound.Rehearse(x.req, p.made.Transform) //nolint:bodyclose // the layer answers nothing
	own := config.Key(p.key, "transform")
	settings := []explain.Setting{x.listed("transform"), x.set("envelope", t.Envelope, config.Key(own, "envelope"), "transform.envelope")}
	for _, e := range []struct {
		name string
		edit config.HeaderEdit
	}{{"request", t.Request}, {"response", t.Response}} {
		for _, how := range []struct {
			name  string
			names []string
		}{{"set", slices.Sorted(maps.Keys(e.edit.Set))}, {"add", slices.Sorted(maps.Keys(e.edit.Add))}, {"remove", e.edit.Remove}} {
			if len(how.names) > 0 {
				settings = append(settings, x.set(e.name+"."+how.name, how.names, config.Key(own, e.name, how.name), config.Key("transform", e.name, how.name)))
			}
		}
	}
	x.layer("transform", explain.Edits, "headers, and JSON answers where there is an envelope", settings...)
	return true
}

func (x *explanation) cache() bool {
	p := x.plan
	if p.cache == nil {
		return true
	}
	c := x.g.cfg.Cache
	if p.rule.Cache != nil {
		c = *p.rule.Cache
	}
	settings := []explain.Setting{x.listed("cache"), x.set("ttl", time.Duration(c.TTL), config.Key(p.key, "cache", "ttl"), "cache.ttl")}
	switch found := p.cache.Peek(x.req); found.Result {
	case cache.Hit:
		return x.answer("cache", found.Status, fmt.Sprintf("a hit, %s old and fresh for another %s", found.Age.Round(time.Second), found.Left.Round(time.Second)), settings...)
	case cache.Unsatisfied:
		return x.stop("cache", &mesh.Fault{Kind: mesh.NotCached}, settings...)
	case cache.Bypass:
		x.layer("cache", explain.Passes, "is passed by: "+bypassed[found.Why], settings...)
	default:
		x.layer("cache", explain.Passes, "a miss: "+cmp.Or(missed[found.Why], "nothing is kept that would do"), settings...)
	}
	return true
}

// bypassed and missed say in words what Cache-Status says in tokens.
var (
	bypassed = map[string]string{
		"method":  "only GET and HEAD are answered from it",
		"bypass":  "the request is one person's, asks for a part, or has a body",
		"request": "the request says no-store",
	}
	missed = map[string]string{
		"uri-miss":  "nothing is kept of this URL",
		"vary-miss": "what is kept was chosen by other header fields",
		"stale":     "what is kept is no longer fresh",
		"request":   "the request does not want what is kept",
	}
)

func (x *explanation) rewrite() bool {
	p := x.plan
	layer, err := p.made.Rewrite.Layer(p.made.Match.Path)
	if err != nil || layer == nil { // an error has been reported when the rule was made
		return true
	}
	path, host := x.req.URL.EscapedPath(), x.req.Host
	_, _ = inbound.Rehearse(x.req, layer) //nolint:bodyclose // the layer answers nothing
	says := path + " becomes " + x.req.URL.EscapedPath()
	if x.req.Host != host {
		says += ", " + host + " becomes " + x.req.Host
	}
	var settings []explain.Setting
	if w := p.made.Rewrite; w.StripPath {
		settings = append(settings, x.set("strip_path", true, config.Key(p.key, "strip_path")))
	} else if w.Path != "" {
		settings = append(settings, x.set("rewrite.path", w.Path, config.Key(p.key, "rewrite", "path")))
	}
	if p.made.Rewrite.Host != "" {
		settings = append(settings, x.set("rewrite.host", p.made.Rewrite.Host, config.Key(p.key, "rewrite", "host")))
	}
	x.layer("rewrite", explain.Edits, says, settings...)
	return true
}
