package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"outrider/internal/explain"
	"outrider/internal/why"
)

// Config is what the port shows and what it can do. Each function is called from
// several goroutines at once, and returns quickly.
type Config struct {
	Version string    // of the proxy; empty means unknown
	Started time.Time // when the process began; zero hides the uptime

	// Token returns what Authorization: Bearer must carry. Nil asks for none; a ""
	// is carried by nobody, so that a file that was lost opens nothing.
	Token func() string

	Live     func() error     // nil error: alive. Nil: always alive
	Ready    func() []string  // what is missing; empty: ready. Nil: always ready
	Metrics  http.Handler     // the scrape
	Config   func() any       // encoded as JSON; what looks like a secret is masked
	Services func() []Service // what New's page and /services show

	// Explain says what a request would meet; its error is a mistake in the question.
	Explain func(context.Context, explain.Question) (explain.Answer, error)
	// Why says what is known of the request with an ID, here and at the proxies that it passed.
	Why func(ctx context.Context, id string) why.Answer

	Listeners  func() []string             // what is listened on, such as "ingress 0.0.0.0:8080"
	Reload     func(context.Context) error // nil error: the new configuration is in use
	LastReload func() Reload               // the zero Reload: none yet
	Leave      func()                      // leaves the registry and is no longer ready, and serves on
	Drain      func()                      // begins the drain and returns; the process ends when it is over
	Level      *slog.LevelVar              // the log's level
	Log        *slog.Logger                // nil discards
}

// Service is a service as the page and /services show it.
type Service struct {
	Name      string     `json:"name"`
	Policy    string     `json:"policy"`                // load balancing
	Ready     bool       `json:"ready"`                 // may be sent requests
	Error     string     `json:"error"`                 // why discovery fails; empty when it does not
	Mode      string     `json:"mode,omitempty"`        // how the catalogue's endpoints are known: live, stale, snapshot, probing, waiting; empty for others
	AgeS      float64    `json:"age_seconds,omitempty"` // since the catalogue has answered
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is one address of a Service.
type Endpoint struct {
	Address   string  `json:"address"`
	Zone      string  `json:"zone"`
	State     string  `json:"state"`   // healthy, unhealthy, ejected, …
	Note      string  `json:"note"`    // why it is in this state
	Breaker   string  `json:"breaker"` // closed, half-open or open; empty without one
	Weight    int     `json:"weight"`
	InFlight  int     `json:"in_flight"`
	Waiting   int     `json:"waiting"` // for a connection
	LatencyMS float64 `json:"latency_ms"`
	Successes uint64  `json:"successes"`
	Failures  uint64  `json:"failures"`
}

// Reload is how the last reload went.
type Reload struct {
	At    time.Time
	Error string // why it was refused; empty when it was not
}

// port serves what one Config shows.
type port struct{ cfg Config }

// New returns the handler of the admin port.
func New(c Config) http.Handler {
	p := newPort(c)
	mux := http.NewServeMux()
	p.health(mux)
	mux.Handle("/{$}", only(p.page(), http.MethodGet))
	if c.Config != nil {
		mux.Handle("/config", only(http.HandlerFunc(p.config), http.MethodGet))
	}
	if c.Services != nil {
		mux.Handle("/services", only(http.HandlerFunc(p.services), http.MethodGet))
	}
	if c.Explain != nil {
		mux.Handle("/explain", only(http.HandlerFunc(p.explain), http.MethodGet, http.MethodPost))
	}
	if c.Why != nil {
		mux.Handle("/why", only(http.HandlerFunc(p.why), http.MethodGet))
	}
	if c.Level != nil {
		mux.Handle("/log-level", only(http.HandlerFunc(p.logLevel), http.MethodGet, http.MethodPost))
	}
	if c.Reload != nil {
		mux.Handle("/reload", only(http.HandlerFunc(p.reload), http.MethodPost))
	}
	if c.Leave != nil {
		mux.Handle("/leave", only(p.going("leaving", c.Leave), http.MethodPost))
	}
	if c.Drain != nil {
		mux.Handle("/drain", only(p.going("draining", c.Drain), http.MethodPost))
	}
	profiles(mux)

	// A stranger learns the least: where from comes before who, and who before what.
	return secure(loopback(sameSite(p.token(mux))))
}

// Probe returns the handler of the probe port, for orchestrators and Prometheus:
// /live, /ready and /metrics, from anywhere and by any name.
func Probe(c Config) http.Handler {
	mux := http.NewServeMux()
	newPort(c).health(mux)
	return secure(mux)
}

func newPort(c Config) *port {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	return &port{cfg: c}
}

// health adds what both ports have.
func (p *port) health(mux *http.ServeMux) {
	mux.HandleFunc("/", notFound)
	mux.Handle("/live", only(http.HandlerFunc(p.live), http.MethodGet))
	mux.Handle("/ready", only(http.HandlerFunc(p.ready), http.MethodGet))
	if p.cfg.Metrics != nil {
		mux.Handle("/metrics", only(p.cfg.Metrics, http.MethodGet))
	}
}

// profiles adds the profiles by name: the default mux, where their package puts
// them, is served nowhere.
func profiles(mux *http.ServeMux) {
	mux.Handle("/debug/pprof/", only(http.HandlerFunc(pprof.Index), http.MethodGet))
	mux.Handle("/debug/pprof/cmdline", only(http.HandlerFunc(pprof.Cmdline), http.MethodGet))
	mux.Handle("/debug/pprof/profile", only(http.HandlerFunc(pprof.Profile), http.MethodGet))
	mux.Handle("/debug/pprof/symbol", only(http.HandlerFunc(pprof.Symbol), http.MethodGet, http.MethodPost))
	mux.Handle("/debug/pprof/trace", only(http.HandlerFunc(pprof.Trace), http.MethodGet))
}
