package telemetry

import "time"

// Native is what a Prometheus that asks for native histograms gets of one series.
type Native struct {
	Schema  int32
	Count   uint64
	Buckets int // that are not empty
}

// Natives returns the native histograms of that name.
func Natives(t *Telemetry, name string) ([]Native, error) {
	families, err := t.registry.Gather()
	var all []Native
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			h := m.GetHistogram()
			n := Native{Schema: h.GetSchema(), Count: h.GetSampleCount()}
			for _, span := range h.GetPositiveSpan() {
				n.Buckets += int(span.GetLength())
			}
			all = append(all, n)
		}
	}
	return all, err
}

// Milliseconds returns d as a line has it.
func Milliseconds(d time.Duration) string { return string(appendMilliseconds(nil, d)) }

// Clock returns what writes times, one after another.
func Clock() func(time.Time) string {
	var c clock
	return func(t time.Time) string { return string(c.append(nil, t)) }
}

// Clipped returns s as a line has it, beside how everybody else has it.
func Clipped(s string, limit int) (line, other string) {
	return string(appendClipped([]byte("é"), s, limit))[len("é"):], clip(s, limit)
}
