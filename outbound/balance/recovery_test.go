package balance_test

import (
	"testing"
	"testing/synctest"
	"time"

	"outrider/outbound/balance"
)

// A retry goes to an endpoint that is only ejected, rather than once more to the one
// that has just failed.
func TestEjectedServesWhereAllOthersWereTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 2, MaxEjectedPercent: 50}, "a", "b")
		w.ill["a"] = true
		w.rounds(t, 4)
		w.want(t, "a out")
		for _, tt := range []struct {
			name  string
			tried []string
			want  string
		}{
			{"the first attempt", nil, "b"},
			{"one after b has failed", []string{"b"}, "a"},
			{"one after both have", []string{"b", "a"}, "b"},
		} {
			if got, err := send(w.rt, tt.tried...); got != tt.want || err != nil {
				t.Errorf("%s went to %q, %v; want %s", tt.name, got, err, tt.want)
			}
		}
	})
}

// What an endpoint was ejected for is over when its health check passes again.
func TestEjectionEndsWithRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newInfirmary(t, balance.Outlier{ConsecutiveFailures: 2, MaxEjectedPercent: 50}, "a", "b")
		w.ill["a"] = true
		time.Sleep(time.Second) // virtual: the instant zero means no ejection
		w.rounds(t, 4)
		w.want(t, "a out")

		set := endpoints("a", "b")
		w.b.Update(set) // it was never unhealthy: nothing has recovered
		w.want(t, "a out")
		set = endpoints("a", "b")
		set[0].Unhealthy = true
		w.b.Update(set)
		w.want(t, "a out")
		w.b.Update(endpoints("a", "b"))
		w.want(t, "a out", "a back")
		if st := at(t, w.b, "a"); !st.Usable || !st.EjectedUntil.IsZero() {
			t.Errorf("usable %v, ejected until %s; want a in the set again", st.Usable, st.EjectedUntil)
		}
	})
}
