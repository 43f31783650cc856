package why_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/internal/why"
)

// act is what becomes of a request behind the ring's layer.
type act func(call *mesh.Call, req *http.Request) mesh.Result

// pass sends one request through a ring's layer.
func pass(t testing.TB, ring *why.Ring, id string, do act, fields ...string) {
	t.Helper()
	stack := ring.Layer(why.Config{Hop: "outrider-1", Who: "ingress", Direction: "ingress", File: "gateway.yml",
		Because: func(*mesh.Call, *mesh.Fault) string { return "gateway.yml:7 (limits.uri_bytes)" }})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.example/api/users/7?token=secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	call := mesh.NewCall(t.Context())
	call.Start = time.Now()
	var result mesh.Result
	_, _ = stack(mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) { //nolint:bodyclose // there is none
		call.ID = id
		result = do(call, req)
		return nil, nil
	})).RoundTrip(call.Bind(req))
	call.End(result)
}

func well(*mesh.Call, *http.Request) mesh.Result { return mesh.Result{Status: 200} }

func TestRingKeepsWhatWasDecided(t *testing.T) {
	ring := why.NewRing()
	broken := &mesh.Fault{Kind: mesh.Refused, Endpoint: "10.0.0.1:80", Err: &url.Error{Op: "Get", URL: "http://10.0.0.1/?token=secret", Err: errors.New("connection refused")}}
	pass(t, ring, "id-1", func(call *mesh.Call, req *http.Request) mesh.Result {
		req.URL.Path, req.Host = "/7", "elsewhere" // as layers do that rewrite
		call.Client = netip.MustParseAddr("192.0.2.7")
		call.Route, call.Service = &mesh.Route{Name: "/api/**", Line: 12}, "users"
		call.Acts |= mesh.LimitPassed | mesh.NoBudget
		call.Attempts = []mesh.Attempt{
			{Endpoint: "10.0.0.1:80", Start: call.Start.Add(time.Millisecond), Duration: 2 * time.Millisecond, Err: broken},
			{Endpoint: "10.0.0.2:80", Start: call.Start.Add(4 * time.Millisecond), Duration: time.Millisecond, Status: 503},
		}
		return mesh.Result{Status: 502, Err: broken}
	}, "Via", "1.1 far, 1.1 outrider-0 (comment)", "Via", "1.1 outrider-1", "Authorization", "Bearer secret")

	found := ring.Find("id-1")
	if len(found) != 1 {
		t.Fatalf("%d records", len(found))
	}
	got := found[0]
	if strings.Contains(fmt.Sprintf("%+v", got), "secret") {
		t.Errorf("a secret is told: %+v", got)
	}
	if got.DurationMS < 0 || time.Since(got.Start) > time.Minute {
		t.Errorf("start %v, %vms", got.Start, got.DurationMS)
	}
	attempts := got.Attempts
	got.Start, got.DurationMS, got.Attempts = time.Time{}, 0, nil
	want := why.Record{
		Hop: "outrider-1", Who: "ingress", Direction: "ingress", ID: "id-1", Method: "GET", Host: "shop.example", Path: "/api/users/7",
		Client: "192.0.2.7", From: "outrider-0", Route: "/api/**", At: "gateway.yml:12", Service: "users",
		Acts:   []string{"rate limit passed", "not repeated: the retry budget was spent"},
		Status: 502, Code: "refused", Error: "The endpoint refused the connection: connection refused", Because: "gateway.yml:7 (limits.uri_bytes)",
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(attempts) != 2 || attempts[0].Code != "refused" || attempts[0].Reached() || attempts[0].AfterMS != 1 || attempts[0].DurationMS != 2 ||
		attempts[1].Status != 503 || !attempts[1].Reached() || attempts[1].Code != "" {
		t.Errorf("attempts %+v", attempts)
	}
	if n := len(ring.Find("")) + len(ring.Find("id-2")); n != 0 {
		t.Errorf("%d records of nothing", n)
	}
}

// A flood pushes out neither failures nor slow requests, and refusals of the client's
// own making push out nobody's.
func TestRingKeepsFailuresForLonger(t *testing.T) {
	ring := why.NewRing()
	fails := func(kind mesh.Kind) act {
		return func(*mesh.Call, *http.Request) mesh.Result {
			return mesh.Result{Status: kind.Status(), Err: &mesh.Fault{Kind: kind}}
		}
	}
	pass(t, ring, "failed", fails(mesh.Reset))
	pass(t, ring, "answered 500", func(*mesh.Call, *http.Request) mesh.Result { return mesh.Result{Status: 500} })
	pass(t, ring, "repeated", func(call *mesh.Call, _ *http.Request) mesh.Result {
		call.Attempts = make([]mesh.Attempt, 2)
		return mesh.Result{Status: 200}
	})
	pass(t, ring, "refused", fails(mesh.Unauthenticated))
	for i := range 4096 {
		pass(t, ring, fmt.Sprint(i), fails(mesh.NoRoute))
	}
	for id, want := range map[string]int{"failed": 1, "answered 500": 1, "repeated": 1, "refused": 0, "0": 1, "4095": 1} {
		if got := len(ring.Find(id)); got != want {
			t.Errorf("%s: %d records, want %d", id, got, want)
		}
	}
	for i := range 1024 {
		pass(t, ring, fmt.Sprint("f", i), fails(mesh.Reset))
	}
	if n := len(ring.Find("failed")); n != 0 {
		t.Errorf("failures are kept without end: %d", n)
	}
}

func TestRingKeepsSlowRequestsForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := why.NewRing()
		pass(t, ring, "slow", func(*mesh.Call, *http.Request) mesh.Result {
			<-time.After(time.Second)
			return mesh.Result{Status: 200}
		})
		for range 4096 {
			pass(t, ring, "quick", well)
		}
		if n := len(ring.Find("slow")); n != 1 {
			t.Errorf("%d records", n)
		}
	})
}

