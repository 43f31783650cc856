package balance

import (
	"math"
	"testing"
	"time"
)

func TestEWMA(t *testing.T) {
	type step struct {
		at, took time.Duration
		v        verdict
	}
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		steps []step
		now   time.Duration
		want  time.Duration
	}{
		"nothing":              {nil, time.Hour, 0},
		"the first counts":     {[]step{{0, 10 * ms, succeeded}}, 0, 10 * ms},
		"a peak at once":       {[]step{{0, 10 * ms, succeeded}, {ms, 80 * ms, succeeded}}, ms, 80 * ms},
		"slowly down":          {[]step{{0, 80 * ms, succeeded}, {time.Second, 10 * ms, succeeded}}, time.Second, 73339 * time.Microsecond},
		"decays when idle":     {[]step{{0, 100 * ms, succeeded}}, 10 * time.Second, 36788 * time.Microsecond},
		"to nothing":           {[]step{{0, time.Second, succeeded}}, time.Hour, 0},
		"failure doubles":      {[]step{{0, 10 * ms, succeeded}, {0, ms, failed}}, 0, 20 * ms},
		"slow failure counts":  {[]step{{0, 10 * ms, succeeded}, {0, time.Second, failed}}, 0, time.Second},
		"has a ceiling":        {[]step{{0, 50 * time.Second, failed}, {0, ms, failed}}, 0, time.Minute},
		"impatience raises":    {[]step{{0, 10 * ms, succeeded}, {0, time.Second, ignored}}, 0, time.Second},
		"and lowers nothing":   {[]step{{0, 10 * ms, succeeded}, {0, ms, ignored}}, 0, 10 * ms},
		"clocks may be behind": {[]step{{time.Minute, 10 * ms, succeeded}}, 59 * time.Second, 10 * ms},
		"after the wrap":       {[]step{{1<<52 - time.Second, 100 * ms, succeeded}}, 1<<52 + 9*time.Second, 36788 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			var e ewma
			for _, s := range tc.steps {
				e.observe(s.at, s.took, s.v)
			}
			if got := e.at(tc.now); math.Abs(got-float64(tc.want)) > 1e-3*float64(tc.want)+1 {
				t.Errorf("cost = %s; want %s", time.Duration(got), tc.want)
			}
		})
	}
}
