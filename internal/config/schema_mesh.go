package config

import (
	"time"
)

// Instance is the app that a sidecar guards, and what the registry says of it.
type Instance struct {
	Name        string            `key:"name" is:"name"`
	ID          string            `key:"id" is:"id"` // empty: name-host-port, which only the machine knows
	App         string            `key:"app" is:"address"`
	Address     string            `key:"address" is:"host"` // advertised; empty: the machine's first that is no loopback
	HealthCheck *HealthCheck      `key:"health_check"`
	Tags        []string          `key:"tags" is:"tag"`
	Meta        map[string]string `key:"meta" keys:"meta" is:"meta-value"`
	Weight      int               `key:"weight" min:"1" max:"65535"`
	Zone        string            `key:"zone"` // empty: unknown
}

// Inbound is the guarding half.
type Inbound struct {
	Listen        string        `key:"listen" is:"listen"`
	Middleware    []string      `key:"middleware" one:"cors|rate-limit|auth|transform|cache|circuit-breaker"` // of every request; as a set, in the order they act
	Routing       []*Route      `key:"routing"`                                                               // without Service and Split: where nothing answers, the app does. Their Middleware includes that of every request
	MaxConcurrent int           `key:"max_concurrent" min:"0"`                                                // zero: unlimited
	Timeout       time.Duration `key:"timeout"`                                                               // zero: none
}

// Outbound is the calling half.
type Outbound struct {
	Listen     string `key:"listen" is:"listen"`
	Undeclared string `key:"undeclared" one:"reject|discover"` // reject, discover
}

// Identity is the mesh certificate.
type Identity struct {
	Provider string `key:"provider" one:"none|files|consul"` // none, files, consul
	MTLS     string `key:"mtls" one:"off|permissive|strict"` // off, permissive, strict
	CertFile string `key:"cert_file" is:"file"`
	KeyFile  string `key:"key_file" is:"file"`
	CAFile   string `key:"ca_file" is:"file"`
}

// Consul is the agent.
type Consul struct {
	Address     string     `key:"address" is:"authority"`
	Scheme      string     `key:"scheme" one:"http|https"`
	Token       string     `key:"token" secret:"true"`
	TokenFile   string     `key:"token_file" is:"live-file"` // at most one of Token and TokenFile is set
	Datacenter  string     `key:"datacenter" is:"word"`      // empty: the agent's own
	TLS         *ClientTLS `key:"tls"`
	Register    bool       `key:"register"`
	SnapshotDir string     `key:"snapshot_dir"` // empty: none
	Stale       bool       `key:"stale"`
	MaxWatches  int        `key:"max_watches" min:"1" max:"10000"`
}

// Redis is the shared store.
type Redis struct {
	URL    string        `key:"url" secret:"true"`
	Budget time.Duration `key:"budget" min:"1ms"`
}

// Tracing is OpenTelemetry.
type Tracing struct {
	Endpoint    string   `key:"endpoint" is:"collector"`  // a URL; empty: tracing is off, and all below says nothing
	Protocol    string   `key:"protocol" one:"grpc|http"` // grpc, http
	Sample      float64  `key:"sample" min:"0" max:"1"`   // share of the traces that begin here
	Propagators []string `key:"propagators" one:"tracecontext|b3|b3multi|baggage"`
}

// RouteTracing is what a route says of tracing otherwise.
type RouteTracing struct {
	Sample float64 `key:"sample" min:"0" max:"1"`
}
