package cache

import (
	"net/http"
	"strings"
	"time"
)

// directives are those members of Cache-Control that we obey (RFC 9111, section
// 5.2), of a request or a response.
type directives struct {
	noStore, noCache, private, onlyIfCached bool

	maxAge, sMaxAge, minFresh delta
}

// delta is a directive's argument in seconds.
type delta struct {
	given bool
	value time.Duration
}

// maxDelta stands for every larger number (RFC 9111, section 1.2.2).
const maxDelta = 1 << 31

// parseDirectives reads the lines of a Cache-Control field. It fails on nothing:
// what is malformed is read so that less is kept.
func parseDirectives(lines []string) directives {
	var d directives
	for _, line := range lines {
		for line != "" {
			var name, argument string
			name, argument, line = cutDirective(line)
			d.note(name, argument)
		}
	}
	return d
}

func (d *directives) note(name, argument string) {
	switch {
	case strings.EqualFold(name, "no-store"):
		d.noStore = true
	case strings.EqualFold(name, "no-cache"): // with field names too: more is safe
		d.noCache = true
	case strings.EqualFold(name, "private"):
		d.private = true
	case strings.EqualFold(name, "only-if-cached"):
		d.onlyIfCached = true
	case strings.EqualFold(name, "max-age"):
		d.maxAge.set(argument)
	case strings.EqualFold(name, "s-maxage"):
		d.sMaxAge.set(argument)
	case strings.EqualFold(name, "min-fresh"):
		d.minFresh.set(argument)
	}
}

// set takes argument in. One that is no number, and a second that differs, make
// it zero: stale (RFC 9111, section 4.2.1).
func (d *delta) set(argument string) {
	value, ok := seconds(argument)
	if !ok || (d.given && d.value != value) {
		value = 0
	}
	d.given, d.value = true, value
}

// seconds reads delta-seconds (RFC 9111, section 1.2.2).
func seconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), maxDelta)
	}
	return time.Duration(n) * time.Second, true
}

// cutDirective returns the first directive of line and what follows it. Quotes are
// taken off its argument, and a comma inside them ends nothing. A semicolon ends a
// directive too: "private; max-age=60" is a common mistake, and no secret for us.
func cutDirective(line string) (name, argument, rest string) {
	const ends = ",;"
	at := strings.IndexAny(line, ends+"=")
	if at < 0 {
		return strings.TrimSpace(line), "", ""
	}
	name, rest = strings.TrimSpace(line[:at]), line[at+1:]
	if line[at] != '=' {
		return name, "", rest
	}
	rest = strings.TrimLeft(rest, " \t")
	quoted := quotedLength(rest)
	argument, rest = rest[:quoted], rest[quoted:]
	if at = strings.IndexAny(rest, ends); at < 0 {
		at = len(rest)
	}
	if quoted > 0 {
		argument = argument[1 : quoted-1]
	} else {
		argument = strings.TrimSpace(rest[:at])
	}
	return name, argument, rest[min(at+1, len(rest)):]
}

// quotedLength returns the length of the quoted string that s begins with; zero
// where there is none, or nothing closes it.
func quotedLength(s string) int {
	if !strings.HasPrefix(s, `"`) {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// pragmaNoCache reports what HTTP/1.0 said in place of Cache-Control: no-cache.
func pragmaNoCache(h http.Header) bool {
	for _, line := range h["Pragma"] {
		for directive := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(directive), "no-cache") {
				return true
			}
		}
	}
	return false
}
