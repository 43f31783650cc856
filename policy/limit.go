package policy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a token bucket: full it holds Burst requests, and it refills evenly.
type Rate struct {
	PerMinute int // requests a minute in the long run, from 1 to 1e8
	Burst     int // requests at once, up to 1e8. Zero means PerMinute
}

// LimitConfig describes a Limiter.
type LimitConfig struct {
	Name    string           // the policy's name in the RateLimit fields: unlike that of any other limiter on the way. What is not printable ASCII is percent-encoded
	Rate    Rate             // what each client may do
	Key     Key              // who a client is. The zero Key is its address
	MaxKeys int              // clients remembered at once. Zero means 1<<20
	Now     func() time.Time // the clock. Nil means time.Now
	Evicted func()           // a client was forgotten while its bucket was not full. Nil means nobody listens
}

const (
	defaultMaxKeys = 1 << 20
	maxRate        = 1e8 // the longest time to fill a bucket still fits a Duration
)

// Limiter bounds the requests of each client by a token bucket of its own. What
// it remembers is bounded: of more than MaxKeys clients, those that have been
// quiet longest are forgotten, and start afresh with a full bucket.
type Limiter struct {
	is      string // its name as configured
	name    string // a structured-field string, quotes included
	policy  string // the RateLimit-Policy member
	limit   rate.Limit
	burst   int
	key     Key
	now     func() time.Time
	evicted func()
	buckets *table[client, rate.Limiter]
	told    []atomic.Pointer[told] // by what remains
}

// NewLimiter returns a Limiter for which every client's bucket is full.
func NewLimiter(c LimitConfig) (*Limiter, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("rate limit %q: %w", c.Name, err)
	}
	if c.Rate.Burst == 0 {
		c.Rate.Burst = c.Rate.PerMinute
	}
	if c.MaxKeys == 0 {
		c.MaxKeys = defaultMaxKeys
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Evicted == nil {
		c.Evicted = func() {}
	}
	// Printable ASCII needs no escapes beyond those of a Go string, which are
	// also those of a structured-field string.
	name := strconv.Quote(printable(c.Name))
	window := (c.Rate.Burst*60 + c.Rate.PerMinute - 1) / c.Rate.PerMinute
	return &Limiter{
		is:      c.Name,
		name:    name,
		policy:  fmt.Sprintf("%s;q=%d;w=%d", name, c.Rate.Burst, window),
		limit:   rate.Limit(float64(c.Rate.PerMinute) / 60),
		burst:   c.Rate.Burst,
		key:     c.Key,
		now:     c.Now,
		evicted: c.Evicted,
		buckets: newTable[client, rate.Limiter](c.MaxKeys),
		told:    make([]atomic.Pointer[told], min(c.Rate.Burst+1, maxTold)),
	}, nil
}

func (c *LimitConfig) check() error {
	var errs []error
	if c.Rate.PerMinute < 1 || c.Rate.PerMinute > maxRate {
		errs = append(errs, fmt.Errorf("requests per minute must be from 1 to 1e8, not %d", c.Rate.PerMinute))
	}
	if c.Rate.Burst < 0 || c.Rate.Burst > maxRate {
		errs = append(errs, fmt.Errorf("burst must be from 0 to 1e8, not %d", c.Rate.Burst))
	}
	if c.MaxKeys < 0 {
		errs = append(errs, fmt.Errorf("max keys must not be negative, but is %d", c.MaxKeys))
	}
	return errors.Join(errs...)
}

// printable percent-encodes what no structured-field string can hold: a name may be
// a path such as /café.
func printable(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Keys returns how many clients are remembered.
func (l *Limiter) Keys() int { return l.buckets.len() }

// verdict is what a bucket says of one request.
type verdict struct {
	allowed   bool
	remaining int           // requests that may follow at once
	reset     time.Duration // until the next request may come or, while some may, until the bucket is full; whole seconds
}

// take takes a token from the client's bucket, if it has one.
func (l *Limiter) take(c client) verdict {
	s := l.buckets.shard(c)
	s.mu.Lock()
	now := l.now() // under the lock, so that no bucket sees time go back
	e := s.get(c)
	forgot := false
	if e == nil {
		forgot = l.makeRoom(&s.lru, now)
		e = s.add(c)
		fill(&e.value, l.limit, l.burst)
	}
	allowed := e.value.AllowN(now, 1)
	tokens := e.value.TokensAt(now)
	s.mu.Unlock()

	if forgot {
		l.evicted()
	}
	return verdict{allowed: allowed, remaining: int(tokens), reset: l.reset(tokens)}
}

// fill sets up a zero bucket as rate.NewLimiter does, but in place. It was last
// seen at the zero time, and is full for having had all time since to refill.
func fill(b *rate.Limiter, limit rate.Limit, burst int) {
	b.SetLimitAt(time.Time{}, limit)
	b.SetBurstAt(time.Time{}, burst)
}

// reset says when a bucket with so many tokens will have a whole one or, having
// that, be full.
func (l *Limiter) reset(tokens float64) time.Duration {
	want := float64(l.burst)
	if tokens < 1 {
		want = 1
	}
	wait := time.Duration((want - tokens) / float64(l.limit) * float64(time.Second))
	return (wait + time.Second - 1).Truncate(time.Second)
}

// sweep is how many full buckets each newcomer clears away at most: more than it
// adds, so that the table shrinks again after a flood.
const sweep = 2

// makeRoom sees to it that one more bucket fits, and reports whether one that was
// not full had to go. A full bucket is like none at all: dropping it changes no
// verdict.
func (l *Limiter) makeRoom(buckets *lru[client, rate.Limiter], now time.Time) (forgot bool) {
	for range sweep {
		e := buckets.oldest()
		if e == nil || e.value.TokensAt(now) < float64(l.burst) {
			break
		}
		buckets.drop(e)
	}
	if len(buckets.entries) < l.buckets.room {
		return false
	}
	buckets.drop(buckets.oldest())
	return true
}
