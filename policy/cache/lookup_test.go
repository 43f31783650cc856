package cache_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/policy/cache"
)

func TestAgeAndLifetime(t *testing.T) {
	tests := []struct {
		name    string
		lines   []string
		delay   time.Duration // of the origin
		resides time.Duration // until the second request
		age     string        // of the second answer; empty: stale, it came from the origin
		ttl     string
	}{
		{"resident time, RFC 9111 4.2.3", []string{"Cache-Control: max-age=60"}, 0, 20 * time.Second, "20", "ttl=40"},
		{"the last moment", []string{"Cache-Control: max-age=60"}, 0, 60*time.Second - 1, "59", "ttl=0"},
		{"the moment after, RFC 9111 4.2", []string{"Cache-Control: max-age=60"}, 0, 60 * time.Second, "", ""},
		{"Age of the caches before", []string{"Cache-Control: max-age=60", "Age: 30"}, 0, 20 * time.Second, "50", "ttl=10"},
		{"the delay counts on top of Age", []string{"Cache-Control: max-age=60", "Age: 30"}, 5 * time.Second, 0, "35", "ttl=25"},
		{"Date in the past: apparent age", []string{"Cache-Control: max-age=60", "Date: " + date(epoch.Add(-10*time.Second))}, 0, time.Second, "11", "ttl=49"},
		{"Date in the future is no negative age", []string{"Cache-Control: max-age=60", "Date: " + date(epoch.Add(time.Hour))}, 0, time.Second, "1", "ttl=59"},
		{"Date is none: as received", []string{"Cache-Control: max-age=60", "Date: today"}, 0, time.Second, "1", "ttl=59"},
		{"Expires counts from Date", []string{"Date: " + date(epoch), "Expires: " + date(epoch.Add(time.Minute))}, 0, time.Second, "1", "ttl=59"},
		{"s-maxage before max-age before Expires", []string{"Cache-Control: max-age=50, s-maxage=40", "Expires: 0"}, 0, time.Second, "1", "ttl=39"},
		{"max-age before Expires, RFC 9111 5.3", []string{"Cache-Control: max-age=50", "Expires: 0"}, 0, time.Second, "1", "ttl=49"},
		{"the TTL", nil, 0, 10 * time.Second, "10", "ttl=290"},
		{"the TTL is over", nil, 0, 300 * time.Second, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: 300 * time.Second})
			r.origin = func(*http.Request) (*http.Response, error) {
				r.clock.advance(tt.delay)
				return r.ok("body", tt.lines...), nil
			}
			r.get()
			r.clock.advance(tt.resides)
			resp, _ := r.get()
			status := resp.Header.Get("Cache-Status")
			if tt.age == "" {
				if !strings.HasPrefix(status, "outrider; fwd=stale") || r.calls != 2 {
					t.Errorf("Cache-Status %q after %d calls, want a stale one", status, r.calls)
				}
				return
			}
			if got := resp.Header.Get("Age"); got != tt.age || r.calls != 1 {
				t.Errorf("Age %q after %d calls, want %q after 1", got, r.calls, tt.age)
			}
			if want := "outrider; hit; " + tt.ttl; status != want {
				t.Errorf("Cache-Status %q, want %q", status, want)
			}
		})
	}
}

func TestAClockSetBackIsNoNegativeAge(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.get()
	r.clock.advance(-time.Hour)
	if resp, _ := r.get(); resp.Header.Get("Age") != "0" {
		t.Errorf("Age %q, want 0", resp.Header.Get("Age"))
	}
}

func TestADateIsGivenToAnAnswerWithoutOne(t *testing.T) { // RFC 9110, section 6.6.1
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.origin = func(*http.Request) (*http.Response, error) {
		resp := r.ok("body")
		resp.Header.Del("Date")
		return resp, nil
	}
	r.get()
	r.clock.advance(time.Second)
	if resp, _ := r.get(); resp.Header.Get("Date") != date(epoch) {
		t.Errorf("Date %q, want when it came", resp.Header.Get("Date"))
	}
}

