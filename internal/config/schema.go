package config

import (
	"net/netip"
	"time"
)

// Config is the whole configuration, merged and validated: short forms are
// expanded, defaults filled in, `${…}` resolved. It is never changed after Load.
//
// A block's Line is where it stands in the file. JSON leaves it out: it is no part of
// what the block says, so that two can be compared.
type Config struct {
	File string // where it was read from
	Mode Mode   // Ingress or Run: which command it is for

	source   *source
	warnings []Problem

	Server         Server              `key:"server"`   // ingress; zero in run
	Service        *Instance           `key:"service"`  // run, never nil there
	Inbound        *Inbound            `key:"inbound"`  // run, never nil there
	Outbound       *Outbound           `key:"outbound"` // run, never nil there
	Services       map[string]*Service `key:"services" keys:"name"`
	Routing        []*Route            `key:"routing"`
	RateLimiting   RateLimiting        `key:"rate_limiting"`
	CircuitBreaker Breaker             `key:"circuit_breaker"`
	Auth           Auth                `key:"auth"`
	JWT            *JWT                `key:"jwt"`
	CORS           CORS                `key:"cors"`
	Cache          Cache               `key:"cache"`
	Transform      Transform           `key:"transform"`
	TrustedProxies []netip.Prefix      `key:"trusted_proxies"`
	Limits         Limits              `key:"limits"`
	Identity       Identity            `key:"identity"`
	Consul         *Consul             `key:"consul"`
	Redis          Redis               `key:"redis"`
	Admin          Admin               `key:"admin"`
	Probe          Probe               `key:"probe"`
	Tracing        Tracing             `key:"tracing"`
	Logging        Logging             `key:"logging"`
	Shutdown       Shutdown            `key:"shutdown"`
}

// Server is where the ingress listens.
type Server struct {
	Host string     `key:"host" is:"host"`
	Port int        `key:"port" min:"0" max:"65535"`
	TLS  *ServerTLS `key:"tls"`
}

// ServerTLS is the ingress's certificates.
type ServerTLS struct {
	Certs        []CertFiles `key:"certs"`
	ClientCAFile string      `key:"client_ca_file" is:"file"`
	MinVersion   string      `key:"min_version" one:"1.2|1.3"` // "1.2" or "1.3"
}

// CertFiles names one certificate chain and its key, both PEM.
type CertFiles struct {
	CertFile string `key:"cert_file" is:"file"`
	KeyFile  string `key:"key_file" is:"file"`
	Line     int    `json:"-"`
}

// Limits are what a client may ask of us.
type Limits struct {
	HeaderBytes       Size          `key:"header_bytes" min:"1KiB" max:"16MiB"`
	HeaderCount       int           `key:"header_count" min:"1" max:"100000"`
	URIBytes          Size          `key:"uri_bytes" min:"64" max:"16MiB"`
	BodyBytes         Size          `key:"body_bytes"` // zero: unlimited
	Connections       int           `key:"connections" min:"1"`
	ReadHeaderTimeout time.Duration `key:"read_header_timeout" min:"1ms"`
	IdleTimeout       time.Duration `key:"idle_timeout" min:"1ms"`
}

// Admin is the operator's port.
type Admin struct {
	Listen    string `key:"listen" is:"listen"`
	TokenFile string `key:"token_file" is:"file"`
}

// Probe is the port for kubelet and Prometheus; empty means none.
type Probe struct {
	Listen string `key:"listen" is:"listen"`
}

// Logging says what is logged: on standard error, and of each request.
type Logging struct {
	Level  string `key:"level" one:"debug|info|warn|error"` // debug, info, warn, error
	Access Access `key:"access"`
	Query  bool   `key:"query"` // the access log shows query strings
}

// Access says what is written to the access log, on standard output.
type Access struct {
	On     bool          `short:"true"`
	Format string        `key:"format"`                 // json, common, combined or a template
	Sample float64       `key:"sample" min:"0" max:"1"` // share of exchanges; faults and statuses of 500 and above are always written
	Slow   time.Duration `key:"slow"`                   // what takes longer is marked, and always written; zero: nothing is slow
	Buffer Size          `key:"buffer" min:"64KiB" max:"1GiB"`
}

// Shutdown bounds how long a drain takes.
type Shutdown struct {
	Grace time.Duration `key:"grace"`
}

// Size is a count of bytes.
type Size int64

// Seconds is a duration whose bare integers are seconds.
type Seconds time.Duration
