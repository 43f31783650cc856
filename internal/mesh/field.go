package mesh

import "net/http"

// Set sets a header's field of that name, which is in canonical form, to one value. The
// list is the call's, as one of List; a nil Call allocates it.
func (c *Call) Set(h http.Header, name, value string) {
	if c == nil {
		h[name] = []string{value}
		return
	}
	h[name] = c.List(value)
}

// Add is Set for a further value of a field that may be there already.
func (c *Call) Add(h http.Header, name, value string) {
	if there := h[name]; len(there) > 0 {
		h[name] = append(there[:len(there):len(there)], value) // whose room is behind it nobody knows
		return
	}
	c.Set(h, name, value)
}