func TestWhatTheClientAsksOfTheCache(t *testing.T) {
	tests := []struct {
		name, header string
		want         string // how Cache-Status begins; the kept answer is 20 s old and fresh for 40 s more
	}{
		{"nothing", "X: y", "outrider; hit"},
		{"no-cache, RFC 9111 5.2.1.4", "Cache-Control: no-cache", "outrider; fwd=request; stored"},
		{"Pragma, RFC 9111 5.4", "Pragma: no-cache", "outrider; fwd=request; stored"},
		{"no-store, RFC 9111 5.2.1.5", "Cache-Control: no-store", "outrider; fwd=request"},
		{"max-age=0, RFC 9111 5.2.1.1", "Cache-Control: max-age=0", "outrider; fwd=request; stored"},
		{"max-age=20", "Cache-Control: max-age=20", "outrider; hit"},
		{"max-age=19", "Cache-Control: max-age=19", "outrider; fwd=request; stored"},
		{"max-age is no number", "Cache-Control: max-age=x", "outrider; fwd=request; stored"},
		{"min-fresh=40, RFC 9111 5.2.1.3", "Cache-Control: min-fresh=40", "outrider; hit"},
		{"min-fresh=41", "Cache-Control: min-fresh=41", "outrider; fwd=request; stored"},
		{"max-stale takes fresh ones too", "Cache-Control: max-stale", "outrider; hit"},
		{"only-if-cached, RFC 9111 5.2.1.7", "Cache-Control: only-if-cached", "outrider; hit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute})
			r.get()
			r.clock.advance(20 * time.Second)
			resp, _ := r.get(tt.header)
			got := resp.Header.Get("Cache-Status")
			if got != tt.want && !strings.HasPrefix(got, tt.want+"; ttl=") {
				t.Errorf("Cache-Status %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCacheControlOutweighsPragma(t *testing.T) { // RFC 9111, section 5.4
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.get()
	if !r.kept("Pragma: no-cache", "Cache-Control: max-age=10") {
		t.Error("Pragma was obeyed beside Cache-Control")
	}
}

func TestOnlyIfCached(t *testing.T) { // RFC 9111, section 5.2.1.7
	for _, lines := range [][]string{
		{"Cache-Control: only-if-cached"},
		{"Cache-Control: only-if-cached, no-store"},
		{"Cache-Control: only-if-cached", "Cookie: a=b"},
	} {
		r := newRig(t, cache.Config{TTL: time.Minute})
		_, err := r.stack.RoundTrip(r.request(http.MethodGet, "http://shop.test/a", lines...))
		var f *mesh.Fault
		if !errors.As(err, &f) || f.Kind != mesh.NotCached || r.calls != 0 || !r.saw(cache.Unsatisfied) {
			t.Errorf("%q: %v after %d calls, want a NotCached fault after none", lines, err, r.calls)
			continue
		}
		if got := f.Header.Get("Cache-Status"); got != `outrider; detail="only-if-cached"` {
			t.Errorf("%q: Cache-Status %q", lines, got)
		}
	}
}

func TestVary(t *testing.T) { // RFC 9111, section 4.1
	tests := []struct {
		name          string
		vary          []string
		first, second []string
		want          bool
	}{
		{"the same", []string{"Accept"}, []string{"Accept: a"}, []string{"Accept: a"}, true},
		{"different", []string{"Accept"}, []string{"Accept: a"}, []string{"Accept: b"}, false},
		{"absent from the second", []string{"Accept"}, []string{"Accept: a"}, nil, false},
		{"absent from the first", []string{"Accept"}, nil, []string{"Accept: a"}, false},
		{"absent from both", []string{"Accept"}, nil, nil, true},
		{"empty is not absent", []string{"Accept"}, nil, []string{"Accept: "}, false},
		{"space around", []string{"Accept"}, []string{"Accept: a"}, []string{"Accept:  a "}, true},
		{"lines or a list", []string{"Accept"}, []string{"Accept: a", "Accept: b"}, []string{"Accept: a, b"}, true},
		{"the name in any case", []string{"aCCEPT"}, []string{"Accept: a"}, []string{"Accept: b"}, false},
		{"two names on two lines", []string{"Accept", "Accept-Language"}, []string{"Accept-Language: a"}, []string{"Accept-Language: b"}, false},
		{"two names in one line", []string{"Accept, ,Accept-Language"}, []string{"Accept-Language: a"}, []string{"Accept-Language: b"}, false},
		{"another field", []string{"Accept"}, []string{"X: a"}, []string{"X: b"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute})
			var lines []string
			for _, v := range tt.vary {
				lines = append(lines, "Vary: "+v)
			}
			r.answers(200, "body", lines...)
			r.get(tt.first...)
			resp, _ := r.get(tt.second...)
			if got := r.calls == 1; got != tt.want {
				t.Fatalf("kept: %v, want %v", got, tt.want)
			}
			if !tt.want && resp.Header.Get("Cache-Status") != "outrider; fwd=vary-miss; stored" {
				t.Errorf("Cache-Status %q", resp.Header.Get("Cache-Status"))
			}
			if !r.kept(tt.first...) || !r.kept(tt.second...) {
				t.Error("the variants do not stand side by side")
			}
		})
	}
}

func TestVaryMeansTheRequestBeforeLayersBelowEditedIt(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	r.origin = func(req *http.Request) (*http.Response, error) {
		req.Header.Set("Accept-Encoding", "identity")
		return r.ok("body", "Vary: Accept-Encoding"), nil
	}
	r.get("Accept-Encoding: gzip")
	if !r.kept("Accept-Encoding: gzip") || r.kept("Accept-Encoding: identity") {
		t.Error("the answer was kept under what a layer below asked for")
	}
}

func TestWithoutHostTheURLNamesIt(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	for _, url := range []string{"http://a/", "http://b/", "http://a/"} {
		req := r.request(http.MethodGet, url)
		req.Host = ""
		r.do(req)
	}
	if r.calls != 2 {
		t.Errorf("%d calls for two hosts", r.calls)
	}
}

func TestCachesMayShareAStore(t *testing.T) {
	store := cache.NewMemory(1<<20, 1<<10)
	first := newRig(t, cache.Config{TTL: time.Minute, Store: store})
	second := newRig(t, cache.Config{TTL: time.Hour, Store: store})
	first.get()
	if !second.kept() {
		t.Error("the other cache does not see it")
	}
	second.do(second.request(http.MethodDelete, "http://orders/1"))
	if first.kept() {
		t.Error("the other cache's change did not remove it")
	}
}

func TestScopesShareAStoreAndNoAnswers(t *testing.T) {
	store := cache.NewMemory(1<<20, 1<<10)
	first := newRig(t, cache.Config{TTL: time.Minute, Store: store, Scope: "rewritten to /v1"})
	second := newRig(t, cache.Config{TTL: time.Minute, Store: store, Scope: "rewritten to /v2"})
	first.get()
	if second.kept() {
		t.Error("an answer of another scope was given")
	}
	if !first.kept() {
		t.Error("a cache does not find its own answer")
	}
}

func TestWhatTheKeyTellsApart(t *testing.T) {
	orders, users := &mesh.Route{Name: "/o/**", Service: "orders"}, &mesh.Route{Name: "/u/**", Service: "users"}
	split, other := &mesh.Route{Name: "/s/**"}, &mesh.Route{Name: "/t/**"}
	type ask struct {
		url    string
		route  *mesh.Route
		secure bool
		line   string
	}
	tests := []struct {
		name          string
		first, second ask
		same          bool
	}{
		{"host in any case", ask{url: "http://Orders/1"}, ask{url: "http://oRDERS/1"}, true},
		{"path in another case", ask{url: "http://h/a"}, ask{url: "http://h/A"}, false},
		{"no path is the root", ask{url: "http://h"}, ask{url: "http://h/"}, true},
		{"host", ask{url: "http://a/"}, ask{url: "http://b/"}, false},
		{"port", ask{url: "http://a/"}, ask{url: "http://a:8080/"}, false},
		{"path", ask{url: "http://h/1"}, ask{url: "http://h/2"}, false},
		{"encoded slash", ask{url: "http://h/a%2Fb"}, ask{url: "http://h/a/b"}, false},
		{"query", ask{url: "http://h/?a=1"}, ask{url: "http://h/?a=2"}, false},
		{"empty query", ask{url: "http://h/?"}, ask{url: "http://h/"}, false},
		{"scheme", ask{url: "http://h/"}, ask{url: "https://h/"}, false},
		{"TLS to us", ask{url: "//h/"}, ask{url: "//h/", secure: true}, false},
		{"TLS before us", ask{url: "http://h/", line: "X-Forwarded-Proto: https"}, ask{url: "http://h/"}, false},
		{"forwarded host", ask{url: "http://h/", line: "X-Forwarded-Host: evil"}, ask{url: "http://h/"}, false},
		{"forwarded port", ask{url: "http://h/", line: "X-Forwarded-Port: 1"}, ask{url: "http://h/"}, false},
		{"forwarded prefix", ask{url: "http://h/", line: "X-Forwarded-Prefix: /a"}, ask{url: "http://h/"}, false},
		{"one forwarded field is not another", ask{url: "http://h/", line: "X-Forwarded-Host: 1"}, ask{url: "http://h/", line: "X-Forwarded-Port: 1"}, false},
		{"service", ask{url: "http://h/1", route: orders}, ask{url: "http://h/1", route: users}, false},
		{"the same service", ask{url: "http://h/1", route: orders}, ask{url: "http://h/1", route: orders}, true},
		{"routes without one service", ask{url: "http://h/1", route: split}, ask{url: "http://h/1", route: other}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, cache.Config{TTL: time.Minute})
			for _, a := range []ask{tt.first, tt.second} {
				req := r.request(http.MethodGet, a.url)
				if a.line != "" {
					req.Header = fields(a.line)
				}
				mesh.From(req).Route, mesh.From(req).Secure = a.route, a.secure
				r.do(req)
			}
			if got := r.calls == 1; got != tt.same {
				t.Errorf("one key: %v, want %v", got, tt.same)
			}
		})
	}
}
