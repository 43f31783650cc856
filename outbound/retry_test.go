package outbound

import (
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
)

var usual = Retry{
	Attempts: 2, On: []string{"connect", "reset", "502", "503", "504"},
	Base: 25 * time.Millisecond, Max: 250 * time.Millisecond, Budget: Budget{Percent: 20, Min: 3},
}

// layer puts the retry layer on an origin. The waits are their upper bounds.
func layer(policy Retry, next http.RoundTripper, r *recorder) *retrier {
	return &retrier{next: next, service: "orders", policy: policy, ledger: &ledger{}, events: r.events(),
		rand: func() uint64 { return uint64(25 * time.Millisecond) }}
}

func fault(kind mesh.Kind, retryable bool) outcome {
	return outcome{fault: &mesh.Fault{Kind: kind, Retryable: retryable}}
}

func TestRetryTable(t *testing.T) {
	ok := outcome{status: 200, body: "ok"}
	after := func(v string) outcome { return outcome{status: 503, header: http.Header{"Retry-After": {v}}} }
	for _, c := range []struct {
		name     string
		method   string
		outcomes []outcome
		attempts int
		status   int       // of the response
		kind     mesh.Kind // of the Fault where status is zero
	}{
		{"good at once", "GET", []outcome{ok}, 1, 200, 0},
		{"refused", "GET", []outcome{fault(mesh.Refused, true), ok}, 2, 200, 0},
		{"refused, any method", "POST", []outcome{fault(mesh.Refused, true), ok}, 2, 200, 0},
		{"connect timeout, any method", "PATCH", []outcome{fault(mesh.ConnectTimeout, true), ok}, 2, 200, 0},
		{"certificate", "POST", []outcome{fault(mesh.TLSCertificate, true), ok}, 2, 200, 0},
		{"reset", "GET", []outcome{fault(mesh.Reset, true), ok}, 2, 200, 0},
		{"reset of a POST", "POST", []outcome{fault(mesh.Reset, false), ok}, 1, 0, mesh.Reset},
		{"nonsense", "GET", []outcome{fault(mesh.BadResponse, true), ok}, 2, 200, 0},
		{"large head", "GET", []outcome{fault(mesh.ResponseTooLarge, true), ok}, 1, 0, mesh.ResponseTooLarge},
		{"per-try timeout", "PUT", []outcome{fault(mesh.PerTryTimeout, true), ok}, 2, 200, 0},
		{"response timeout", "GET", []outcome{fault(mesh.ResponseTimeout, true), ok}, 1, 0, mesh.ResponseTimeout},
		{"breaker open", "GET", []outcome{fault(mesh.BreakerOpen, true), ok}, 1, 0, mesh.BreakerOpen},
		{"overflow", "GET", []outcome{fault(mesh.Overflow, true), ok}, 1, 0, mesh.Overflow},
		{"client gone", "GET", []outcome{fault(mesh.ClientGone, false), ok}, 1, 0, mesh.ClientGone},
		{"client's doing", "GET", []outcome{{fault: &mesh.Fault{Kind: mesh.Reset, Retryable: true, ByClient: true}}, ok}, 1, 0, mesh.Reset},
		{"503", "GET", []outcome{{status: 503}, ok}, 2, 200, 0},
		{"502 and 504", "DELETE", []outcome{{status: 502}, {status: 504}, ok}, 3, 200, 0},
		{"503 of a POST", "POST", []outcome{{status: 503}, ok}, 1, 503, 0},
		{"500", "GET", []outcome{{status: 500}, ok}, 1, 500, 0},
		{"404", "GET", []outcome{{status: 404}, ok}, 1, 404, 0},
		{"all 503: the last one", "GET", []outcome{{status: 503, body: "a"}}, 3, 503, 0},
		{"all refused", "GET", []outcome{fault(mesh.Refused, true)}, 3, 0, mesh.Refused},
		{"the most telling", "GET", []outcome{fault(mesh.Reset, true), fault(mesh.Refused, true), fault(mesh.NoEndpoints, false)}, 3, 0, mesh.Reset},
		{"the later of equals", "GET", []outcome{fault(mesh.Reset, true), fault(mesh.PerTryTimeout, true)}, 3, 0, mesh.PerTryTimeout},
		{"Retry-After short", "GET", []outcome{after("1"), ok}, 2, 200, 0},
		{"Retry-After long", "GET", []outcome{after("6"), ok}, 1, 503, 0},
		{"Retry-After unreadable", "GET", []outcome{after("soon"), ok}, 2, 200, 0},
		{"Retry-After in the past", "GET", []outcome{after("Sat, 02 Jan 1999 15:04:05 GMT"), ok}, 2, 200, 0},
		{"Retry-After far date", "GET", []outcome{after("Mon, 02 Jan 2906 15:04:05 GMT"), ok}, 1, 503, 0},
		{"Retry-After overflowing", "GET", []outcome{after("99999999999999999999"), ok}, 2, 200, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, outcomes: c.outcomes}
				req, call := request(c.method, "")
				resp, err := layer(usual, s, &recorder{}).RoundTrip(req)
				if len(s.starts) != c.attempts || len(call.Attempts) != c.attempts {
					t.Errorf("%d attempts, %d noted, want %d", len(s.starts), len(call.Attempts), c.attempts)
				}
				if s.released != c.attempts-1 {
					t.Errorf("%d attempts released before the end, want all but the last", s.released)
				}
				switch {
				case c.status != 0 && (err != nil || resp.StatusCode != c.status):
					t.Errorf("got %v, %v, want status %d", resp, err, c.status)
				case c.status == 0 && (err == nil || mesh.AsFault(err).Kind != c.kind):
					t.Errorf("got %v, want %v", err, c.kind)
				}
				if err == nil {
					_ = resp.Body.Close()
				}
				if s.open != 0 {
					t.Errorf("%d response bodies left open", s.open)
				}
				call.End(mesh.Result{})
				if s.released != c.attempts {
					t.Errorf("%d attempts released, want %d", s.released, c.attempts)
				}
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy Retry
		want   []time.Duration
	}{
		{"doubles up to Max", Retry{Base: 25, Max: 90}, []time.Duration{25, 50, 90, 90}},
		{"no base", Retry{Max: 90}, []time.Duration{0, 0}},
		{"no max", Retry{Base: 1}, []time.Duration{1, 2, 4, 8, 10, 10}},
		{"max below base", Retry{Base: 9, Max: 5}, []time.Duration{5, 5}},
		{"many", Retry{Base: time.Hour, Max: 1 << 62}, append(make([]time.Duration, 0), time.Hour)},
	} {
		for n, want := range c.want {
			if got := c.policy.backoff(n); got != want {
				t.Errorf("%s: wait %d is %d, want %d", c.name, n, got, want)
			}
		}
	}
	if got := (Retry{Base: time.Hour, Max: 1 << 62}).backoff(1000); got != 1<<62 {
		t.Errorf("after many attempts: %d", got)
	}
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, outcomes: []outcome{{status: 503}, {status: 503, header: http.Header{"Retry-After": {"2"}}}, {status: 200}}}
		r := layer(usual, s, &recorder{})
		r.rand = func() uint64 { return uint64(20 * time.Millisecond) }
		req, call := request("GET", "")
		if resp, err := r.RoundTrip(req); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		call.End(mesh.Result{})
		if d := s.starts[1].Sub(s.starts[0]); d != 20*time.Millisecond {
			t.Errorf("first wait %v: not what was drawn", d)
		}
		if d := s.starts[2].Sub(s.starts[1]); d != 2*time.Second {
			t.Errorf("second wait %v: not what was asked for", d)
		}
	})
}

