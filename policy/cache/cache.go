package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"sync/atomic"
	"time"

	"outrider/internal/mesh"
)

// The results that Config.Observed hears.
const (
	Hit         = "hit"         // answered from the store, with 304 too
	Miss        = "miss"        // nothing usable was stored: passed on
	Bypass      = "bypass"      // not a request for a shared cache: passed on
	Unsatisfied = "unsatisfied" // only-if-cached, and it was not: 504
	Stored      = "stored"      // an answer came whole and is kept
	Abandoned   = "abandoned"   // an answer that was being copied is not kept
	Invalidated = "invalidated" // a change of the resource removed what was kept
)

// Results returns all results, for resolving counters once.
func Results() []string {
	return []string{Hit, Miss, Bypass, Unsatisfied, Stored, Abandoned, Invalidated}
}

// Config says what is kept, and for how long.
type Config struct {
	// TTL is how long an answer is fresh where the origin said nothing. Zero or
	// negative: such answers are not kept.
	TTL time.Duration
	// MaxBytes bounds what the memory store holds: bodies, headers, keys and their
	// overhead. Zero means 64 MiB; negative keeps nothing. Copies in the making are
	// bounded by the same figure beside it.
	MaxBytes int64
	// MaxBody is the longest body in bytes that is kept. Zero means 1 MiB; negative
	// keeps only answers without a body.
	MaxBody int64
	// Name is how Cache-Status calls this cache. Empty means outrider.
	Name string
	// Store is where answers are kept; caches may share one. Nil means memory of
	// MaxBytes.
	Store Store
	// Scope says what URLs mean to this cache, such as where its route leads and how
	// it rewrites. Caches that share a Store share answers only where their Scopes
	// are equal. Of any length; only a digest of it is kept.
	Scope string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Observed is told each result, one of the constants above; nil: nobody listens.
	Observed func(result string)
}

const (
	defaultMaxBytes = 64 << 20
	defaultMaxBody  = 1 << 20
)

// Cache is a shared HTTP cache.
type Cache struct {
	ttl      time.Duration
	maxBytes int64
	maxBody  int64
	store    Store
	now      func() time.Time
	observed func(string)
	name     string
	scope    string // begins every key
	members  members
	copying  atomic.Int64 // bytes of copies in the making
}

// New returns the cache that cfg describes.
func New(cfg Config) *Cache {
	c := &Cache{
		ttl: cfg.TTL, maxBytes: cfg.MaxBytes, maxBody: cfg.MaxBody,
		store: cfg.Store, now: cfg.Now, observed: cfg.Observed,
	}
	if c.maxBytes == 0 {
		c.maxBytes = defaultMaxBytes
	}
	if c.maxBody == 0 {
		c.maxBody = defaultMaxBody
	}
	if c.store == nil {
		c.store = NewMemory(c.maxBytes, c.maxBody)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.observed == nil {
		c.observed = func(string) {}
	}
	if cfg.Scope != "" {
		digest := sha256.Sum256([]byte(cfg.Scope))
		c.scope = hex.EncodeToString(digest[:16])
	}
	c.name = item(cfg.Name)
	c.members = newMembers(c.name)
	return c
}

// Stats returns how many answers are kept, and what they count for in bytes.
func (c *Cache) Stats() (entries int, bytes int64) { return c.store.Stats() }

// Layer returns the cache as a layer. All its layers share what is kept.
func (c *Cache) Layer() mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			return c.roundTrip(req, next)
		})
	}
}

func (c *Cache) roundTrip(req *http.Request, next http.RoundTripper) (*http.Response, error) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return c.passMethod(req, next)
	}
	asked := askedBy(req.Header)
	if !shareable(req) {
		return c.pass(req, next, asked, bypass)
	}
	if asked.noStore {
		return c.pass(req, next, asked, request)
	}
	key := c.keyOf(req)
	variants, epoch := c.store.Get(key)
	now := c.now()
	kept, why := choose(variants, req.Header, asked, now)
	if kept != nil {
		c.note(req, Hit)
		return c.answer(req, kept, now), nil
	}
	if asked.onlyIfCached {
		return nil, c.unsatisfied()
	}
	c.note(req, Miss)
	return c.fetch(req, next, place{key, epoch}, why)
}

// passMethod passes on what is neither GET nor HEAD. An unsafe method that
// succeeded has changed the resource (RFC 9111, section 4.4); so has an unknown
// one, for all that we know.
func (c *Cache) passMethod(req *http.Request, next http.RoundTripper) (*http.Response, error) {
	safe := req.Method == http.MethodOptions || req.Method == http.MethodTrace
	key := ""
	if !safe {
		key = c.keyOf(req) // now: layers below may edit the request
	}
	c.note(req, Bypass)
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if !safe && resp.StatusCode >= 200 && resp.StatusCode < 400 && c.store.Delete(key) {
		c.observed(Invalidated)
	}
	mesh.From(req).Add(resp.Header, "Cache-Status", c.members[method].forwarded)
	return resp, nil
}

// pass passes a request on without a look at what is kept.
func (c *Cache) pass(req *http.Request, next http.RoundTripper, asked directives, why reason) (*http.Response, error) {
	if asked.onlyIfCached {
		return nil, c.unsatisfied()
	}
	c.note(req, Bypass)
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	mesh.From(req).Add(resp.Header, "Cache-Status", c.members[why].forwarded)
	return resp, nil
}

// note tells of a result: who counts it, and who asks about the call later.
func (c *Cache) note(req *http.Request, result string) {
	c.observed(result)
	call := mesh.From(req)
	if call == nil {
		return
	}
	switch result {
	case Hit:
		call.Acts |= mesh.CacheHit
	case Miss:
		call.Acts |= mesh.CacheMiss
	case Bypass:
		call.Acts |= mesh.CacheBypass
	}
}

// fetch passes a request on, and has the answer copied where it may be kept.
func (c *Cache) fetch(req *http.Request, next http.RoundTripper, at place, why reason) (*http.Response, error) {
	selecting := maps.Clone(req.Header) // layers below edit it in place, and Vary means what we looked up by
	sent := c.now()
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	var kept *Entry
	if req.Method == http.MethodGet && c.storable(resp) {
		kept = c.newEntry(selecting, resp, sent)
	}
	if kept == nil {
		mesh.From(req).Add(resp.Header, "Cache-Status", c.members[why].forwarded)
		return resp, nil
	}
	c.record(resp, kept, at)
	mesh.From(req).Add(resp.Header, "Cache-Status", c.members[why].storing)
	return resp, nil
}
