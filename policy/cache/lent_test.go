package cache_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"outrider/internal/mesh"
	"outrider/policy/cache"
)

// lent is a client's connection, as an engine drives it: the Call, the Request, the
// Response and all that they hold are those of the next request, too.
type lent struct {
	stack http.RoundTripper
	call  *mesh.Call
	req   *http.Request
	resp  http.Response
	calls int
	lists []string
	body  []byte
}

func lending(t *testing.T, cfg cache.Config) *lent {
	l := &lent{call: mesh.NewCall(t.Context()), lists: make([]string, 16)}
	l.req = l.call.Bind(&http.Request{URL: &url.URL{}, Header: http.Header{}})
	l.resp.Header = http.Header{}
	origin := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
		l.calls++
		said := req.Header["Accept-Language"]
		req.Header["Accept-Language"] = []string{"edited"} // as layers below may
		l.fill(l.resp.Header, 8, "Date", date(epoch), "Vary", "Accept-Language", "Content-Language", said[0], "Cache-Control", "max-age=60")
		l.body = append(l.body[:0], said[0]...)
		l.resp.StatusCode, l.resp.ContentLength = http.StatusOK, int64(len(l.body))
		l.resp.Body = io.NopCloser(strings.NewReader(string(l.body)))
		return &l.resp, nil
	})
	l.stack = mesh.Stack(origin, cache.New(cfg).Layer())
	return l
}

// fill sets the fields of a header that was another message's.
func (l *lent) fill(h http.Header, from int, fields ...string) {
	clear(h)
	for i := 0; i < len(fields); i += 2 {
		at := from + i/2
		l.lists[at] = fields[i+1]
		h[fields[i]] = l.lists[at : at+1 : at+1]
	}
}

// ask returns the answer's body and language, and scribbles over all that was lent.
func (l *lent) ask(t *testing.T, path, language string) (body, said string) {
	l.req.Method, l.req.Host, l.req.Body = http.MethodGet, "shop.example", http.NoBody
	*l.req.URL = url.URL{Path: path}
	l.fill(l.req.Header, 0, "Accept-Language", language, "X-Forwarded-Proto", "https")
	resp, err := l.stack.RoundTrip(l.req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	said = resp.Header["Content-Language"][0]
	resp.Body.Close()
	l.call.End(mesh.Result{Status: 200})
	for i := range l.lists {
		l.lists[i] = "scribbled"
	}
	for i := range l.body {
		l.body[i] = '?'
	}
	l.req.URL.Path, l.req.Host = "/scribbled", "scribbled"
	l.resp.StatusCode, l.resp.ContentLength, l.resp.Body = 0, 0, nil
	if !l.call.Renew(t.Context()) {
		t.Fatal("the call cannot be used again")
	}
	return string(text), said
}

// What is stored is the cache's own: the answer, and what it was selected by.
func TestWhatIsStoredIsNotTheMessages(t *testing.T) {
	l := lending(t, cache.Config{Now: (&clock{at: epoch}).now})
	for range 2 {
		for _, path := range []string{"/a", "/b"} {
			for _, language := range []string{"de", "fr"} {
				if body, said := l.ask(t, path, language); body != language || said != language {
					t.Errorf("%s in %s is %q in %q", path, language, body, said)
				}
			}
		}
	}
	if l.calls != 4 {
		t.Errorf("the origin was asked %d times, want 4: once for each", l.calls)
	}
}

// What the cache costs a request that is none for it.
func TestPassingByAllocatesNothing(t *testing.T) {
	call := mesh.NewCall(t.Context())
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}
	stack := mesh.Stack(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) { return resp, nil }), cache.New(cache.Config{}).Layer())
	req := call.Bind(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{"Cookie": {"a=b"}, "Accept": {"*/*"}}})
	if n := testing.AllocsPerRun(200, func() {
		clear(resp.Header)
		if _, err := stack.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		call.End(mesh.Result{})
		call.Renew(t.Context())
	}); n != 0 {
		t.Errorf("%v allocations, the budget is 0", n)
	}
}
