package mesh

import (
	"context"
	"slices"
)

// Ender is told of the end of a call or of an attempt.
type Ender interface{ End(Result) }

// endFunc is a function as an Ender.
type endFunc func(Result)

// End calls f.
func (f endFunc) End(r Result) { f(r) }

// OnEnd is AtEnd for a function.
func (c *Call) OnEnd(f func(Result)) { c.AtEnd(endFunc(f)) }

// AtEnd has e told once: when the call ends or, where e was registered inside an
// attempt that is given up, when that attempt is (see Unwind). Enders are told in the
// reverse order of their registration. After the end, e is told at once.
func (c *Call) AtEnd(e Ender) {
	c.mu.Lock()
	if !c.ended {
		c.ends = append(c.ends, e)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	e.End(Result{})
}

// Mark returns a mark for Unwind.
func (c *Call) Mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ends)
}

// Unwind ends what has been registered since mark: the retry layer gives an
// attempt up.
func (c *Call) Unwind(mark int, r Result) {
	c.mu.Lock()
	var ends []Ender
	if mark < len(c.ends) { // else the call has ended already, and they have been told
		ends = slices.Clone(c.ends[mark:])
		clear(c.ends[mark:])
		c.ends = c.ends[:mark]
	}
	c.mu.Unlock()
	tell(ends, r)
}

// End ends the call: everybody of AtEnd is told, the timer stops, the context is
// cancelled. The server calls it exactly once, after the last byte to the client;
// a second call does nothing.
func (c *Call) End(r Result) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	ends := c.ends
	c.disarm()
	cancel, unwatch := c.cancel, c.unwatch
	c.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
	tell(ends, r)
	if cancel != nil {
		cancel(context.Canceled)
	}
}

func tell(ends []Ender, r Result) {
	for _, e := range slices.Backward(ends) {
		e.End(r)
	}
}
