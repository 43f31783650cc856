package balance

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"outrider/internal/mesh"
)

var update = flag.Bool("update", false, "write the golden files")

const golden = "testdata/simulation.golden"

// profile is a way for a service to behave.
type profile struct {
	name string
	odd  string // what is counted apart
	set  []mesh.Endpoint
	cfg  Config
	last time.Duration
	play func(s *simulator, set []mesh.Endpoint) // sets the servers up, and plans what happens
}

const (
	coldFor   = 3 * time.Second         // after its start a server is slow for so long
	restarted = 1500 * time.Millisecond // one server after the other
	away      = 2 * time.Millisecond    // what a request to the other zone takes longer
)

var profiles = []profile{
	{"all equal", "one of ten", numbered(10), Config{}, 10 * time.Second, func(s *simulator, set []mesh.Endpoint) {
		s.oddAddress(set[0].Address)
	}},
	{"one slow x10", "it", numbered(10), Config{}, 10 * time.Second, func(s *simulator, set []mesh.Endpoint) {
		s.oddAddress(set[0].Address).work = s.times(10)
	}},
	{"one fails in 1 ms", "it", numbered(10), Config{}, 10 * time.Second, func(s *simulator, set []mesh.Endpoint) {
		s.oddAddress(set[0].Address).work = func(time.Duration) (time.Duration, verdict) { return time.Millisecond, failed }
	}},
	{"rolling restart", "cold ones", numbered(10), Config{}, 20 * time.Second, restart},
	{"likewise, slow start", "cold ones", numbered(10), Config{SlowStart: coldFor}, 20 * time.Second, restart},
	{"zone loses half", "other zone", twoZones(), Config{Zone: "here", ZoneFirst: true}, 15 * time.Second, loseHalf},
}

// oddAddress has the server of that address counted apart.
func (s *simulator) oddAddress(address string) *server {
	s.odd = func(v *server, _ time.Duration) bool { return v == s.servers[address] }
	return s.servers[address]
}

// times is usual, but slower by a factor.
func (s *simulator) times(factor float64) func(time.Duration) (time.Duration, verdict) {
	return func(now time.Duration) (time.Duration, verdict) {
		took, v := s.usual(now)
		return time.Duration(float64(took) * factor), v
	}
}

// restart takes one endpoint after the other out and brings it back a second later,
// cold: five times as slow at first. Its set is numbered by position.
func restart(s *simulator, set []mesh.Endpoint) {
	s.odd = func(v *server, now time.Duration) bool { return v.joined > 0 && now-v.joined < coldFor }
	for i, e := range set {
		out := 2*time.Second + time.Duration(i)*restarted
		s.plan(out, func() { s.b.Update(slices.Concat(set[:i], set[i+1:])) })
		s.plan(out+time.Second, func() {
			v := &server{sim: s, joined: s.now()}
			v.work = func(now time.Duration) (time.Duration, verdict) {
				return s.times(1 + 4*max(0, 1-float64(now-v.joined)/float64(coldFor)))(now)
			}
			s.servers[e.Address] = v
			s.b.Update(set)
		})
	}
}

func twoZones() []mesh.Endpoint {
	set := numbered(12)
	for i := range set {
		set[i].Weight = 1
		if set[i].Zone = "here"; i%2 == 1 {
			set[i].Zone = "there"
		}
	}
	return set
}

// loseHalf makes half of our zone unhealthy after a while, and counts from then on.
func loseHalf(s *simulator, set []mesh.Endpoint) {
	there := map[*server]bool{}
	for _, e := range set {
		if v := s.servers[e.Address]; e.Zone == "there" {
			there[v] = true
			v.work = func(now time.Duration) (time.Duration, verdict) {
				took, verdict := s.usual(now)
				return took + away, verdict
			}
		}
	}
	s.odd = func(v *server, _ time.Duration) bool { return there[v] }
	s.counts = false
	s.plan(5*time.Second, func() {
		ill := slices.Clone(set)
		for i := 0; i < len(ill)/2; i += 2 {
			ill[i].Unhealthy = true
		}
		s.b.Update(ill)
		s.counts = true
	})
}

