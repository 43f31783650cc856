package policy

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/route"
)

// Layer refuses the requests of a client whose bucket is empty with a Limited
// Fault, and says on every answer what is left, by the fields RateLimit-Policy and
// RateLimit (draft-ietf-httpapi-ratelimit-headers-09). The quota is the bucket and
// the window the time that it takes to fill. The fields are added to those that
// are there already, each limiter's as a member of the list.
func (l *Limiter) Layer() mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			return l.roundTrip(next, req)
		})
	}
}

func (l *Limiter) roundTrip(next http.RoundTripper, req *http.Request) (*http.Response, error) {
	v := l.take(l.key.of(req))
	if !v.allowed {
		f := &mesh.Fault{Kind: mesh.Limited, RetryAfter: v.reset, Rule: l.is, Header: make(http.Header, 2)}
		l.report(nil, f.Header, v)
		return nil, f
	}
	call := mesh.From(req)
	call.Acts |= mesh.LimitPassed
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, amend(err, func(h http.Header) { l.report(nil, h, v) })
	}
	l.report(call, resp.Header, v)
	return resp, nil
}

// The fields' names in the spelling that http.Header takes without making a new
// string.
const (
	rateLimitPolicy = "Ratelimit-Policy"
	rateLimit       = "Ratelimit"
)

// told is a member of RateLimit, and what it says.
type told struct {
	remaining int
	reset     time.Duration
	text      string
}

// maxTold is how many members a Limiter remembers at most. One for each that its bucket
// may have left means that requests find theirs made already.
const maxTold = 256

// report adds the limiter's members of the two lists. A Fault may outlive its call: for
// one, call is nil.
func (l *Limiter) report(call *mesh.Call, h http.Header, v verdict) {
	call.Add(h, rateLimitPolicy, l.policy)
	call.Add(h, rateLimit, l.member(v))
}

// member returns the member of RateLimit that says v.
func (l *Limiter) member(v verdict) string {
	at := &l.told[v.remaining%len(l.told)]
	if t := at.Load(); t != nil && t.remaining == v.remaining && t.reset == v.reset {
		return t.text
	}
	var buf [128]byte
	b := append(buf[:0], l.name...)
	b = append(b, ";r="...)
	b = strconv.AppendInt(b, int64(v.remaining), 10)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, int64(v.reset/time.Second), 10)
	t := &told{v.remaining, v.reset, string(b)}
	at.Store(t)
	return t.text
}

// PathLimit is a Limiter for the paths that a glob matches.
type PathLimit struct {
	Path    string // a glob as routes have it
	Line    int    // where it stands in the configuration file; zero is unknown
	Limiter *Limiter
}

// PathLimits applies to each request the Limiter of the most specific glob that
// matches its path, and none where none does. Paths must have been normalised
// above. Its errors are those of [route.NewTable].
func PathLimits(limits []PathLimit) (mesh.Layer, error) {
	if len(limits) == 0 {
		return nil, nil
	}
	rules := make([]route.Rule[*Limiter], len(limits))
	for i, p := range limits {
		rules[i] = route.Rule[*Limiter]{Match: route.Match{Path: p.Path}, Line: p.Line, Value: p.Limiter}
	}
	table, err := route.NewTable(rules)
	if err != nil {
		return nil, fmt.Errorf("rate limits by path: %w", err)
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			rule, ok := table.Lookup(req)
			if !ok {
				return next.RoundTrip(req)
			}
			return rule.Value.roundTrip(next, req)
		})
	}, nil
}
