package cache_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"outrider/policy/cache"
)

func TestAHitIsTheAnswerThatCame(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute, Name: "edge"})
	r.answers(200, "body",
		"Content-Type: text/plain", `Etag: "1"`, "Via: 1.1 inner", "Link: </a>", "Link: </b>", "Cache-Status: inner; hit",
		"Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Status: inner; error=x", "X-Request-Id: first",
		"Proxy-Authenticate: Basic", "X-Outrider-Load: 3", "Age: 7")
	first, _ := r.get()
	if got := first.Header.Get("Keep-Alive"); got == "" {
		t.Error("the first answer lost a field that is the bridge's business")
	}
	r.clock.advance(2 * time.Second)
	resp, body := r.get()
	want := http.Header{
		"Content-Type": {"text/plain"}, "Etag": {`"1"`}, "Via": {"1.1 inner"}, "Link": {"</a>", "</b>"},
		"Cache-Status": {"inner; hit", "edge; hit; ttl=51"}, "Date": {date(epoch)}, "Age": {"9"}, "Content-Length": {"4"},
	}
	for name := range resp.Header {
		if !slices.Equal(resp.Header[name], want[name]) {
			t.Errorf("%s: %q, want %q", name, resp.Header[name], want[name])
		}
	}
	if len(resp.Header) != len(want) || body != "body" || resp.ContentLength != 4 || resp.Request == nil {
		t.Errorf("answered %v, %d bytes %q", resp.Header, resp.ContentLength, body)
	}
}

func TestAnswersShareNothing(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.answers(200, "body", "X-A: 1")
	first, _ := r.get()
	first.Header.Set("X-A", "edited")
	second, _ := r.get()
	second.Header["X-A"][0] = "edited"
	second.Header.Add("Cache-Status", "outer; fwd=miss")
	third, _ := r.get()
	if got := third.Header.Get("X-A"); got != "1" {
		t.Errorf("an edit of one answer reached another: %q", got)
	}
	if got := third.Header["Cache-Status"]; len(got) != 1 {
		t.Errorf("Cache-Status %q, want one member", got)
	}
}

func TestHead(t *testing.T) { // RFC 9110, section 9.3.2
	r := newRig(t, cache.Config{TTL: time.Minute})
	head := func() (*http.Response, string) { return r.do(r.request(http.MethodHead, "http://orders/1")) }
	r.origin = func(*http.Request) (*http.Response, error) { return r.ok(""), nil }
	for range 2 { // the answer to a HEAD is not kept
		if resp, _ := head(); resp.Header.Get("Cache-Status") != "outrider; fwd=uri-miss" {
			t.Errorf("Cache-Status %q", resp.Header.Get("Cache-Status"))
		}
	}
	r.answers(200, "body")
	r.get()
	before := r.calls
	resp, body := head()
	if r.calls != before || body != "" || resp.ContentLength != 4 || resp.Header.Get("Content-Length") != "4" {
		t.Errorf("calls %d, body %q, length %d: want a kept GET's header", r.calls-before, body, resp.ContentLength)
	}
}

func TestConditions(t *testing.T) { // RFC 9110, section 13.2.2; RFC 9111, section 4.3.2
	modified := date(epoch.Add(-time.Hour))
	tests := []struct {
		name      string
		validator string // of the kept answer
		req       []string
		want      int
	}{
		{"the tag", `Etag: "1"`, []string{`If-None-Match: "1"`}, 304},
		{"another tag", `Etag: "1"`, []string{`If-None-Match: "2"`}, 200},
		{"a list", `Etag: "1"`, []string{`If-None-Match: "2", "1"`}, 304},
		{"a list without space", `Etag: "1"`, []string{`If-None-Match: W/"2",W/"1"`}, 304},
		{"two lines", `Etag: "1"`, []string{`If-None-Match: "2"`, `If-None-Match: "1"`}, 304},
		{"weak comparison, RFC 9110 13.1.2", `Etag: "1"`, []string{`If-None-Match: W/"1"`}, 304},
		{"weak comparison, the other way", `Etag: W/"1"`, []string{`If-None-Match: "1"`}, 304},
		{"a comma inside the tag", `Etag: "a,b"`, []string{`If-None-Match: "x", "a,b"`}, 304},
		{"a part of a tag", `Etag: "a"`, []string{`If-None-Match: "b,"a"`}, 200},
		{"any, RFC 9110 13.1.2", `Etag: "1"`, []string{`If-None-Match: *`}, 304},
		{"a tag without quotes", `Etag: "1"`, []string{`If-None-Match: 1`}, 200},
		{"an open quote", `Etag: "1"`, []string{`If-None-Match: "1`}, 200},
		{"no tag kept", `X: y`, []string{`If-None-Match: "1"`}, 200},
		{"If-None-Match outweighs the date", `Last-Modified: ` + modified, []string{`If-None-Match: "1"`, "If-Modified-Since: " + modified}, 200},
		{"not modified since", `Last-Modified: ` + modified, []string{"If-Modified-Since: " + modified}, 304},
		{"modified since", `Last-Modified: ` + modified, []string{"If-Modified-Since: " + date(epoch.Add(-2*time.Hour))}, 200},
		{"no Last-Modified: Date", `X: y`, []string{"If-Modified-Since: " + date(epoch)}, 304},
		{"no Last-Modified: before Date", `X: y`, []string{"If-Modified-Since: " + modified}, 200},
		{"no date", `Last-Modified: ` + modified, []string{"If-Modified-Since: now"}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute})
			r.answers(200, "body", tt.validator, "Content-Type: text/plain", "Content-Location: /one", "Vary: Accept", "Expires: "+date(epoch.Add(time.Minute)))
			r.get()
			resp, body := r.get(tt.req...)
			if resp.StatusCode != tt.want || r.calls != 1 {
				t.Fatalf("status %d after %d calls, want %d after 1", resp.StatusCode, r.calls, tt.want)
			}
			if tt.want == 200 {
				return
			}
			if body != "" || resp.ContentLength != 0 || resp.Header.Get("Content-Length") != "" || resp.Header.Get("Content-Type") != "" {
				t.Errorf("304 with content: %q, %v", body, resp.Header)
			}
			for _, name := range []string{"Content-Location", "Date", "Vary", "Expires", "Age", "Cache-Status"} { // RFC 9110, section 15.4.5
				if resp.Header.Get(name) == "" {
					t.Errorf("304 without %s", name)
				}
			}
		})
	}
}