func TestRingBoundsOneID(t *testing.T) {
	ring := why.NewRing()
	for range 100 {
		pass(t, ring, "same", well)
	}
	if n := len(ring.Find("same")); n != 32 {
		t.Errorf("%d records", n)
	}
}

// What strangers send is cut; what is kept of it is bounded.
func TestRingBoundsMemory(t *testing.T) {
	ring := why.NewRing()
	long := strings.Repeat("x", 4000)
	flood := func() {
		for i := range 4096 + 1024 {
			pass(t, ring, long, func(call *mesh.Call, _ *http.Request) mesh.Result {
				call.Attempts = make([]mesh.Attempt, 12)
				for k := range call.Attempts {
					call.Attempts[k].Err = &mesh.Fault{Kind: mesh.Reset, Err: errors.New(long)}
				}
				if i%5 > 0 {
					call.Attempts = call.Attempts[:1]
				}
				return mesh.Result{Status: 404, Err: &mesh.Fault{Kind: mesh.NoRoute, Err: errors.New(long)}}
			}, "Via", "1.1 "+long)
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	flood()
	flood()
	runtime.GC()
	runtime.ReadMemStats(&after)
	const most = (4096 + 1024) * 6 << 10
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > most {
		t.Errorf("it holds %d KiB, want at most %d", grown>>10, most>>10)
	}
	found := ring.Find(long[:128])
	if len(found) == 0 || len(found[0].Attempts) > 8 || len(found[0].Error) > 600 {
		t.Errorf("%d records", len(found))
	}
	runtime.KeepAlive(ring)
}

func TestRingIsSafeForManyAtOnce(t *testing.T) {
	ring := why.NewRing()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				pass(t, ring, fmt.Sprintf("%d-%d", g, i), well)
				if i%100 == 0 {
					for _, r := range ring.Find(fmt.Sprintf("%d-%d", g, i)) {
						if r.Path != "/api/users/7" || r.Status != 200 {
							t.Errorf("%+v", r)
						}
					}
				}
			}
		})
	}
	all.Wait()
}

func TestRingCostsNoAllocation(t *testing.T) {
	ring := why.NewRing()
	for i := range 5000 {
		pass(t, ring, fmt.Sprint(i), well)
	}
	stack := ring.Layer(why.Config{})(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil }))
	calls := make([]*http.Request, 2000)
	for i := range calls {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a/b", nil)
		if err != nil {
			t.Fatal(err)
		}
		call := mesh.NewCall(t.Context())
		call.OnEnd(func(mesh.Result) {}) // has the list made, which others need as well
		call.OnEnd(func(mesh.Result) {})
		call.OnEnd(func(mesh.Result) {})
		calls[i] = call.Bind(req)
	}
	i := 0
	n := testing.AllocsPerRun(1000, func() {
		req := calls[i]
		i++
		_, _ = stack.RoundTrip(req) //nolint:bodyclose // there is none
		mesh.From(req).End(mesh.Result{Status: 200})
	})
	if n > 0.5 { // the pool may be emptied by a collection
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkRing(b *testing.B) {
	ring := why.NewRing()
	stack := ring.Layer(why.Config{})(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil }))
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://shop.example/api/users/7", nil)
	if err != nil {
		b.Fatal(err)
	}
	attempts := []mesh.Attempt{{Endpoint: "10.0.0.1:80", Status: 200}}
	for _, with := range []bool{false, true} {
		b.Run(map[bool]string{false: "without", true: "with"}[with], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				call := mesh.NewCall(b.Context())
				call.Start, call.ID, call.Attempts = time.Now(), "01a2138b-6749-7911-ac80-0aaaf25d4ccf", attempts
				call.OnEnd(func(mesh.Result) {})
				bound := call.Bind(req)
				if with {
					_, _ = stack.RoundTrip(bound) //nolint:bodyclose // there is none
				}
				call.End(mesh.Result{Status: 200})
			}
		})
	}
}

func TestActsInWords(t *testing.T) {
	all := slices.Collect((mesh.Preflight | mesh.CacheHit | mesh.NotIdempotent).All())
	if strings.Join(all, "; ") != "preflight answered; cache hit; not repeated: the method may do harm twice" {
		t.Errorf("%q", all)
	}
}
