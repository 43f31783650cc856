package cache_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/policy/cache"
)

func TestWhatARequestForbids(t *testing.T) {
	tests := []struct {
		name string // and the section that says so
		req  string
		want bool
	}{
		{"plain", "Accept: */*", true},
		{"authorization, RFC 9111 3.5", "Authorization: Bearer x", false},
		{"cookie", "Cookie: a=b", false},
		{"API key", "X-Api-Key: k", false},
		{"token", "X-Auth-Token: k", false},
		{"range, RFC 9111 3.3", "Range: bytes=0-1", false},
		{"if-range, RFC 9110 13.1.5", `If-Range: "x"`, false},
		{"if-match, RFC 9111 4.3.2", `If-Match: "x"`, false},
		{"if-unmodified-since, RFC 9111 4.3.2", "If-Unmodified-Since: x", false},
		{"upgrade, RFC 9110 7.8", "Upgrade: websocket", false},
		{"method override", "X-Http-Method-Override: POST", false},
		{"method override, another", "X-Method-Override: POST", false},
		{"method override, a third", "X-Http-Method: POST", false},
		{"target override", "X-Original-Url: /admin", false},
		{"target override, another", "X-Rewrite-Url: /admin", false},
		{"API key, with underscores", "X_Api_Key: k", false},
		{"token, in any case", "x-aUTH_tOKEN: k", false},
		{"range, with an underscore", "if_range: x", false},
		{"method override, with underscores", "X_HTTP_METHOD_OVERRIDE: POST", false},
		{"target override, with an underscore", "X-Original_Url: /admin", false},
		{"a name that only begins so", "Cookie2: a=b", true},
		{"a longer name", "X-Http-Method-Override-Not: POST", true},
		{"no-store, RFC 9111 5.2.1.5", "Cache-Control: no-store", false},
		{"no-cache, RFC 9111 5.2.1.4, keeps the new answer", "Cache-Control: no-cache", true},
		{"max-age=0, RFC 9111 5.2.1.1, keeps the new answer", "Cache-Control: max-age=0", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute})
			r.get(tt.req)
			if got := r.kept(); got != tt.want {
				t.Errorf("kept its answer: %v, want %v", got, tt.want)
			}
			if tt.want {
				return
			}
			if !r.kept() {
				t.Fatal("a plain answer is not kept")
			}
			if r.kept(tt.req) {
				t.Error("it was answered from the store")
			}
		})
	}
}

func TestWhatACallForbids(t *testing.T) {
	for name, mark := range map[string]func(*mesh.Call){
		"a subject": func(c *mesh.Call) { c.Subject = "alice" },
		"personal":  func(c *mesh.Call) { c.Personal = true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute})
			ask := func() {
				req := r.request(http.MethodGet, "http://orders/1")
				mark(mesh.From(req))
				r.do(req)
			}
			ask()
			if r.kept() || !r.saw(cache.Bypass) {
				t.Errorf("results %v: its answer is kept", r.results)
			}
			ask() // now that a plain one's is
			if r.calls != 3 || r.saw(cache.Hit) {
				t.Errorf("calls %d, results %v: it was answered from the store", r.calls, r.results)
			}
		})
	}
}

func TestARequestWithABodyIsNotShared(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	for range 2 {
		plain, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://orders/1", strings.NewReader("q"))
		if err != nil {
			t.Fatal(err)
		}
		r.do(mesh.NewCall(t.Context()).Bind(plain))
	}
	if r.calls != 2 || r.kept() {
		t.Errorf("calls %d: want both passed on and nothing kept", r.calls)
	}
}