// outcome is what a simulation came to.
type outcome struct {
	p50, p99 time.Duration
	odd      float64 // percent of the requests
	failures int
	sticky   float64 // percent
}

func simulate(t *testing.T, p profile, policy string) (o outcome) {
	synctest.Test(t, func(t *testing.T) {
		cfg := p.cfg
		cfg.Policy = policy
		set := slices.Clone(p.set)
		for i := range set {
			set[i].Weight = 1
		}
		s := newSimulator(t, cfg, set)
		p.play(s, set)
		s.run(p.last)
		o = outcome{s.quantile(0.50), s.quantile(0.99), 100 * float64(s.toOdd) / float64(len(s.latencies)), s.failures, s.sticky()}
	})
	return o
}

// TestSimulation runs every policy against every profile. With -v it shows the table,
// which is also testdata/simulation.golden.
func TestSimulation(t *testing.T) {
	got := map[string]outcome{}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d requests a second, %s each; clients give up after %s; no retries, no ejection\n\n", rate, mean, patience)
	fmt.Fprintln(w, "profile\tpolicy\tp50\tp99\tfailures\tload of\t\tof a user at one endpoint")
	for _, p := range profiles {
		for _, policy := range policies {
			o := simulate(t, p, policy)
			got[p.name+"/"+policy] = o
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%.1f%%\t%.0f%%\n", p.name, policy,
				o.p50.Round(100*time.Microsecond), o.p99.Round(100*time.Microsecond), o.failures, p.odd, o.odd, o.sticky)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to a buffer
	t.Logf("\n%s", table.String())
	checkTable(t, table.Bytes())
	essentials(t, got)
}

// essentials checks what must be so whatever the figures are.
func essentials(t *testing.T, got map[string]outcome) {
	t.Helper()
	must := func(ok bool, what string) {
		t.Helper()
		if !ok {
			t.Errorf("it does not hold that %s", what)
		}
	}
	slow, turns := got["one slow x10/p2c"], got["one slow x10/round_robin"]
	must(2*slow.p99 < turns.p99, "p2c spares clients a slow endpoint that round robin sends them to")
	must(got["one slow x10/least_connections"].p99 < turns.p99, "least_connections does so too, in part")
	must(slow.odd > 0, "p2c tries a slow endpoint now and then")
	for _, policy := range []string{P2C, LeastConnections} {
		must(got["one fails in 1 ms/"+policy].odd < 1, "who fails at once is no magnet for "+policy)
	}
	for _, policy := range policies {
		must(got["all equal/"+policy].failures == 0, policy+" fails nobody where all is well")
		must(got["rolling restart/"+policy].failures == 0, policy+" fails nobody in a rolling restart")
		plain, eased := got["rolling restart/"+policy], got["likewise, slow start/"+policy]
		must(eased.odd < 0.9*plain.odd && eased.p99 < plain.p99, "slow start spares clients the cold endpoints of "+policy)
		zone := got["zone loses half/"+policy].odd
		must(zone > 25 && zone < 35, "a zone at half of its weight spills 1 - 1.4/2 = 30% by "+policy)
	}
	for _, p := range []string{"all equal", "one fails in 1 ms", "zone loses half"} {
		must(got[p+"/"+RingHash].sticky > 99, "ring_hash keeps a key at one endpoint: "+p)
	}
	must(got["one slow x10/"+RingHash].sticky > 90, "and moves few of a slow one's, by their load")
}

// checkTable compares the table with the golden file. Where floating-point operations
// are fused the figures differ a little, and so the file is amd64's.
func checkTable(t *testing.T, table []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, table, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOARCH == "amd64" && !bytes.Equal(table, want) {
		t.Errorf("the table is not that of %s; if it should be, run this test with -update:\n%s", golden, want)
	}
}
