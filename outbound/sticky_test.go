package outbound_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"outrider/internal/mesh"
	"outrider/outbound"
	"outrider/outbound/balance"
)

// Ring hash finds a request's key below retry as well: where the key's endpoint fails,
// all of the key's requests go to the same other one.
func TestSticky(t *testing.T) {
	for on, key := range map[string]func(i int) func(*http.Request){
		"header:x-tenant": func(i int) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("X-Tenant", fmt.Sprint("t", i)) }
		},
		"cookie:sid": func(i int) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("Cookie", fmt.Sprint("theme=dark; sid=", i)) }
		},
		"client_ip": func(i int) func(*http.Request) {
			return func(r *http.Request) { mesh.From(r).Client = netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
		},
	} {
		t.Run(on, func(t *testing.T) {
			var failing atomic.Value // the address of the endpoint that fails
			failing.Store("")
			var set []mesh.Endpoint
			for range 4 {
				_, e := serve(t, "http", func(w http.ResponseWriter, r *http.Request) {
					if local := r.Context().Value(http.LocalAddrContextKey); fmt.Sprint(local) == failing.Load() {
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				})
				set = append(set, e)
			}
			rt := start(t, outbound.Config{
				Retry:   outbound.Retry{Attempts: 1, On: []string{"503"}, Budget: always},
				Balance: balance.Config{Policy: balance.RingHash, HashOn: on},
			}, set...).RoundTripper(outbound.Override{})
			went := func(i int) []mesh.Attempt {
				x := send(t, rt, "GET", "/", nil, key(i))
				defer x.end() // now rather than with the test: what is in flight bounds an endpoint
				if x.text(); x.resp.StatusCode != http.StatusOK {
					t.Fatalf("status %d; want 200", x.resp.StatusCode)
				}
				return x.call.Attempts
			}
			used := map[string]bool{}
			for i := range 30 {
				failing.Store("")
				first := went(i)[0].Endpoint
				used[first] = true
				failing.Store(first)
				second := ""
				for range 3 {
					tries := went(i)
					if len(tries) != 2 || tries[0].Endpoint != first || second != "" && tries[1].Endpoint != second {
						t.Fatalf("key %d: attempts %+v; want %s and then always the same", i, tries, first)
					}
					second = tries[1].Endpoint
				}
			}
			if len(used) != len(set) {
				t.Errorf("%d endpoints are used; want all %d", len(used), len(set))
			}
		})
	}
}