func TestOnlyA200IsConfirmedBy304(t *testing.T) { // RFC 9110, section 13.2.1
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.answers(404, "none", "Cache-Control: max-age=60", `Etag: "1"`)
	r.get()
	if resp, _ := r.get(`If-None-Match: "1"`); resp.StatusCode != http.StatusNotFound || r.calls != 1 {
		t.Errorf("status %d after %d calls, want the kept 404", resp.StatusCode, r.calls)
	}
}

func TestMethods(t *testing.T) { // RFC 9111, section 4.4
	tests := []struct {
		method  string
		status  int
		removes bool
	}{
		{http.MethodPost, 201, true},
		{http.MethodPut, 204, true},
		{http.MethodDelete, 200, true},
		{http.MethodPatch, 303, true},
		{"PURGE", 200, true}, // unknown, so not known to be safe
		{http.MethodPost, 400, false},
		{http.MethodPost, 500, false},
		{http.MethodOptions, 200, false},
		{http.MethodTrace, 200, false},
	}
	for _, tt := range tests {
		t.Run(tt.method, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute})
			r.get()
			r.answers(tt.status, "")
			resp, _ := r.do(r.request(tt.method, "http://orders/1"))
			if got := resp.Header.Get("Cache-Status"); got != "outrider; fwd=method" {
				t.Errorf("Cache-Status %q", got)
			}
			if r.saw(cache.Invalidated) != tt.removes {
				t.Errorf("results %v, invalidated: want %v", r.results, tt.removes)
			}
			if got := !r.kept(); got != tt.removes {
				t.Errorf("removed: %v, want %v", got, tt.removes)
			}
		})
	}
}

func TestAChangeKeepsAnswersUnderWayFromBeingKept(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	old, err := r.stack.RoundTrip(r.request(http.MethodGet, "http://orders/1"))
	if err != nil {
		t.Fatal(err)
	}
	r.do(r.request(http.MethodPut, "http://orders/1"))
	if got := readAll(t, old); got != "body" {
		t.Errorf("the answer under way: %q", got)
	}
	if r.kept() {
		t.Error("an answer from before the change was kept")
	}
	if !r.kept() {
		t.Error("an answer from after the change was not")
	}
}

func TestTheNameInCacheStatus(t *testing.T) { // RFC 9651, sections 3.3.3 and 3.3.4
	for name, want := range map[string]string{
		"":          "outrider; fwd=uri-miss; stored",
		"edge-1":    "edge-1; fwd=uri-miss; stored",
		"1edge":     `"1edge"; fwd=uri-miss; stored`,
		"the \"e\"": `"the \"e\""; fwd=uri-miss; stored`,
		"a\r\nb":    `"ab"; fwd=uri-miss; stored`,
	} {
		r := newRig(t, cache.Config{TTL: time.Minute, Name: name})
		if resp, _ := r.get(); resp.Header.Get("Cache-Status") != want {
			t.Errorf("name %q: Cache-Status %q, want %q", name, resp.Header.Get("Cache-Status"), want)
		}
	}
}

func TestObserved(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.get()
	r.get()
	r.get("Cookie: a=b")
	r.do(r.request(http.MethodPost, "http://orders/1"))
	want := []string{cache.Miss, cache.Stored, cache.Hit, cache.Bypass, cache.Bypass, cache.Invalidated}
	if !slices.Equal(r.results, want) {
		t.Errorf("results %v, want %v", r.results, want)
	}
	for _, result := range r.results {
		if !slices.Contains(cache.Results(), result) {
			t.Errorf("%q is not among Results", result)
		}
	}
}
