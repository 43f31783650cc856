package tracecontext

import (
	"net/http"
	"strings"
)

// Bounds of a baggage, those that every implementation has to propagate at least
// (https://www.w3.org/TR/baggage/, section 3.3.2).
const (
	baggage           = "Baggage"
	maxBaggage        = 8 << 10 // bytes, commas included
	maxBaggageMembers = 64
)

// BoundBaggage has the baggage in h keep to its bounds. One that does passes as it
// came, whatever it says: it is the application's. Of one that does not, members from
// the end go, each whole.
func BoundBaggage(h http.Header) {
	lines := h[baggage]
	size, members := len(lines)-1, 0
	for _, line := range lines {
		size += len(line)
		members += strings.Count(line, ",") + 1
	}
	if size <= maxBaggage && members <= maxBaggageMembers {
		return
	}
	all := strings.Split(strings.Join(lines, ","), ",")
	for len(all) > 0 && (size > maxBaggage || len(all) > maxBaggageMembers) {
		size -= len(all[len(all)-1]) + 1
		all = all[:len(all)-1]
	}
	if len(all) == 0 {
		delete(h, baggage)
		return
	}
	h[baggage] = []string{strings.Join(all, ",")}
}
