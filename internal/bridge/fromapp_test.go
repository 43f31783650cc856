package bridge_test

import (
	"net/http"
	"net/netip"
	"testing"
)

// What an app says of whom it acts for goes on; its own address does not.
func TestFromApp(t *testing.T) {
	c := trusting()
	c.FromApp = true
	c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix("127.0.0.0/8"))
	const app = "127.0.0.1:3333"
	said := http.Header{
		"X-Forwarded-For": {"203.0.113.9"}, "X-Forwarded-Proto": {"https"}, "Forwarded": {"for=203.0.113.9"},
		"X-Request-Id": {"the-callers"}, "X-User-Id": {"42"},
	}
	req, call, _ := forward(c, app, said.Clone())
	for name, want := range said {
		if got := req.Header.Get(name); got != want[0] {
			t.Errorf("%s: %q, want %q as the app said it", name, got, want[0])
		}
	}
	if call.ID != "the-callers" || call.Client.String() != "203.0.113.9" {
		t.Errorf("the call's ID is %q and its client %s", call.ID, call.Client)
	}

	req, call, _ = forward(c, app, http.Header{})
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"} {
		if got, has := req.Header[name]; has {
			t.Errorf("%s: %q of an app that said nothing", name, got)
		}
	}
	if req.Header.Get("X-Request-Id") != "new-id" || call.Client.String() != "127.0.0.1" {
		t.Errorf("X-Request-Id %q, client %s", req.Header.Get("X-Request-Id"), call.Client)
	}

	req, _, _ = forward(c, strange, said.Clone())
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-User-Id"} {
		if got := req.Header.Get(name); got != "" {
			t.Errorf("%s: %q of a stranger", name, got)
		}
	}
}
