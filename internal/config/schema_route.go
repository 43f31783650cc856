package config

import (
	"time"
)

// Route is one rule of routing.
type Route struct {
	Line int `json:"-"` // where the entry begins

	Path    string           `key:"path"`
	Hosts   []string         `key:"hosts"`
	Methods []string         `key:"methods"`
	Headers map[string]Match `key:"headers" keys:"header"`
	Query   map[string]Match `key:"query"`

	Service   string     `key:"service"`
	Split     []Weighted `key:"split"`
	Redirect  *Redirect  `key:"redirect"`
	Respond   *Respond   `key:"respond"`
	StripPath bool       `key:"strip_path"`
	Rewrite   *Rewrite   `key:"rewrite"`

	Middleware     []string       `key:"middleware" one:"cors|rate-limit|auth|transform|cache|circuit-breaker"` // as a set, in the order they act: see Middlewares
	Timeout        *time.Duration `key:"timeout"`
	Retries        *Retries       `key:"retries" inherit:"true"`
	Auth           *Auth          `key:"auth" inherit:"true"`
	RateLimiting   *RateLimiting  `key:"rate_limiting" inherit:"true"`
	CircuitBreaker *Breaker       `key:"circuit_breaker" inherit:"true"`
	Cache          *Cache         `key:"cache" inherit:"true"`
	Transform      *Transform     `key:"transform" inherit:"true"`
	CORS           *CORS          `key:"cors" inherit:"true"`
	Tracing        *RouteTracing  `key:"tracing"`
}

// Lists reports whether the route's middleware names m.
func (r *Route) Lists(m string) bool {
	for _, name := range r.Middleware {
		if name == m {
			return true
		}
	}
	return false
}

// Match is what a header or query value must be: Exact, or Regex where that is set.
type Match struct {
	Exact string `short:"true"`
	Regex string `key:"regex"`
}

// Weighted is one part of a split.
type Weighted struct {
	Service string `key:"service"`
	Weight  int    `key:"weight" min:"0" max:"1000000"`
	Line    int    `json:"-"`
}

// Redirect answers with another location; what is empty stays as the request had it.
type Redirect struct {
	Scheme string `key:"scheme" one:"http|https"`
	Host   string `key:"host" is:"host"`
	Port   int    `key:"port" min:"0" max:"65535"`
	Path   string `key:"path" is:"path"`                   // a `**` at its end stands for what the route's own matched
	Status int    `key:"status" one:"301|302|303|307|308"` // 301, 302, 303, 307, 308
}

// Respond answers directly.
type Respond struct {
	Status  int               `key:"status" min:"200" max:"599"`
	Body    string            `key:"body"`
	Headers map[string]string `key:"headers" keys:"edit" is:"value"`
}

// Rewrite changes the request on its way to the service.
type Rewrite struct {
	Path string `key:"path" is:"path"` // a `**` at its end stands for what the route's own matched
	Host string `key:"host" is:"authority"`
}
