package telemetry

import (
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"outrider/internal/mesh"
)

// maxWhereabouts bounds how many places one listener resolves once and for all.
const maxWhereabouts = 4096

// whereabouts are the places that one listener's requests went to, each resolved once:
// after that, finding one takes no lock and compares no label.
type whereabouts struct {
	t         *Telemetry
	direction string

	known atomic.Pointer[map[spot]*there]
	mu    sync.Mutex // serialises growth
}

// spot is where a request went, as its Call says it. The service counts only where the
// route names none.
type spot struct {
	route   *mesh.Route
	service mesh.Service
}

// there is a place, and what is counted of it.
type there struct {
	place
	outcomes *outcomes
	attempts *family[result, prometheus.Observer]
}

func newWhereabouts(t *Telemetry, direction string) *whereabouts {
	w := &whereabouts{t: t, direction: direction}
	w.known.Store(&map[spot]*there{})
	return w
}

// of returns where the call went.
func (w *whereabouts) of(call *mesh.Call) *there {
	at := spot{call.Route, call.Service}
	if at.route != nil && at.route.Service != "" {
		at.service = ""
	}
	if found := (*w.known.Load())[at]; found != nil {
		return found
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	known := *w.known.Load()
	if found := known[at]; found != nil {
		return found
	}
	found := w.resolve(placeOf(call).clone())
	if len(known) >= maxWhereabouts { // as good as never: they are the configuration's
		return found
	}
	at.service = mesh.Service(strings.Clone(string(at.service))) // kept beyond the request, which may have named it
	grown := maps.Clone(known)
	grown[at] = found
	w.known.Store(&grown)
	return found
}

func (w *whereabouts) resolve(p place) *there {
	return &there{
		place:    p,
		outcomes: w.t.requests.get(p),
		attempts: newFamily(math.MaxUint8, result(0), func(r result) prometheus.Observer {
			return w.t.attempts.get(labels{w.direction, p.service, r.label()})
		}),
	}
}

// observe counts the attempts of an exchange that reached an endpoint.
func (t *there) observe(all []mesh.Attempt) {
	for i := range all {
		if a := &all[i]; a.Endpoint != "" {
			t.attempts.get(resultOf(a)).Observe(a.Duration.Seconds())
		}
	}
}
