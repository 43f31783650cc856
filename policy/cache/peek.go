package cache

import (
	"net/http"
	"time"
)

// Peeker is a Store that can be looked into without that counting as a use.
type Peeker interface {
	// Peek returns what Get would.
	Peek(key string) []*Entry
}

// Prospect is what a request would find.
type Prospect struct {
	Result string        // Hit, Miss, Bypass or Unsatisfied
	Why    string        // of anything but a hit: the fwd parameter of Cache-Status; empty where the store cannot be looked into
	Status int           // of a hit
	Age    time.Duration // of a hit
	Left   time.Duration // for how long a hit stays fresh
}

// Peek returns what req, as it arrives at the layer, would find. Nothing is asked for,
// kept or counted.
func (c *Cache) Peek(req *http.Request) Prospect {
	asked := askedBy(req.Header)
	switch get := req.Method == http.MethodGet || req.Method == http.MethodHead; {
	case !get:
		return Prospect{Result: Bypass, Why: method.String()}
	case !shareable(req):
		return asked.without(Bypass, bypass)
	case asked.noStore:
		return asked.without(Bypass, request)
	}
	store, ok := c.store.(Peeker)
	if !ok {
		return Prospect{Result: Miss}
	}
	now := c.now()
	kept, why := choose(store.Peek(c.keyOf(req)), req.Header, asked, now)
	if kept == nil {
		return asked.without(Miss, why)
	}
	age := kept.age(now)
	return Prospect{Result: Hit, Status: kept.Status, Age: age, Left: kept.Lifetime - age}
}

// without is what a request finds that no kept answer is for.
func (d directives) without(result string, why reason) Prospect {
	if d.onlyIfCached {
		result = Unsatisfied
	}
	return Prospect{Result: result, Why: why.String()}
}
