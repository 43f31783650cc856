package policy

import "time"

// authCache remembers answers by the digest of the token. Refused tokens have a room
// of their own: anybody can make them up, and a flood of them must not push out those
// that are good.
type authCache struct {
	valid   *table[digest, remembered]
	refused *table[digest, remembered]
	now     func() time.Time
}

type remembered struct {
	id    *identity // nil: the token is not good
	until time.Time
}

// minRefused is how many refused tokens are remembered however few valid ones are.
const minRefused = 64

// newAuthCache returns an empty authCache that holds at most limit valid tokens.
func newAuthCache(limit int, now func() time.Time) *authCache {
	return &authCache{
		valid:   newTable[digest, remembered](limit),
		refused: newTable[digest, remembered](max(limit/10, minRefused)),
		now:     now,
	}
}

// get returns whom a token names, nil for one that is not good; ok is false where
// that is not known.
func (c *authCache) get(key digest) (id *identity, ok bool) {
	if id, ok = c.recall(c.valid, key); ok {
		return id, true
	}
	return c.recall(c.refused, key)
}

func (c *authCache) recall(answers *table[digest, remembered], key digest) (id *identity, ok bool) {
	s := answers.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(key)
	if e == nil {
		return nil, false
	}
	if !c.now().Before(e.value.until) {
		s.drop(e)
		return nil, false
	}
	return e.value.id, true
}

// put remembers an answer for ttl; zero or negative is not at all. What the other
// table still holds of the token has expired, or nobody would have asked again.
func (c *authCache) put(key digest, id *identity, ttl time.Duration) {
	if ttl <= 0 {
		return
	}
	answers := c.valid
	if id == nil {
		answers = c.refused
	}
	s := answers.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(key)
	if e == nil {
		if len(s.entries) >= answers.room {
			s.drop(s.oldest())
		}
		e = s.add(key)
	}
	e.value = remembered{id: id, until: c.now().Add(ttl)}
}