func TestWhatAResponseAllows(t *testing.T) {
	tests := []struct {
		name   string
		status int
		header string
		want   bool
	}{
		{"nothing said: the TTL", 200, "X: y", true},
		{"public alone says nothing of freshness", 200, "Cache-Control: public", true},
		{"max-age, RFC 9111 5.2.2.1", 200, "Cache-Control: max-age=60", true},
		{"max-age, quoted", 200, `Cache-Control: max-age="60"`, true},
		{"max-age=0", 200, "Cache-Control: max-age=0", false},
		{"max-age is no number, RFC 9111 4.2.1", 200, "Cache-Control: max-age=soon", false},
		{"max-age is negative", 200, "Cache-Control: max-age=-1", false},
		{"max-age is absent", 200, "Cache-Control: max-age", false},
		{"max-age twice and differing, RFC 9111 4.2.1", 200, "Cache-Control: max-age=60, max-age=90", false},
		{"max-age twice alike", 200, "Cache-Control: max-age=60, max-age=60", true},
		{"max-age beyond all bounds, RFC 9111 1.2.2", 200, "Cache-Control: max-age=99999999999999999999", true},
		{"s-maxage over max-age, RFC 9111 5.2.2.10", 200, "Cache-Control: max-age=0, s-maxage=60", true},
		{"s-maxage=0 over max-age", 200, "Cache-Control: max-age=60, s-maxage=0", false},
		{"no-store, RFC 9111 5.2.2.5", 200, "Cache-Control: no-store, max-age=60", false},
		{"no-store in capitals", 200, "Cache-Control: No-Store", false},
		{"private, RFC 9111 5.2.2.7", 200, "Cache-Control: max-age=60,private", false},
		{"private for a field", 200, `Cache-Control: private="a, b", max-age=60`, false},
		{"private after a semicolon", 200, "Cache-Control: max-age=60; private", false},
		{"private before a semicolon", 200, "Cache-Control: private; max-age=60", false},
		{"no-cache, RFC 9111 5.2.2.4", 200, "Cache-Control: no-cache, max-age=60", false},
		{"no-store behind an open quote", 200, `Cache-Control: max-age=60, x="y, no-store`, false},
		{"no-store inside quotes is not said", 200, `Cache-Control: max-age=60, x="y, no-store, z"`, true},
		{"no-store inside quotes with an escape", 200, `Cache-Control: max-age=60, x="\", no-store"`, true},
		{"Pragma, where nothing else is said", 200, "Pragma: no-cache", false},
		{"Expires, RFC 9111 5.3", 200, "Expires: " + date(epoch.Add(time.Hour)), true},
		{"Expires in the past", 200, "Expires: " + date(epoch.Add(-time.Hour)), false},
		{"Expires: 0", 200, "Expires: 0", false},
		{"Set-Cookie, RFC 9111 7.3", 200, "Set-Cookie: a=b", false},
		{"Vary: *, RFC 9111 4.1", 200, "Vary: *", false},
		{"Vary: * among others", 200, "Vary: Accept, *", false},
		{"event stream", 200, "Content-Type: text/event-stream; charset=utf-8", false},
		{"partial content, RFC 9111 3.3", 206, "Cache-Control: max-age=60", false},
		{"Content-Range", 200, "Content-Range: bytes 0-1/2", false},
		{"Age beyond the lifetime, RFC 9111 4.2.3", 200, "Age: 60", false},
		{"Age below the lifetime", 200, "Age: 59", true},
		{"Age is no number, RFC 9111 5.1", 200, "Age: old", true},
		{"Age is a list, RFC 9111 5.1", 200, "Age: 5, 999", true},
		{"Date long ago, RFC 9111 4.2.3", 200, "Date: " + date(epoch.Add(-time.Minute)), false},
		{"203 by the TTL", 203, "X: y", true},
		{"204 by the TTL", 204, "X: y", false},
		{"204 by max-age", 204, "Cache-Control: max-age=60", true},
		{"300 by max-age", 300, "Cache-Control: max-age=60", true},
		{"301 by the TTL", 301, "X: y", true},
		{"302, RFC 9110 15.1", 302, "Cache-Control: max-age=60", false},
		{"304", 304, "Cache-Control: max-age=60", false},
		{"307", 307, "Cache-Control: max-age=60", false},
		{"308 by the TTL", 308, "X: y", true},
		{"401", 401, "Cache-Control: max-age=60", false},
		{"404 by the TTL", 404, "X: y", false},
		{"404 by max-age", 404, "Cache-Control: max-age=60", true},
		{"405 by max-age", 405, "Cache-Control: max-age=60", true},
		{"410 by max-age", 410, "Cache-Control: max-age=60", true},
		{"414 by max-age", 414, "Cache-Control: max-age=60", true},
		{"500", 500, "Cache-Control: max-age=60", false},
		{"501 by max-age", 501, "Cache-Control: max-age=60", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute})
			body := "body"
			if tt.status == 204 || tt.status == 304 {
				body = ""
			}
			r.answers(tt.status, body, tt.header)
			first, _ := r.get()
			if got := r.kept(); got != tt.want {
				t.Fatalf("kept: %v, want %v (results %v)", got, tt.want, r.results)
			}
			said := strings.Contains(first.Header.Get("Cache-Status"), "; stored")
			if said != tt.want {
				t.Errorf("Cache-Status %q, kept %v", first.Header.Get("Cache-Status"), tt.want)
			}
			second, got := r.get()
			if second.StatusCode != tt.status || got != body {
				t.Errorf("answered %d %q, want %d %q", second.StatusCode, got, tt.status, body)
			}
		})
	}
}

func TestWithoutTTLOnlyWhatTheOriginSays(t *testing.T) {
	r := newRig(t, cache.Config{})
	r.get()
	if r.kept() {
		t.Error("an answer was kept that nobody called fresh")
	}
	r.answers(200, "body", "Cache-Control: max-age=1")
	r.get()
	if !r.kept() {
		t.Error("max-age was not obeyed")
	}
}

func TestExpiresTwiceIsStale(t *testing.T) { // RFC 9111, section 4.2.1
	r := newRig(t, cache.Config{TTL: time.Minute})
	later := "Expires: " + date(epoch.Add(time.Hour))
	r.answers(200, "body", later, later)
	r.get()
	if r.kept() {
		t.Error("an answer with two Expires was kept")
	}
}

func TestAnnouncedTrailersAreNotKept(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.origin = func(*http.Request) (*http.Response, error) {
		resp := r.ok("body")
		resp.Trailer = http.Header{"Checksum": nil}
		return resp, nil
	}
	r.get()
	if r.kept() {
		t.Error("an answer with trailers was kept")
	}
}

func TestFaultsPass(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	fault := &mesh.Fault{Kind: mesh.NoEndpoints}
	r.origin = func(*http.Request) (*http.Response, error) { return nil, fault }
	for _, req := range []*http.Request{
		r.request(http.MethodGet, "http://orders/1"),
		r.request(http.MethodGet, "http://orders/1", "Cookie: a=b"),
		r.request(http.MethodPost, "http://orders/1"),
	} {
		resp, err := r.stack.RoundTrip(req)
		if resp != nil || mesh.AsFault(err) != fault {
			t.Errorf("%s: got %v, %v, want the fault", req.Method, resp, err)
		}
	}
	if entries, _ := r.cache.Stats(); entries != 0 || r.saw(cache.Invalidated) {
		t.Errorf("entries %d, results %v: want none, and nothing invalidated", entries, r.results)
	}
}
