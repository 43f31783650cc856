package main

import "math"

// result is what came of one case.
type result struct {
	Case    string         `json:"case"`
	About   string         `json:"about"`
	Cores   int            `json:"cores"` // of each proxy
	Samples []sample       `json:"samples,omitempty"`
	Memory  []memorySample `json:"memory,omitempty"`
}

// sample is one proxy in one round. CPU is in microseconds a request, latencies in
// microseconds.
type sample struct {
	Round       int      `json:"round"`
	Proxy       string   `json:"proxy"`
	Requests    int64    `json:"requests"`
	RPS         float64  `json:"rps"`
	CPU         float64  `json:"cpu_us"`
	User        float64  `json:"user_us"`
	System      float64  `json:"system_us"`
	Busy        float64  `json:"busy"` // processor seconds a second: 1 is a core with no time left
	Allocations *float64 `json:"allocations,omitempty"`

	Rate    float64 `json:"rate"`               // requests a second at which the latencies are
	OwnRate bool    `json:"own_rate,omitempty"` // half of its own best, as it is far below that of the others
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	P999    float64 `json:"p999_us"`
	PacedUs float64 `json:"paced_cpu_us"` // CPU at that rate
}

// memorySample is the memory of one proxy in one round.
type memorySample struct {
	Round       int    `json:"round"`
	Proxy       string `json:"proxy"`
	Connections int    `json:"connections"`
	Idle        memory `json:"idle"`
	Held        memory `json:"held"`
}

// memory is what processes keep of the machine's, in bytes.
type memory struct {
	Resident int64 `json:"resident"` // what processes share counts for each
	Shared   int64 `json:"proportional"`
}

func (s *sample) measured(o *outcome) {
	n, seconds := float64(o.Requests), o.Elapsed.Seconds()
	s.Requests, s.RPS = o.Requests, n/seconds
	s.CPU = o.CPU.Total.Seconds() * 1e6 / n
	s.User, s.System = o.CPU.User.Seconds()*1e6/n, o.CPU.System.Seconds()*1e6/n
	s.Busy = o.CPU.Total.Seconds() / seconds
}

func (s *sample) paced(o *outcome) {
	s.P50, s.P99, s.P999 = o.P50.Seconds()*1e6, o.P99.Seconds()*1e6, o.P999.Seconds()*1e6
	s.PacedUs = o.CPU.Total.Seconds() * 1e6 / float64(o.Requests)
}

// names returns the proxies of a result, in the order of the first round.
func (r *result) names() []string {
	var of []string
	for _, s := range r.Samples {
		if s.Round == 1 {
			of = append(of, s.Proxy)
		}
	}
	for _, s := range r.Memory {
		if s.Round == 1 {
			of = append(of, s.Proxy)
		}
	}
	return of
}

// figures returns one figure of a proxy for each round.
func (r *result) figures(proxy string, of func(sample) float64) []float64 {
	var figures []float64
	for _, s := range r.Samples {
		if s.Proxy == proxy {
			figures = append(figures, of(s))
		}
	}
	return figures
}

func (r *result) memory(proxy string, of func(memorySample) int64) []float64 {
	var figures []float64
	for _, s := range r.Memory {
		if s.Proxy == proxy {
			figures = append(figures, float64(of(s))/(1<<20))
		}
	}
	return figures
}

// What is looked at in a sample.
func cpuOf(s sample) float64  { return s.CPU }
func rpsOf(s sample) float64  { return s.RPS }
func p50Of(s sample) float64  { return s.P50 }
func p99Of(s sample) float64  { return s.P99 }
func p999Of(s sample) float64 { return s.P999 }
func busyOf(s sample) float64 { return s.Busy }
func userOf(s sample) float64 { return s.User }
func rateOf(s sample) float64 { return s.Rate }
func allocationsOf(s sample) float64 {
	if s.Allocations == nil {
		return math.NaN()
	}
	return *s.Allocations
}
