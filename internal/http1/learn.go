package http1

import (
	"strings"
	"time"
)

const (
	leastLearnt  = time.Second      // what was closed sooner was closed for another reason
	forgetsAfter = 10 * time.Minute // what has been seen doubles for each such time after it
)

// learner knows how long an endpoint keeps an idle connection, from what it says and
// from what has been seen of it. A pool that closes its own before that sends no
// request into a connection that is being closed.
type learner struct {
	stated time.Duration // by the endpoint; zero where it has said nothing, negative where it wants none kept
	seen   time.Duration // idle time after which it had closed one; zero where that has not been seen
	at     time.Time     // when it was
}

// said notes what the endpoint says (RFC 9112, appendix C.2.2; the timeout of
// Keep-Alive).
func (l *learner) said(timeout time.Duration) {
	if l.stated = timeout; timeout == 0 {
		l.stated = -1
	}
}

// closed notes that a connection was found closed that had been idle for so long.
func (l *learner) closed(after time.Duration, now time.Time) {
	if after < leastLearnt {
		return
	}
	if known := l.known(now); known == 0 || after < known {
		l.seen = after
	}
	l.at = now
}

// known returns what has been seen, as far as it is still believed: endpoints are
// configured anew, and one that was restarted has closed all connections at once.
func (l *learner) known(now time.Time) time.Duration {
	if l.seen == 0 {
		return 0
	}
	doublings := int(now.Sub(l.at) / forgetsAfter)
	if doublings > 16 || l.seen<<doublings > time.Hour {
		return 0
	}
	return l.seen << doublings
}

// limit returns how long to keep a connection: some time less than the endpoint does.
// Negative is as long as one likes.
func (l *learner) limit(now time.Time) time.Duration {
	least := l.stated
	if seen := l.known(now); seen > 0 && (least == 0 || seen < least) {
		least = seen
	}
	switch {
	case least < 0:
		return 0
	case least == 0:
		return -1
	}
	return least / 4 * 3
}

// keepAlive returns the timeout that a Keep-Alive field gives; negative where it gives
// none.
func keepAlive(value string) time.Duration {
	for more := true; more; {
		var parameter string
		parameter, value, more = strings.Cut(value, ",")
		name, number, _ := strings.Cut(parameter, "=")
		if folds(strings.Trim(name, " \t"), "timeout") {
			if n, ok := parseLength(strings.Trim(number, " \t")); ok {
				return time.Duration(min(n, 1<<20)) * time.Second
			}
		}
	}
	return -1
}
