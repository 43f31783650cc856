// Package balance spreads the requests for one service over its endpoints. A
// [Balancer] knows the set, picks an endpoint for each attempt, bounds what is in
// flight there, and keeps away from endpoints that fail: by health, by ejection
// and by circuit breaker.
//
// It never resolves names, dials, retries or makes a response: endpoints come from
// outside by [Balancer.Update], connections belong to the [Transport] that
// [Config.Dial] returns, and whoever is above decides about another attempt. It
// starts no goroutine; what expires is noticed by the next request.
//
//	b, err := balance.New(balance.Config{Service: "orders", Dial: dial})
//	if err != nil {
//		return err
//	}
//	defer b.Close()
//	b.Update(endpoints)
//	stack := mesh.Stack(b.Through(&balance.Breaker{FailureThreshold: 5}), timeout, retry)
//
// # A request's way
//
// The policy picks among the usable endpoints: the healthy ones that are not
// ejected or, in panic, all. One that its operator has withdrawn is never among them.
// With [Config.ZoneFirst] it picks in our own zone, as long as that is well enough, and
// what the zone cannot take goes to the others. It passes over those whose breaker is
// open, those that an earlier attempt of the call has tried, and those without a free
// place, in that order of importance. The request then takes a place, waits for one
// where it has to, asks the breaker, and goes out. The response's head or the failure is
// the verdict on the endpoint, unless the client brought the failure about; the place is
// given back when the exchange has ended.
//
// # Policies
//
// [P2C] is for most services: it learns who is slow or failing, and shuns it without
// being told. [RoundRobin] and [Weighted] know nothing but the turn and the weight.
// [LeastConnections] suits requests that last. [RingHash] is for endpoints that keep
// something for a client or a key, such as a cache. What each makes of a slow endpoint,
// a failing one, a rolling restart and an ailing zone is in testdata/simulation.golden:
//
//	go test ./outbound/balance -run TestSimulation -v
//
// # What is read without a lock
//
// A pick reads one immutable snapshot and the atomics of the few endpoints that it
// looks at, however many there are, and allocates nothing. Slow start is worked out by
// the pick as well, so that time alone needs no new snapshot but for the shares of
// zones. The one lock that endpoints share is taken when
// the set changes: by an update, an ejection, a return.
package balance
