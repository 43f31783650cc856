package mesh

import (
	"context"
	"time"
)

// Cancel ends the call early; cause is what waits and attempts in progress fail
// with. Only the first cause counts, and none after the end. Whoever may come as late
// as that must have the call's context, which keeps the call from serving another
// request.
func (c *Call) Cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if c.cause == nil {
		c.cause = cause
	}
	if c.cancel != nil {
		c.cancel(c.cause)
	}
	if c.waiter != nil {
		c.waiter.Interrupt()
	}
}

// Cause returns why the call has ended early, nil while it has not. That a deadline
// has passed it tells only where the context was made: whoever waits without one
// looks at Due.
func (c *Call) Cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why()
}

// why is Cause. c.mu is held.
func (c *Call) why() error {
	switch {
	case c.cause != nil:
		return c.cause
	case c.ctx != nil:
		return context.Cause(c.ctx)
	case !c.lent && c.base.Err() != nil:
		return context.Cause(c.base)
	}
	return nil
}

// Waiter is who waits for an endpoint on a call's behalf.
type Waiter interface {
	// Interrupt makes the wait in progress and every later one fail. It is called
	// while the call is locked: it must be quick, and leave the call alone.
	Interrupt()
}

// Attend has w interrupted when the call ends early, until Dismiss. It returns the
// cause where it has ended already, and then w need not be dismissed. There is one
// waiter at a time.
func (c *Call) Attend(w Waiter) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cause := c.why(); cause != nil {
		return cause
	}
	c.waiter = w
	if !c.lent && c.unwatch == nil && c.base.Done() != nil {
		ctx := c.context()
		c.unwatch = context.AfterFunc(ctx, func() { c.Cancel(context.Cause(ctx)) })
	}
	return nil
}

// Dismiss ends Attend: when it returns, the waiter is not being interrupted and will
// not be.
func (c *Call) Dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiter = nil
}

// Due returns when a wait on the call's behalf must end, and the Fault to end it
// with: the earlier of the call's deadline and the attempt's. A zero time is never.
func (c *Call) Due() (at time.Time, late *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := c.whole
	if due.at.IsZero() || !c.try.at.IsZero() && c.try.at.Before(due.at) {
		due = c.try
	}
	return due.at, due.late
}

// Deadline returns when the call must have ended; the zero time is never.
func (c *Call) Deadline() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.whole.at
}

// SetDeadline bounds the whole call: at that time it is cancelled with cause. Of
// several deadlines the earliest holds.
func (c *Call) SetDeadline(at time.Time, cause *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.whole.at.IsZero() && !at.Before(c.whole.at) {
		return
	}
	c.whole = bound{at, cause}
	c.arm()
}

// ClearDeadline lifts the deadline: the response turned out to be a stream, which
// may last.
func (c *Call) ClearDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = bound{}
	c.disarm()
}

// Try bounds the attempt under way, until its response's head, beside the call's own
// deadline; the zero time lifts that.
func (c *Call) Try(at time.Time, late *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.try = bound{at, late}
}

// arm starts the deadline's timer where somebody has the context; without one
// whoever waits looks at Due. c.mu is held.
func (c *Call) arm() {
	if c.ctx == nil || c.whole.at.IsZero() || c.ended {
		return
	}
	c.disarm()
	late := c.whole.late
	c.timer = time.AfterFunc(time.Until(c.whole.at), func() { c.Cancel(late) })
}

// disarm stops the timer. c.mu is held.
func (c *Call) disarm() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}
