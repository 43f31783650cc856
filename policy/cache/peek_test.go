package cache_test

import (
	"net/http"
	"testing"
	"time"

	"outrider/policy/cache"
)

func TestPeek(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Minute})
	peek := func(method string, lines ...string) cache.Prospect {
		return r.cache.Peek(r.request(method, "http://orders/1", lines...))
	}
	if got, want := peek(http.MethodGet), (cache.Prospect{Result: cache.Miss, Why: "uri-miss"}); got != want {
		t.Errorf("of nothing kept: %+v, want %+v", got, want)
	}
	if got, want := peek(http.MethodGet, "Cache-Control: only-if-cached"), (cache.Prospect{Result: cache.Unsatisfied, Why: "uri-miss"}); got != want {
		t.Errorf("only if cached: %+v, want %+v", got, want)
	}
	if r.calls != 0 || len(r.results) != 0 {
		t.Errorf("%d requests went on and %v was counted", r.calls, r.results)
	}
	r.get()
	r.clock.advance(20 * time.Second)
	for _, tt := range []struct {
		method string
		lines  []string
		want   cache.Prospect
	}{
		{http.MethodGet, nil, cache.Prospect{Result: cache.Hit, Status: 200, Age: 20 * time.Second, Left: 40 * time.Second}},
		{http.MethodPost, nil, cache.Prospect{Result: cache.Bypass, Why: "method"}},
		{http.MethodGet, []string{"Cookie: a=b"}, cache.Prospect{Result: cache.Bypass, Why: "bypass"}},
		{http.MethodGet, []string{"Cache-Control: no-store"}, cache.Prospect{Result: cache.Bypass, Why: "request"}},
		{http.MethodGet, []string{"Cache-Control: max-age=5"}, cache.Prospect{Result: cache.Miss, Why: "request"}},
	} {
		if got := peek(tt.method, tt.lines...); got != tt.want {
			t.Errorf("%s %v: %+v, want %+v", tt.method, tt.lines, got, tt.want)
		}
	}
	r.clock.advance(time.Minute)
	if got, want := peek(http.MethodGet), (cache.Prospect{Result: cache.Miss, Why: "stale"}); got != want {
		t.Errorf("of what is too old: %+v, want %+v", got, want)
	}
}

// Being looked at keeps nothing from being forgotten.
func TestPeekIsNoUse(t *testing.T) {
	store := cache.NewMemory(3<<10, 1)
	for _, key := range []string{"a", "b", "c"} {
		_, epoch := store.Get(key)
		if !store.Put(key, epoch, &cache.Entry{Body: []byte("x")}) {
			t.Fatalf("%s is not kept", key)
		}
	}
	if len(store.Peek("a")) != 1 {
		t.Fatal("a is not there")
	}
	_, epoch := store.Get("d")
	store.Put("d", epoch, &cache.Entry{Body: []byte("x")})
	if len(store.Peek("a")) != 0 || len(store.Peek("b")) != 1 {
		t.Errorf("a: %d, b: %d entries; want a forgotten", len(store.Peek("a")), len(store.Peek("b")))
	}
}
