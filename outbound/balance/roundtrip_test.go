package balance_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound/balance"
)

func TestNewRefuses(t *testing.T) {
	dial := newFleet().dial
	for name, tc := range map[string]struct {
		cfg  balance.Config
		want string
	}{
		"no dial":        {balance.Config{}, "invalid Dial nil"},
		"policy":         {balance.Config{Dial: dial, Policy: "ring"}, `unknown policy "ring"`},
		"slow start":     {balance.Config{Dial: dial, SlowStart: -1}, "invalid SlowStart -1ns"},
		"key":            {balance.Config{Dial: dial, Policy: "ring_hash", HashOn: "client"}, `unknown HashOn "client"; known are client_ip`},
		"key's source":   {balance.Config{Dial: dial, Policy: "ring_hash", HashOn: "query:id"}, `HashOn "query:id": what comes before the colon`},
		"key's name":     {balance.Config{Dial: dial, Policy: "ring_hash", HashOn: "cookie:"}, `and after it a name`},
		"panic below":    {balance.Config{Dial: dial, PanicThreshold: -1}, "invalid PanicThreshold -1"},
		"panic above":    {balance.Config{Dial: dial, PanicThreshold: 101}, "invalid PanicThreshold 101"},
		"connections":    {balance.Config{Dial: dial, MaxConnections: -1}, "invalid MaxConnections -1"},
		"pending":        {balance.Config{Dial: dial, MaxPending: -1}, "invalid MaxPending -1"},
		"failures":       {balance.Config{Dial: dial, Outlier: balance.Outlier{ConsecutiveFailures: -1}}, "ConsecutiveFailures -1"},
		"base":           {balance.Config{Dial: dial, Outlier: balance.Outlier{BaseEjection: -1}}, "BaseEjection -1ns"},
		"percent below":  {balance.Config{Dial: dial, Outlier: balance.Outlier{MaxEjectedPercent: -1}}, "MaxEjectedPercent -1"},
		"percent above":  {balance.Config{Dial: dial, Outlier: balance.Outlier{MaxEjectedPercent: 101}}, "MaxEjectedPercent 101"},
		"all at once":    {balance.Config{MaxPending: -1}, "invalid Dial nil\nbalance: service : invalid MaxPending"},
		"policy's names": {balance.Config{Dial: dial, Policy: "x"}, "p2c, round_robin, weighted, least_connections and ring_hash"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := balance.New(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error = %v; want %q in it", err, tc.want)
			}
		})
	}
}

func TestRequestIsAddressed(t *testing.T) {
	for scheme, want := range map[string]string{
		"http":  "http://10.0.0.1:80/path?q=1",
		"https": "https://10.0.0.1:80/path?q=1",
		"h2c":   "http://10.0.0.1:80/path?q=1",
	} {
		t.Run(scheme, func(t *testing.T) {
			f := newFleet()
			var got string
			f.answer = func(_ string, req *http.Request) (*http.Response, error) {
				got = req.URL.String()
				return status(200), nil
			}
			b := open(t, balance.Config{Dial: f.dial},
				[]mesh.Endpoint{{ID: "a", Scheme: scheme, Address: "10.0.0.1:80", Host: "orders"}})
			req, call := request(context.Background())
			shared := req.URL
			resp, err := b.Through(nil).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			call.End(mesh.Result{})
			if got != want {
				t.Errorf("URL = %s; want %s", got, want)
			}
			if shared.Host != "orders" {
				t.Errorf("the URL that the attempt shares with others was changed to %s", shared)
			}
		})
	}
}

