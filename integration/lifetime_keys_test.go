package integration_test

import (
	"net/http"
	"runtime"
	"testing"
	"unsafe"
	"weak"

	"outrider/internal/mesh"
	"outrider/policy"
)

// Clause 9: what is kept of a header beyond the request is cloned, so that a client's
// name does not pin the head that it came in.
func TestLifetime9KeysDoNotPinHeads(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		origin := p.endpoint(t, func(http.ResponseWriter, *http.Request) {})
		limiter, err := policy.NewLimiter(policy.LimitConfig{Name: "tea", Rate: policy.Rate{PerMinute: 1, Burst: 1}, Key: policy.Header("X-Key")})
		if err != nil {
			t.Fatal(err)
		}
		heads := make(chan weak.Pointer[byte], 1)
		hide := func(next http.RoundTripper) http.RoundTripper { // so that the limiter alone can keep it
			return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				req.Header.Del("X-Key")
				return next.RoundTrip(req)
			})
		}
		e := p.serve(t, patiently(), []string{origin}, cut(heads), limiter.Layer(), hide)
		for n, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
			resp, err := e.Client.Do(request(t, http.MethodGet, e.URL+"/", "X-Key", "somebody"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("request %d of one client: status %d, want %d", n+1, resp.StatusCode, want)
			}
			await(t, "the end of the handler", e.Ended)
			forgotten(t, heads)
		}
		if limiter.Keys() != 1 {
			t.Errorf("the limiter remembers %d clients, want 1", limiter.Keys())
		}
		runtime.KeepAlive(limiter)
	})
}

// The same for connections to endpoints, which outlive the request as well: HTTP/2
// compresses heads by what was sent before.
func TestLifetime9ConnectionsDoNotPinHeads(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		origin := p.endpoint(t, func(http.ResponseWriter, *http.Request) {})
		heads := make(chan weak.Pointer[byte], 1)
		e := p.serve(t, patiently(), []string{origin}, cut(heads))
		resp, err := e.Client.Do(request(t, http.MethodGet, e.URL+"/", "X-Key", "somebody"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		await(t, "the end of the handler", e.Ended)
		forgotten(t, heads)
	})
}

// cut is an engine that cuts all strings of a head out of one allocation.
func cut(heads chan<- weak.Pointer[byte]) mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			head := make([]byte, 1<<20)
			n := copy(head, req.Header.Get("X-Key"))
			req.Header["X-Key"] = []string{unsafe.String(&head[0], n)}
			heads <- weak.Make(&head[0])
			return next.RoundTrip(req)
		})
	}
}

// forgotten waits until a head is garbage.
func forgotten(t *testing.T, heads <-chan weak.Pointer[byte]) {
	t.Helper()
	head := <-heads
	eventually(t, "the head is garbage", func() bool { runtime.GC(); return head.Value() == nil })
}