func TestJitterStaysInBounds(t *testing.T) {
	for _, bound := range []time.Duration{0, 1, 25 * time.Millisecond} {
		for _, random := range []uint64{0, 1, uint64(bound), uint64(bound) + 1, 1<<64 - 1} {
			r := &retrier{rand: func() uint64 { return random }}
			if d := r.jitter(bound); d < 0 || d > bound {
				t.Errorf("bound %v: %v", bound, d)
			}
		}
	}
}

func TestNoRetryWhenNobodyWaits(t *testing.T) {
	gone := &mesh.Fault{Kind: mesh.ClientGone}
	for _, c := range []struct {
		name    string
		before  func(*mesh.Call)
		outcome outcome
		want    mesh.Kind
		status  int
	}{
		{"client gone during the attempt", func(c *mesh.Call) { time.AfterFunc(time.Second, func() { c.Cancel(gone) }) },
			outcome{takes: 2 * time.Second, status: 503}, mesh.ClientGone, 0},
		{"client gone during the wait", func(c *mesh.Call) { time.AfterFunc(time.Second, func() { c.Cancel(gone) }) },
			outcome{status: 503, header: http.Header{"Retry-After": {"3"}}}, mesh.ClientGone, 0},
		{"client gone with the head", func(c *mesh.Call) { c.Cancel(gone) }, outcome{status: 503}, mesh.ClientGone, 0},
		{"deadline during the attempt", func(c *mesh.Call) {
			c.SetDeadline(time.Now().Add(time.Second), &mesh.Fault{Kind: mesh.ResponseTimeout})
		}, outcome{takes: 2 * time.Second, status: 503}, mesh.ResponseTimeout, 0},
		{"deadline before the next", func(c *mesh.Call) {
			c.SetDeadline(time.Now().Add(time.Second), &mesh.Fault{Kind: mesh.ResponseTimeout})
		}, outcome{status: 503, header: http.Header{"Retry-After": {"1"}}}, 0, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, outcomes: []outcome{c.outcome}}
				req, call := request("GET", "")
				c.before(call)
				resp, err := layer(usual, s, &recorder{}).RoundTrip(req)
				if len(s.starts) != 1 {
					t.Errorf("%d attempts", len(s.starts))
				}
				if c.status != 0 && (err != nil || resp.StatusCode != c.status) {
					t.Errorf("got %v, %v", resp, err)
				}
				if c.status == 0 && (err == nil || mesh.AsFault(err).Kind != c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				call.End(mesh.Result{})
			})
		})
	}
}