func TestAttemptIsRecorded(t *testing.T) {
	t.Run("response", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet()
			f.answer = func(string, *http.Request) (*http.Response, error) {
				pass(20 * time.Millisecond)
				return status(404), nil
			}
			b := open(t, balance.Config{Dial: f.dial}, endpoints("a"))
			req, call := request(context.Background(), "x")
			resp, err := b.Through(nil).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			call.End(mesh.Result{})
			got := call.Attempts[1]
			want := mesh.Attempt{Endpoint: "a", Scheme: "http", Start: got.Start, Duration: 20 * time.Millisecond, Status: 404}
			if got != want || time.Since(got.Start) != got.Duration {
				t.Errorf("attempt = %+v; want %+v", got, want)
			}
			if call.Attempts[0] != (mesh.Attempt{Endpoint: "x"}) {
				t.Errorf("the attempt before was changed to %+v", call.Attempts[0])
			}
		})
	})
	t.Run("failure", func(t *testing.T) {
		f := newFleet()
		f.answer = func(string, *http.Request) (*http.Response, error) { return nil, errRefused }
		b := open(t, balance.Config{Dial: f.dial}, endpoints("a"))
		req, call := request(context.Background())
		_, err := b.Through(nil).RoundTrip(req)
		if got := call.Attempts[0]; !errors.Is(err, errRefused) || !errors.Is(got.Err, errRefused) || got.Endpoint != "a" || got.Status != 0 {
			t.Errorf("error = %v, attempt = %+v; want the transport's error in both", err, got)
		}
	})
	t.Run("without a retry layer", func(t *testing.T) {
		b := open(t, balance.Config{Dial: newFleet().dial}, endpoints("a"))
		req, call := request(context.Background())
		call.Attempts = nil
		resp, err := b.Through(nil).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if len(call.Attempts) != 1 || call.Attempts[0].Endpoint != "a" {
			t.Errorf("attempts = %+v; want one at a", call.Attempts)
		}
		call.End(mesh.Result{})
	})
	t.Run("nowhere", func(t *testing.T) {
		b := open(t, balance.Config{Dial: newFleet().dial}, nil)
		req, call := request(context.Background())
		_, err := b.Through(nil).RoundTrip(req)
		wantFault(t, err, mesh.NoEndpoints)
		if got := call.Attempts[0]; !errors.Is(got.Err, err) || got.Endpoint != "" || got.Start.IsZero() {
			t.Errorf("attempt = %+v; want the error, a start and no endpoint", got)
		}
	})
}

func TestRequestWithoutCall(t *testing.T) {
	b := open(t, balance.Config{Dial: newFleet().dial}, endpoints("a"))
	req, err := http.NewRequest(http.MethodGet, "http://orders/", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Through(nil).RoundTrip(req)
	wantFault(t, err, mesh.Internal)
}

func TestNoEndpoints(t *testing.T) {
	ill := endpoints("a", "b")
	for i := range ill {
		ill[i].Unhealthy, ill[i].HealthNote = true, "got 500"
	}
	for name, tc := range map[string]struct {
		set  []mesh.Endpoint
		why  func() string
		want string
	}{
		"empty":          {nil, nil, "service orders: no endpoints"},
		"empty, why":     {nil, func() string { return "no such host" }, "no endpoints: no such host"},
		"empty, no why":  {nil, func() string { return "" }, "service orders: no endpoints"},
		"all unhealthy":  {ill, nil, "all 2 endpoints are unhealthy, such as a: got 500"},
		"unhealthy, why": {ill, func() string { return "stale" }, "all 2 endpoints are unhealthy, such as a: got 500"},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, balance.Config{Dial: newFleet().dial, Why: tc.why}, tc.set)
			_, err := send(b.Through(nil))
			f := wantFault(t, err, mesh.NoEndpoints)
			if f.Retryable || !strings.HasSuffix(f.Err.Error(), tc.want) {
				t.Errorf("fault = %v, retryable %v; want %q, not retryable", f, f.Retryable, tc.want)
			}
		})
	}
}

func TestTriedAreAvoided(t *testing.T) {
	set := append(endpoints("a", "b", "c"), mesh.Endpoint{ID: "ill", Scheme: "http", Address: "ill", Unhealthy: true})
	for _, policy := range []string{balance.P2C, balance.RoundRobin, balance.Weighted, balance.LeastConnections} {
		for name, tc := range map[string]struct {
			tried []string
			want  string // any of these
		}{
			"none":            {nil, "abc"},
			"one":             {[]string{"a"}, "bc"},
			"two":             {[]string{"a", "c"}, "b"},
			"all that can be": {[]string{"a", "b", "c"}, "abc"},
			"gone meanwhile":  {[]string{"z"}, "abc"},
		} {
			t.Run(policy+"/"+name, func(t *testing.T) {
				b := open(t, balance.Config{Dial: newFleet().dial, Policy: policy}, set)
				for range 30 {
					got, err := send(b.Through(nil), tc.tried...)
					if err != nil || got == "" || !strings.Contains(tc.want, got) {
						t.Fatalf("went to %q, %v; want one of %s", got, err, tc.want)
					}
				}
			})
		}
	}
}

