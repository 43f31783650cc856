package outbound_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outrider/internal/mesh"
	"outrider/outbound"
)

// TestTE: over HTTP/1.1, whichever way the connection came to speak it, Connection
// names TE beside what else it names; over HTTP/2 there is none.
func TestTE(t *testing.T) {
	show := func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("Te"), ", ", strings.Join(r.Header["Connection"], "|"))
	}
	old := httptest.NewTLSServer(http.HandlerFunc(show))
	t.Cleanup(old.Close)
	plain, e := serve(t, "http", show)
	modern, e2 := serve(t, "https", show)
	for _, c := range []struct {
		name     string
		server   *httptest.Server
		endpoint mesh.Endpoint
		edit     func(*http.Request)
		want     string
	}{
		{"http", plain, e, nil, "trailers, TE"},
		{"https, HTTP/1.1", old, endpoint("https", old.Listener.Addr().String()), nil, "trailers, TE"},
		{"https, HTTP/2", modern, e2, nil, "trailers, "},
		{"upgrade", plain, e, upgrade, "trailers, Upgrade, TE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, outbound.Config{TLS: tlsOf(c.server)}, c.endpoint)
			for range 2 { // the second over a kept connection
				x := send(t, s.RoundTripper(outbound.Override{}), "GET", "/", nil, func(r *http.Request) {
					r.Header.Set("Te", "trailers")
					if c.edit != nil {
						c.edit(r)
					}
				})
				if got := x.text(); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				x.end()
			}
		})
	}
}
