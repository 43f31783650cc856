package telemetry

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
