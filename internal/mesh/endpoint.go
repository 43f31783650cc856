package mesh

// Service names a set of endpoints that serve the same thing.
type Service string

// Identity is who a peer proved to be by its certificate: a SPIFFE ID or, where
// the certificate has none, its first DNS name or its common name. Empty means
// nobody in particular.
type Identity string

// Endpoint is one address that serves a service. It is a value: a new state of
// the same address is a new Endpoint under the same ID.
type Endpoint struct {
	ID         string            // stable for as long as this address stays in the set
	Scheme     string            // http, https or h2c (HTTP/2 without TLS, by prior knowledge)
	Address    string            // host:port that is dialled, an IP where it was resolved
	Host       string            // the authority as configured, host[:port]: TLS name and rewritten Host
	Weight     int               // share relative to the others; zero means 1
	Zone       string            // locality; empty means unknown
	Meta       map[string]string // the catalogue's, never changed in place
	Unhealthy  bool              // a health check or the catalogue says so
	Withdrawn  bool              // an operator took it out of service, as by Consul's maintenance mode: not even panic sends requests there
	HealthNote string            // why it is unhealthy or withdrawn, or is kept though the catalogue has lost it, one line; else empty
}

// Share returns the weight that balancing uses: Weight, and 1 for zero.
func (e Endpoint) Share() int {
	if e.Weight <= 0 {
		return 1
	}
	return e.Weight
}

// Route says which rule of the configuration matched a request. It is shared by
// all of that rule's requests and never changed.
type Route struct {
	Name    string  // the path pattern as written, the metrics' route label
	Line    int     // where it stands in the configuration file; zero is unknown
	Service Service // the metrics' service label; empty for a redirect or direct response
}
