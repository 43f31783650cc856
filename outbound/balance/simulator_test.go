package balance

import (
	"container/heap"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"outrider/internal/mesh"
)

// simulator sends requests through a Balancer to servers that it makes up, in the
// virtual time of a synctest bubble. All of it is one goroutine, so that a seed gives
// the same figures each time.
type simulator struct {
	t       *testing.T
	b       *Balancer
	v       *view
	random  *rand.Rand
	start   time.Time
	agenda  agenda
	serial  int
	servers map[string]*server
	odd     func(s *server, now time.Duration) bool // is counted apart

	counts    bool // what arrives from now on is counted
	latencies []time.Duration
	failures  int
	toOdd     int
	byKey     map[string]map[string]int
}

const (
	rate     = 600               // requests a second
	patience = time.Second       // of a client
	users    = 300               // each with a key
	slots    = 8                 // requests that a server works on at once; others queue there
	mean     = time.Second / 100 // of the time that a request takes there
)

// event is something that happens at an instant.
type event struct {
	at     time.Duration
	serial int // in the order in which they were planned
	do     func()
}

// agenda is a heap of events, the next one first.
type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, k int) bool {
	return a[i].at < a[k].at || a[i].at == a[k].at && a[i].serial < a[k].serial
}
func (a agenda) Swap(i, k int) { a[i], a[k] = a[k], a[i] }

// Push and Pop are heap's.
func (a *agenda) Push(e any) { *a = append(*a, e.(event)) }

// Pop removes the last.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}

func newSimulator(t *testing.T, cfg Config, set []mesh.Endpoint) *simulator {
	s := &simulator{t: t, random: rand.New(rand.NewPCG(3, 14)), start: time.Now(), counts: true,
		servers: map[string]*server{}, byKey: map[string]map[string]int{},
		odd: func(*server, time.Duration) bool { return false }}
	cfg.Rand = rand.New(rand.NewPCG(15, 92)).Uint64
	cfg.HashOn = "header:X-User"
	cfg.Dial = func(mesh.Endpoint) Transport { return silent{} }
	var err error
	if s.b, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.b.Close)
	s.v = s.b.Through(nil).(*view)
	for _, e := range set {
		s.servers[e.Address] = &server{sim: s, work: s.usual}
	}
	s.b.Update(set)
	return s
}

// now returns the instant.
func (s *simulator) now() time.Duration { return time.Since(s.start) }

// plan has do happen after d.
func (s *simulator) plan(d time.Duration, do func()) {
	s.serial++
	heap.Push(&s.agenda, event{s.now() + d, s.serial, do})
}

// run has requests arrive for d, and waits until all of them have ended.
func (s *simulator) run(d time.Duration) {
	s.arrivals(d)
	for len(s.agenda) > 0 {
		e := heap.Pop(&s.agenda).(event)
		<-time.After(e.at - s.now())
		e.do()
	}
	slices.Sort(s.latencies)
}

// arrivals plans the next arrival, and so on until the instant end.
func (s *simulator) arrivals(end time.Duration) {
	wait := time.Duration(s.random.ExpFloat64() * float64(time.Second) / rate)
	if s.now()+wait < end {
		s.plan(wait, func() {
			s.arrive()
			s.arrivals(end)
		})
	}
}

// job is one request.
type job struct {
	x       *exchange
	arrived time.Duration
	counts  bool
	over    bool
}

// arrive picks an endpoint for a new request and hands it in there.
func (s *simulator) arrive() {
	user := strconv.Itoa(s.random.IntN(users))
	call := mesh.NewCall(s.t.Context())
	call.Attempts = []mesh.Attempt{{Start: time.Now()}}
	req, err := http.NewRequest(http.MethodGet, "http://orders/", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-User", user)
	x, err := s.v.begin(call.Bind(req), call)
	if err != nil {
		s.t.Fatal(err)
	}
	j := &job{x: x, arrived: s.now(), counts: s.counts}
	address := x.to.info.Address
	to := s.servers[address]
	if j.counts {
		if s.odd(to, j.arrived) {
			s.toOdd++
		}
		if s.byKey[user] == nil {
			s.byKey[user] = map[string]int{}
		}
		s.byKey[user][address]++
	}
	s.plan(patience, func() { s.end(j, failed) })
	to.take(j)
}

// end ends a request, unless it has ended.
func (s *simulator) end(j *job, v verdict) {
	if j.over {
		return
	}
	j.over = true
	j.x.settle(v, j.x.b.now())
	j.x.release()
	if !j.counts {
		return
	}
	s.latencies = append(s.latencies, s.now()-j.arrived)
	if v == failed {
		s.failures++
	}
}

// usual returns how long a request takes at an ordinary server, and that it succeeds.
func (s *simulator) usual(time.Duration) (time.Duration, verdict) {
	return mean/2 + time.Duration(s.random.ExpFloat64()*float64(mean/2)), succeeded
}

// quantile returns the latency below which that part of the requests stayed.
func (s *simulator) quantile(q float64) time.Duration {
	return s.latencies[int(q*float64(len(s.latencies)-1))]
}

// sticky returns how many of a user's requests went to the endpoint that got most of
// them, in percent.
func (s *simulator) sticky() float64 {
	most, all := 0, 0
	for _, where := range s.byKey {
		best := 0
		for _, n := range where {
			best = max(best, n)
			all += n
		}
		most += best
	}
	return 100 * float64(most) / float64(all)
}

// server works on so many requests at once, and has the others queue.
type server struct {
	sim    *simulator
	work   func(now time.Duration) (time.Duration, verdict)
	joined time.Duration
	busy   int
	queue  []*job
}

func (v *server) take(j *job) {
	if v.busy == slots {
		v.queue = append(v.queue, j)
		return
	}
	v.busy++
	took, said := v.work(v.sim.now())
	v.sim.plan(took, func() {
		v.sim.end(j, said)
		v.busy--
		for len(v.queue) > 0 && v.busy < slots {
			next := v.queue[0]
			if v.queue = v.queue[1:]; !next.over {
				v.take(next)
			}
		}
	})
}
