package cache

import (
	"strconv"
	"strings"
	"time"
)

// reason is why a request was passed on: the fwd parameter of Cache-Status
// (RFC 9211, section 2.2).
type reason int

const (
	bypass reason = iota
	method
	request
	uriMiss
	varyMiss
	stale
	reasons // how many there are
)

func (r reason) String() string {
	return [reasons]string{"bypass", "method", "request", "uri-miss", "vary-miss", "stale"}[r]
}

// members are the Cache-Status members of requests that were passed on, made once.
type members [reasons]struct {
	forwarded string // and the answer is not kept
	storing   string // and the answer is being kept
}

func newMembers(name string) members {
	var all members
	for r := range reasons {
		all[r].forwarded = name + "; fwd=" + r.String()
		all[r].storing = all[r].forwarded + "; stored"
	}
	return all
}

// hitMember returns the member of an answer that stays fresh for left.
func hitMember(name string, left time.Duration) string {
	room := make([]byte, 0, 64)
	room = append(room, name...)
	room = append(room, "; hit; ttl="...)
	return string(strconv.AppendInt(room, int64(left/time.Second), 10))
}

// item returns a cache's name as a structured field's item: a token where it is
// one, else a string (RFC 9651, section 3.3).
func item(name string) string {
	if name == "" {
		return "outrider"
	}
	if isToken(name) {
		return name
	}
	var quoted strings.Builder
	quoted.WriteByte('"')
	for i := range len(name) {
		switch b := name[i]; {
		case b == '"' || b == '\\':
			quoted.WriteByte('\\')
			quoted.WriteByte(b)
		case b >= ' ' && b <= '~':
			quoted.WriteByte(b)
		}
	}
	quoted.WriteByte('"')
	return quoted.String()
}

func isToken(s string) bool {
	for i := range len(s) {
		b := lower(s[i])
		letter := 'a' <= b && b <= 'z' || b == '*'
		if i == 0 && !letter {
			return false
		}
		if !letter && (b < '0' || b > '9') && !strings.ContainsRune("!#$%&'+-.^_`|~:/", rune(b)) {
			return false
		}
	}
	return true
}
