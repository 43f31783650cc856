package explain

// Question is a request that somebody asks about.
type Question struct {
	Method    string   `json:"method"`              // empty means GET
	URL       string   `json:"url"`                 // absolute, or a path
	Headers   []string `json:"headers,omitempty"`   // "Name: value"; Host is the request's, Content-Length its body's
	Client    string   `json:"client,omitempty"`    // the address that it comes from; empty means 127.0.0.1
	Direction string   `json:"direction,omitempty"` // inbound or outbound, of a sidecar; empty means both
}

// Answer is all that is said to a Question.
type Answer struct {
	Reports []Report `json:"reports"` // one for each way in
}

// Report says what a request would meet on one way in.
type Report struct {
	Direction string    `json:"direction"` // ingress, inbound or outbound
	Method    string    `json:"method"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`   // in normal form, without the query; as it came where it has none
	Client    string    `json:"client"` // whom the proxy would take for the client
	Verdict   string    `json:"verdict"`
	Status    int       `json:"status,omitempty"` // of the proxy's own answer; zero where the service answers
	Code      string    `json:"code,omitempty"`   // of the fault that it would be
	From      string    `json:"from,omitempty"`   // where the configuration says so
	Route     *Route    `json:"route,omitempty"`
	Others    []Other   `json:"other_routes"`
	Layers    []Layer   `json:"layers"` // in the order in which the request meets them; the last may stop it
	Services  []Service `json:"services"`
}

// Route is the rule that matches.
type Route struct {
	Name string `json:"name"`
	From string `json:"from"` // file:line
	Key  string `json:"key"`  // routing[2]; of a rule that nobody wrote, what it follows from
}

// Other is a rule that does not match.
type Other struct {
	Route
	Failed string `json:"failed"` // the first condition that is not met; rank where another rule comes first
	Want   string `json:"want,omitempty"`
	Got    string `json:"got,omitempty"`
}

// What becomes of a request at a layer.
const (
	Passes  = "passes"
	Edits   = "edits"
	Asks    = "asks"    // somebody would be asked, who decides
	Stops   = "stops"   // with a fault
	Answers = "answers" // the layer's answer is the point
)

// Layer is a layer and what it would do.
type Layer struct {
	Name     string    `json:"name"`
	Does     string    `json:"does"`
	Says     string    `json:"says"`
	Settings []Setting `json:"settings,omitempty"`
}

// Setting is a value that acts, and who set it.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`          // file:line, a variable, a flag, or default
	Key   string `json:"key,omitempty"` // the key that set it
}

// Service is a service that the request may go to.
type Service struct {
	Name      string     `json:"name"`
	Share     float64    `json:"share"` // of the requests, from 0 to 1
	Verdict   string     `json:"verdict"`
	Code      string     `json:"code,omitempty"`
	Layers    []Layer    `json:"layers"`
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is an address and what the request would find there.
type Endpoint struct {
	Address   string  `json:"address"`
	Zone      string  `json:"zone,omitempty"`
	State     string  `json:"state"` // healthy, unhealthy, ejected, withdrawn
	Breaker   string  `json:"breaker,omitempty"`
	Weight    int     `json:"weight"`
	InFlight  int     `json:"in_flight"`
	Waiting   int     `json:"waiting"`
	LatencyMS float64 `json:"latency_ms"` // moving average with peaks; zero is unknown
	CostMS    float64 `json:"cost_ms"`    // what one more request would have to expect, as p2c reckons
	Takes     bool    `json:"takes"`      // the request could go there
	Next      bool    `json:"next"`       // the policy would pick it now, chance having no say
	Why       string  `json:"why,omitempty"`
}
