package why

import (
	"fmt"
	"slices"
	"time"
)

// Record is what one listener decided about one request.
type Record struct {
	Hop        string    `json:"hop"`       // its pseudonym in Via
	Who        string    `json:"who"`       // the same for people
	Direction  string    `json:"direction"` // ingress, inbound or outbound
	ID         string    `json:"request_id"`
	Start      time.Time `json:"start"`
	DurationMS float64   `json:"duration_ms"`
	Method     string    `json:"method"`
	Host       string    `json:"host"`
	Path       string    `json:"path"`             // as it came, without the query
	Client     string    `json:"client"`           // behind the proxies that are trusted
	Source     string    `json:"source,omitempty"` // the identity of the peer's certificate
	From       string    `json:"from,omitempty"`   // the hop that sent it, by Via
	Route      string    `json:"route,omitempty"`
	At         string    `json:"at,omitempty"` // file:line of the route
	Service    string    `json:"service,omitempty"`
	Acts       []string  `json:"acts,omitempty"` // what the layers did
	Status     int       `json:"status"`         // that the client was sent; zero for none
	Code       string    `json:"code,omitempty"`
	Error      string    `json:"error,omitempty"`
	Because    string    `json:"because,omitempty"` // the setting that is responsible, and who set it
	Attempts   []Attempt `json:"attempts,omitempty"`
	Calls      []Record  `json:"calls,omitempty"` // those of the app while it served this one
}

// Attempt is one try at one endpoint.
type Attempt struct {
	Endpoint   string  `json:"endpoint"` // empty where none could be picked
	AfterMS    float64 `json:"after_ms"` // since the request's start
	DurationMS float64 `json:"duration_ms"`
	Status     int     `json:"status,omitempty"`
	Code       string  `json:"code,omitempty"`
	Error      string  `json:"error,omitempty"`
	Next       *Record `json:"next,omitempty"` // what the proxy there decided
	Note       string  `json:"note,omitempty"` // why that is not known

	silent bool // nothing reached the endpoint
}

// Reached reports whether the endpoint may have seen the attempt.
func (a *Attempt) Reached() bool { return a.Endpoint != "" && !a.silent }

// record returns the entry as a Record.
func (e *entry) record() Record {
	text := func(which int) string {
		from := 0
		if which > 0 {
			from = e.ends[which-1]
		}
		return string(e.text[from:e.ends[which]])
	}
	r := Record{
		Hop: e.config.Hop, Who: e.config.Who, Direction: e.config.Direction, ID: string(e.id()),
		Start: e.start, DurationMS: milliseconds(e.took),
		Method: text(methodText), Host: text(hostText), Path: text(pathText), Source: text(sourceText), From: text(fromText),
		Service: string(e.service), Acts: slices.Collect(e.acts.All()),
		Status: e.status, Code: e.code, Error: e.err, Because: e.because,
	}
	if e.client.IsValid() {
		r.Client = e.client.String()
	}
	if e.route != nil {
		r.Route = e.route.Name
		if e.route.Line > 0 {
			r.At = fmt.Sprintf("%s:%d", e.config.File, e.route.Line)
		}
	}
	for _, a := range e.attempts {
		r.Attempts = append(r.Attempts, Attempt{
			Endpoint: a.endpoint, AfterMS: milliseconds(a.after), DurationMS: milliseconds(a.took),
			Status: a.status, Code: a.code, Error: a.err, silent: a.silent,
		})
	}
	return r
}

// milliseconds returns d to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
