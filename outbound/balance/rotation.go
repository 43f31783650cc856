package balance

import (
	"math"
	"slices"
	"sync/atomic"
)

// rotation picks one endpoint after the other, or by weight: then the order is a
// cycle in which each stands as often as its weight says.
type rotation struct {
	rand     func() uint64
	weighted bool
	turn     atomic.Uint64
}

// rota is a rotation's order of members.
type rota struct {
	*rotation
	order []*member
}

// longestCycle bounds what the weights alone make of a cycle; 16384 places tell
// weights of up to 1:16384 apart.
const longestCycle = 1 << 14

func (r *rotation) arrange(members, _ []*member) picker {
	if r.weighted {
		members = cycle(members)
	}
	return &rota{r, members}
}

func (r *rota) pick(q query) *member {
	const steps = 8
	n := uint64(len(r.order))
	turn := r.turn.Add(1)
	for range min(steps, n) {
		if m := r.order[turn%n]; q.allows(m) && !q.passesOver(m) {
			return m
		}
		// Who is passed over loses the turn, else the next one would serve twice.
		turn = r.turn.Add(1)
	}
	// Many in a row will not do. To go on to the first that will would send it all their
	// turns.
	for range min(steps, n) {
		if m := r.order[below(r.rand, n)]; q.allows(m) && !q.passesOver(m) {
			return m
		}
	}
	// Those steps may have missed one: look at all.
	for i := range n {
		if m := r.order[(turn+i)%n]; q.allows(m) {
			return m
		}
	}
	return nil
}

// cycle spreads the members evenly over a cycle, each as often as its weight says in
// lowest terms, or about so where that would be too long.
func cycle(members []*member) []*member {
	shares := shares(members)
	var marks []uint64
	for i, share := range shares {
		// Each begins somewhere else, in steps of the golden ratio: any number of them are
		// spread evenly, and equals do not come in a row.
		_, phase := math.Modf(float64(i) * (math.Phi - 1))
		for k := range share {
			at := (float64(k) + phase) / float64(share) // of the whole cycle
			marks = append(marks, uint64(at*(1<<32))<<32|uint64(i))
		}
	}
	slices.Sort(marks)
	order := make([]*member, len(marks))
	for i, mark := range marks {
		order[i] = members[uint32(mark)]
	}
	return order
}

// shares returns how often each member stands in the cycle.
func shares(members []*member) []int {
	all := make([]int, len(members))
	divisor, total := 0, 0
	for i, m := range members {
		all[i] = int(m.weight)
		divisor = gcd(all[i], divisor)
		total += all[i]
	}
	if len(all) == 0 {
		return nil
	}
	shrink := max(float64(divisor), float64(total)/longestCycle)
	for i := range all {
		all[i] = max(1, int(math.Round(float64(all[i])/shrink)))
	}
	return all
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