func TestInFlightUntilTheEnd(t *testing.T) {
	f := newFleet()
	b := open(t, balance.Config{Dial: f.dial}, endpoints("a"))
	want := func(n int) {
		t.Helper()
		if got := at(t, b, "a").InFlight; got != n {
			t.Fatalf("in flight = %d; want %d", got, n)
		}
	}

	call := hold(t, b.Through(nil))
	want(1)
	call.End(mesh.Result{})
	want(0)

	call = hold(t, b.Through(nil))
	call.Unwind(0, mesh.Result{}) // the retry layer gives it up
	want(0)
	call.End(mesh.Result{})
	want(0)

	f.answer = func(string, *http.Request) (*http.Response, error) { return nil, errRefused }
	req, call := request(context.Background())
	_, err := b.Through(nil).RoundTrip(req)
	wantFault(t, err, mesh.Refused)
	want(0) // before the call ends
	call.End(mesh.Result{})
	want(0)
}

func TestPanickingTransport(t *testing.T) {
	f := newFleet()
	f.answer = func(string, *http.Request) (*http.Response, error) { panic(http.ErrAbortHandler) }
	b := open(t, balance.Config{Dial: f.dial, MaxConnections: 1}, endpoints("a"))
	rt := b.Through(&balance.Breaker{FailureThreshold: 1})
	req, call := request(context.Background())
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
			call.End(mesh.Result{}) // as the server does
		}()
		_, _ = rt.RoundTrip(req)
	}()
	if st := at(t, b, "a"); st.InFlight != 0 || st.Failures != 0 || st.Breakers[0].State != balance.Closed {
		t.Errorf("status = %+v; want nothing left behind", st)
	}
	f.answer = nil
	if _, err := send(rt); err != nil {
		t.Errorf("the place was not given back: %v", err)
	}
}

// What an endpoint is blamed for.
func TestVerdicts(t *testing.T) {
	canceled := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		return ctx
	}
	type counts struct{ good, bad uint64 }
	var good, bad, ignored = counts{1, 0}, counts{0, 1}, counts{}
	tests := map[string]struct {
		ctx    context.Context
		status int
		err    error
		want   counts
	}{
		"101":                       {status: 101, want: good},
		"200":                       {status: 200, want: good},
		"404":                       {status: 404, want: good},
		"499":                       {status: 499, want: good},
		"500":                       {status: 500, want: bad},
		"501":                       {status: 501, want: bad},
		"505":                       {status: 505, want: bad},
		"no Fault":                  {err: errors.New("broken"), want: bad},
		"deadline, no Fault":        {err: context.DeadlineExceeded, want: bad},
		"canceled, no Fault":        {err: context.Canceled, want: ignored},
		"canceled, client gone":     {ctx: canceled(&mesh.Fault{Kind: mesh.ClientGone}), err: context.Canceled, want: ignored},
		"canceled, client's own":    {ctx: canceled(&mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true}), err: context.Canceled, want: ignored},
		"canceled, per-try timeout": {ctx: canceled(&mesh.Fault{Kind: mesh.PerTryTimeout}), err: context.Canceled, want: bad},
	}
	blamed := map[mesh.Kind]bool{
		mesh.Refused: true, mesh.ConnectTimeout: true, mesh.Unreachable: true, mesh.TLSFailed: true,
		mesh.TLSCertificate: true, mesh.Reset: true, mesh.ResponseTimeout: true, mesh.PerTryTimeout: true,
		mesh.IdleTimeout: true, mesh.BadResponse: true, mesh.ResponseTooLarge: true, mesh.UnsupportedUpgrade: true,
	}
	for _, kind := range mesh.Kinds() {
		tc := tests[kind.Code()]
		tc.err, tc.want = &mesh.Fault{Kind: kind}, ignored
		if blamed[kind] {
			tc.want = bad
		}
		tests[kind.Code()] = tc
		tc.err, tc.want = &mesh.Fault{Kind: kind, ByClient: true}, ignored
		tests["by the client: "+kind.Code()] = tc
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFleet()
			f.answer = func(string, *http.Request) (*http.Response, error) {
				if tc.err != nil {
					return nil, tc.err
				}
				return status(tc.status), nil
			}
			b := open(t, balance.Config{Dial: f.dial}, endpoints("a"))
			ctx := tc.ctx
			if ctx == nil {
				ctx = context.Background()
			}
			req, call := request(ctx)
			if resp, err := b.Through(nil).RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
			call.End(mesh.Result{})
			st := at(t, b, "a")
			if got := (counts{st.Successes, st.Failures}); got != tc.want {
				t.Errorf("successes and failures = %v; want %v", got, tc.want)
			}
		})
	}
}
