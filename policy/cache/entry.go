package cache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Entry is one kept answer. Once a Store has it, it is never changed.
type Entry struct {
	Status    int
	Header    http.Header   // end-to-end fields as they came, with Date and without Age
	Body      []byte        // whole
	Selecting []Selector    // the request's fields that Vary named
	Received  time.Time     // when its head came
	Age       time.Duration // how old it was then (RFC 9111, section 4.2.3)
	Lifetime  time.Duration // the age at which it is stale
}

// Selector is a request field that an answer was chosen by (RFC 9111, section 4.1).
type Selector struct {
	Name  string
	Value string // the lines joined, without the space around them
	Sent  bool   // false: the request had no such field, which is not an empty one
}

// newEntry returns the entry for resp, its body still missing; nil where it would
// not be fresh. Nothing of it shares memory with resp.
func (c *Cache) newEntry(selecting http.Header, resp *http.Response, sent time.Time) *Entry {
	received := c.now().Round(0) // the wall clock alone: the monotonic one stops while a machine sleeps
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		date = received
	}
	e := &Entry{
		Status:   resp.StatusCode,
		Received: received,
		Age:      initialAge(resp.Header, date, sent, received),
		Lifetime: lifetime(resp.StatusCode, resp.Header, date, c.ttl),
	}
	if e.Lifetime <= e.Age {
		return nil
	}
	e.Header = endToEnd(resp.Header)
	if err != nil { // RFC 9110, section 6.6.1
		e.Header["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
	e.Selecting = selectors(e.Header, selecting)
	return e
}

// initialAge is the corrected_initial_age of RFC 9111, section 4.2.3.
func initialAge(h http.Header, date, sent, received time.Time) time.Duration {
	apparent := max(0, received.Sub(date))
	first, _, _ := strings.Cut(h.Get("Age"), ",") // of a list the first counts (section 5.1)
	said, _ := seconds(strings.TrimSpace(first))  // and what is no number is passed over
	return max(apparent, said+max(0, received.Sub(sent)))
}

// age returns how old the answer is at now.
func (e *Entry) age(now time.Time) time.Duration {
	return e.Age + max(0, now.Sub(e.Received))
}

// selectors returns what Vary in h names, as the request had it.
func selectors(h, request http.Header) []Selector {
	var all []Selector
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name == "" || slices.ContainsFunc(all, func(s Selector) bool { return s.Name == name }) {
				continue
			}
			value, sent := selecting(request, name)
			all = append(all, Selector{strings.Clone(name), strings.Clone(value), sent})
		}
	}
	return all
}

// selecting returns the value of the field name by which a variant is selected.
func selecting(request http.Header, name string) (value string, sent bool) {
	lines := request[name]
	if len(lines) == 0 {
		return "", false
	}
	if len(lines) == 1 {
		return strings.TrimSpace(lines[0]), true
	}
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strings.TrimSpace(line))
	}
	return b.String(), true
}

// matches reports whether the entry was selected by what request has too.
func (e *Entry) matches(request http.Header) bool {
	for _, s := range e.Selecting {
		if value, sent := selecting(request, s.Name); sent != s.Sent || value != s.Value {
			return false
		}
	}
	return true
}

// endToEnd returns a copy of h, its strings too, without what belonged to one
// connection or one exchange (RFC 9111, section 3.1).
func endToEnd(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if passing(name) {
			continue
		}
		kept := make([]string, len(values))
		for i, value := range values {
			kept[i] = strings.Clone(value)
		}
		out[strings.Clone(name)] = kept
	}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(out, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	return out
}

func passing(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization": // of the connection
		return true
	case "Age", "Content-Length": // said anew: of each answer, and of the whole body
		return true
	case "Proxy-Status", "X-Request-Id": // of the exchange that fetched it
		return true
	}
	return strings.HasPrefix(name, "X-Outrider-") // load and drain, of the proxy that said so then
}
