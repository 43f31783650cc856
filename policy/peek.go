package policy

import (
	"net/http"
	"time"

	"outrider/internal/mesh"
)

// Left is what a Limiter would say of a client now.
type Left struct {
	Allowed   bool          // the next request may pass
	Remaining int           // requests that may come at once
	Reset     time.Duration // until the next request may come or, while some may, until the bucket is full
	Rate      Rate          // the bucket's, Burst filled in
	Key       Key           // by what clients are told apart
}

// Peek returns what is left to the client of req, whose Call knows the client. No
// token is taken.
func (l *Limiter) Peek(req *http.Request) Left {
	c := l.key.of(req)
	tokens := float64(l.burst)
	s := l.buckets.shard(c)
	s.mu.Lock()
	if e := s.entries[c]; e != nil { // not get: who is only asked about stays as old as it was
		tokens = e.value.TokensAt(l.now())
	}
	s.mu.Unlock()
	return Left{
		Allowed:   tokens >= 1,
		Remaining: int(tokens),
		Reset:     l.reset(tokens),
		Rate:      Rate{PerMinute: int(float64(l.limit)*60 + 0.5), Burst: l.burst},
		Key:       l.key,
	}
}

// Name returns the limiter's name as it was configured.
func (l *Limiter) Name() string { return l.is }

// Verdict is what an Auth knows of a request's token without asking anybody.
type Verdict struct {
	Fault   *mesh.Fault   // why the request would be refused unasked: no token, no proper one, or one that was refused lately; nil otherwise
	Known   bool          // the service's answer is remembered
	Left    time.Duration // for how long yet
	Subject string        // whom a remembered good token names
}

// Peek returns what is known of the token that h brings. Nobody is asked, and the
// token is neither kept nor told.
func (a *Auth) Peek(h http.Header) Verdict {
	token, err := bearer(h)
	if err != nil {
		return Verdict{Fault: mesh.AsFault(err)}
	}
	key := digestOf(token)
	for _, answers := range [...]*table[digest, remembered]{a.cache.valid, a.cache.refused} {
		s := answers.shard(key)
		s.mu.Lock()
		e := s.entries[key]
		var r remembered
		if e != nil {
			r = e.value
		}
		s.mu.Unlock()
		left := r.until.Sub(a.cache.now())
		switch {
		case e == nil || left <= 0:
		case r.id == nil:
			return Verdict{Fault: invalidToken(), Known: true, Left: left}
		default:
			return Verdict{Known: true, Left: left, Subject: r.id.subject}
		}
	}
	return Verdict{}
}
