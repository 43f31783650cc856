package main

import (
	"fmt"
	"time"
)

// order is what the load generator is to do, once.
type order struct {
	Addr     string        `json:"addr"`
	Conns    int           `json:"conns"`
	Warmup   time.Duration `json:"warmup"`   // load that is not measured
	Duration time.Duration `json:"duration"` // what is measured, after that
	Rate     float64       `json:"rate"`     // requests a second over all connections; 0: each asks again as soon as it is answered
	Path     string        `json:"path"`
	Body     int           `json:"body"`  // bytes of a POST's body; 0: GET
	Want     int64         `json:"want"`  // bytes of the answer's body
	Certs    string        `json:"certs"` // the directory with the authority; empty: no TLS
	PIDs     []int         `json:"pids"`  // whose processor time is taken
	Most     int64         `json:"most"`  // requests; when so many were sent it ends early
}

// outcome is what came of an order. Latencies count from when a request was due, not
// from when it was sent, so that a stall is seen by all that should have come in it.
type outcome struct {
	Sent     int64         `json:"sent"`     // with those before the measurement
	Requests int64         `json:"requests"` // answered while it was measured
	Elapsed  time.Duration `json:"elapsed"`
	CPU      usage         `json:"cpu"`
	P50      time.Duration `json:"p50"`
	P99      time.Duration `json:"p99"`
	P999     time.Duration `json:"p999"`
	Max      time.Duration `json:"max"`
}

// usage is the processor time that processes have had since they began.
type usage struct {
	Total  time.Duration // user and system, to the nanosecond
	User   time.Duration // to a hundredth of a second, as System
	System time.Duration
}

func (u usage) since(before usage) usage {
	return usage{u.Total - before.Total, u.User - before.User, u.System - before.System}
}

// latencies fills in what the histogram has.
func (o *outcome) latencies(h *histogram) {
	o.P50, o.P99, o.P999, o.Max = h.quantile(.5), h.quantile(.99), h.quantile(.999), h.quantile(1)
}

// token is what the requests of all cases show. Only the full policy looks at it.
const token = "bench-token"

// bytes returns the request, as a browser's script would send it.
func (o *order) bytes() []byte {
	method, length := "GET", ""
	if o.Body > 0 {
		method, length = "POST", fmt.Sprintf("Content-Type: text/plain\r\nContent-Length: %d\r\n", o.Body)
	}
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench/1\r\nAccept: */*\r\nAuthorization: Bearer %s\r\n%s\r\n",
		method, o.Path, serverName, token, length)
	for range o.Body {
		b = append(b, 'i')
	}
	return b
}

// schedule says when requests are due: evenly, from the start on. The zero value has
// none due, ever.
type schedule struct {
	interval float64 // nanoseconds
	next     int64   // how many were taken
}

func newSchedule(rate float64) schedule {
	if rate <= 0 {
		return schedule{}
	}
	return schedule{interval: 1e9 / rate}
}

// due returns when the next request is, after the start. Take goes on to the one after.
func (s *schedule) due() time.Duration { return time.Duration(float64(s.next) * s.interval) }

func (s *schedule) take() { s.next++ }