func TestBudgetExhausted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		s := &script{t: t, outcomes: []outcome{{status: 503, body: "the endpoint's own"}}}
		policy := usual
		policy.Base, policy.Attempts, policy.Budget = 0, 1, Budget{Percent: 50} // every second request
		l := layer(policy, s, &r)
		for range 5 {
			req, call := request("GET", "")
			resp, err := l.RoundTrip(req)
			if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
				t.Fatal(resp, err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != "the endpoint's own" {
				t.Errorf("got %q", b)
			}
			call.End(mesh.Result{})
		}
		if !reflect.DeepEqual(r.reasons, []string{"503", "503"}) || r.exhausted != 3 {
			t.Errorf("retries %v, %d times exhausted", r.reasons, r.exhausted)
		}
	})
}

func TestRetriedBodies(t *testing.T) {
	long := strings.Repeat("x", replayLimit+1)
	refused := &mesh.Fault{Kind: mesh.Refused, Retryable: true}
	for _, c := range []struct {
		name   string
		body   string
		length int64
		first  outcome
		want   []string
	}{
		{"whole", "hello", 5, outcome{status: 503, consume: -1}, []string{"hello", "hello"}},
		{"in part", "hello", 5, outcome{status: 503, consume: 2}, []string{"he", "hello"}},
		{"not at all", "hello", -1, outcome{status: 503}, []string{"", "hello"}},
		{"as long as may be", long[1:], -1, outcome{status: 503, consume: -1}, []string{long[1:], long[1:]}},
		{"too long", long, -1, outcome{status: 503, consume: -1}, []string{long}},
		{"too long, beginning only", long, -1, outcome{status: 503, consume: 100}, []string{long[:100], long}},
		{"said to be too long", long, int64(len(long)), outcome{status: 503, consume: -1}, []string{long}},
		{"said to be too long, untouched", long, int64(len(long)), outcome{fault: refused}, []string{"", long}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, outcomes: []outcome{c.first, {status: 200, consume: -1}}}
				req, call := request("PUT", c.body)
				req.ContentLength = c.length
				resp, err := layer(usual, s, &recorder{}).RoundTrip(req)
				if err != nil || resp.StatusCode == http.StatusOK != (len(c.want) == 2) {
					t.Errorf("got %v, %v", resp, err)
				}
				if !reflect.DeepEqual(s.bodies, c.want) {
					t.Errorf("%d bodies, not the %d expected", len(s.bodies), len(c.want))
				}
				call.End(mesh.Result{})
			})
		})
	}
}

func TestRetryCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy Retry
		want   string
	}{
		{"zero", Retry{}, ""},
		{"usual", usual, ""},
		{"word", Retry{On: []string{"timeout"}}, `"timeout"`},
		{"status", Retry{On: []string{"200"}}, `"200"`},
		{"sign", Retry{On: []string{"+50"}}, `"+50"`},
		{"attempts", Retry{Attempts: -1}, "negative"},
		{"base", Retry{Base: -1}, "negative"},
		{"budget", Retry{Budget: Budget{Percent: -1}}, "negative"},
	} {
		err := c.policy.check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestPerTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, outcomes: []outcome{{takes: time.Hour}, {takes: time.Second - 1, status: 200}}}
		l := layer(usual, perTry(time.Second)(s), &recorder{})
		req, call := request("GET", "")
		began := time.Now()
		resp, err := l.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		if d := s.starts[1].Sub(began); d != time.Second+25*time.Millisecond {
			t.Errorf("the second attempt came after %v", d)
		}
		<-time.After(time.Hour) // the body may take longer than the head
		if err := over(call); err != nil {
			t.Errorf("the body's time is up: %v", err)
		}
		call.End(mesh.Result{})
	})
}

// TestPerTryAtTheLastMoment: a head that comes as time runs out has a body that would
// break off.
func TestPerTryAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t}
		engine := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			s.open++
			return &http.Response{StatusCode: http.StatusOK, Body: &scriptBody{strings.NewReader("x"), s}}, nil
		})
		endpoint := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			return newExchange("a", req).run(engine)
		})
		req, call := request("GET", "")
		_, err := perTry(time.Second)(endpoint).RoundTrip(req)
		if mesh.AsFault(err).Kind != mesh.PerTryTimeout || s.open != 0 {
			t.Errorf("got %v, %d bodies open", err, s.open)
		}
		call.End(mesh.Result{})
	})
}

// TestDiscardIsBounded: neither a long nor a slow body of a response that is not
// handed on holds up the next attempt.
func TestDiscardIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		origin := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			tries++
			if tries == 3 {
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
			}
			body := bodyFunc(func([]byte) (int, error) { return 0, sleep(mesh.From(req), time.Hour) })
			length := int64(-1)
			if tries == 2 {
				length = drainLimit + 1 // not even begun
			}
			return &http.Response{StatusCode: http.StatusServiceUnavailable, ContentLength: length, Body: body}, nil
		})
		policy := usual
		policy.Base = 0
		req, call := request("GET", "")
		began := time.Now()
		if resp, err := layer(policy, origin, &recorder{}).RoundTrip(req); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		if d := time.Since(began); d != drainTime {
			t.Errorf("took %v", d)
		}
		call.End(mesh.Result{})
	})
}
