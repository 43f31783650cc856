package config

import (
	"time"
)

// Service is something that requests are routed to. Exactly one of URL, Instances
// and Consul is set after Load.
type Service struct {
	Name string
	Line int `json:"-"`

	URL            string         `key:"url" is:"endpoint"`
	Instances      []Endpoint     `key:"instances"`
	Consul         *ConsulService `key:"consul"`
	Listen         string         `key:"listen" is:"listen"` // run; empty: no port of its own
	HealthCheck    *HealthCheck   `key:"health_check"`
	Timeout        time.Duration  `key:"timeout"`
	ConnectTimeout time.Duration  `key:"connect_timeout" min:"1ms"`
	PerTryTimeout  time.Duration  `key:"per_try_timeout"` // zero: none
	IdleTimeout    time.Duration  `key:"idle_timeout" min:"1ms"`
	Retries        Retries        `key:"retries"`
	LoadBalancing  LoadBalancing  `key:"load_balancing"`
	Outlier        *Outlier       `key:"outlier" off:"false"`            // nil: off
	CircuitBreaker *Breaker       `key:"circuit_breaker" inherit:"true"` // nil: only where a route lists circuit-breaker
	MaxConnections int            `key:"max_connections" min:"0"`
	MaxPending     int            `key:"max_pending" min:"0"`
	TLS            *ClientTLS     `key:"tls"`
	Host           string         `key:"host" is:"authority"` // preserve, service, or a literal authority
}

// Endpoint is one configured instance.
type Endpoint struct {
	URL    string `key:"url" is:"endpoint"`
	Weight int    `key:"weight" min:"1" max:"65535"`
	Zone   string `key:"zone"`
	Line   int    `json:"-"`
}

// ConsulService is a service of the catalogue.
type ConsulService struct {
	Service    string `key:"service" is:"name" short:"true"` // never empty after Load
	Datacenter string `key:"datacenter" is:"word"`           // empty: the agent's own
	Namespace  string `key:"namespace" is:"word"`            // of Consul Enterprise
	Partition  string `key:"partition" is:"word"`            // of Consul Enterprise
	Tag        string `key:"tag"`
	Filter     string `key:"filter"`
	Connect    string `key:"connect" one:"auto|only|never"` // auto, only, never
}

// HealthCheck is an active HTTP check.
type HealthCheck struct {
	Path      string        `key:"path" is:"path" short:"true"`
	Interval  time.Duration `key:"interval" min:"1ms"`
	Timeout   time.Duration `key:"timeout" min:"1ms"`
	Healthy   int           `key:"healthy" min:"1" max:"1000"`   // passes in a row until healthy
	Unhealthy int           `key:"unhealthy" min:"1" max:"1000"` // failures in a row until unhealthy
	Expect    []StatusRange `key:"expect"`
}

// StatusRange is an inclusive range of status codes.
type StatusRange struct{ From, To int }

// Retries says when an attempt is repeated.
type Retries struct {
	Attempts int           `key:"attempts" min:"0" max:"10" short:"true"` // extra attempts
	On       []string      `key:"on" is:"retry"`                          // connect, reset, or a status as digits
	Base     time.Duration `key:"base"`
	Max      time.Duration `key:"max"`
	Budget   RetryBudget   `key:"budget"`
}

// RetryBudget bounds retries to a share of the requests.
type RetryBudget struct {
	Percent int `key:"percent" min:"0" max:"100"`
	Min     int `key:"min" min:"0" max:"1000000"` // retries a second that are always allowed
}

// LoadBalancing says which endpoint gets the next request.
type LoadBalancing struct {
	Policy         string        `key:"policy" one:"p2c|round_robin|weighted|least_connections|ring_hash" short:"true"` // p2c, round_robin, weighted, least_connections, ring_hash
	HashOn         string        `key:"hash_on" is:"hash"`                                                              // client_ip, header:N, cookie:N; set with ring_hash alone
	SlowStart      time.Duration `key:"slow_start"`                                                                     // how long a new endpoint takes to its full share; zero: none
	PanicThreshold int           `key:"panic_threshold" min:"0" max:"100"`                                              // percent of healthy endpoints below which health is disregarded
	ZoneFirst      bool          `key:"zone_first"`                                                                     // prefers endpoints of service.zone; nothing where that is empty
}

// Outlier says when an endpoint is ejected for a while.
type Outlier struct {
	ConsecutiveFailures int           `key:"consecutive_failures" min:"1" max:"1000000"`
	BaseEjection        time.Duration `key:"base_ejection" min:"1ms"`
	MaxEjectedPercent   int           `key:"max_ejected_percent" min:"1" max:"100"`
}

// Breaker is a circuit breaker's settings.
type Breaker struct {
	FailureThreshold int           `key:"failure_threshold" min:"1" max:"1000000"`
	RecoveryTimeout  time.Duration `key:"recovery_timeout" min:"1ms"`
	SuccessThreshold int           `key:"success_threshold" min:"1" max:"1000000"`
}

// ClientTLS is how an https service is spoken to.
type ClientTLS struct {
	CAFile     string `key:"ca_file" is:"file"`
	CertFile   string `key:"cert_file" is:"file"`
	KeyFile    string `key:"key_file" is:"file"`
	ServerName string `key:"server_name" is:"host"`
}
