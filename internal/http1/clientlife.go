package http1

import (
	"context"
	"errors"
	"time"

	"outrider/internal/mesh"
)

// retire ends the connection if it is idle.
func (c *client) retire() {
	if c.state.CompareAndSwap(idle, retired) {
		c.sock.interrupt()
	}
}

// sever ends the connection.
func (c *client) sever() {
	if c.state.Load() == passed {
		return
	}
	c.mu.Lock()
	if c.call != nil {
		c.call.Cancel(&mesh.Fault{Kind: mesh.Draining})
	}
	c.mu.Unlock()
	c.sock.cut()
}

// perish ends the request in progress, and the connection with it: its life is over.
func (c *client) perish() {
	cause := context.Cause(c.Context)
	var fault *mesh.Fault
	if !errors.As(cause, &fault) {
		fault = &mesh.Fault{Kind: mesh.Draining, Err: cause}
	}
	c.perished.Store(true)
	c.retire()
	c.mu.Lock()
	c.cause = fault
	if c.call != nil {
		c.call.Cancel(fault)
	}
	c.mu.Unlock()
	if c.state.Load() != passed {
		c.sock.deafen()
	}
}

// look cancels a call that has been in the stack for a while, and whose client has
// gone.
func (c *client) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == nil || c.tunnel || now.Sub(c.since) < sweepEvery || !c.sock.gone() {
		return
	}
	c.call.Cancel(&mesh.Fault{Kind: mesh.ClientGone, Err: errGone})
}

// errGone is why a client's call is cancelled.
var errGone = errors.New("the client closed the connection")

// enterStack notes that call goes into the stack.
func (c *client) enterStack(call *mesh.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.call, c.since = call, call.Start
	if c.cause != nil {
		call.Cancel(c.cause)
	}
}

// leaveStack notes that the call is over.
func (c *client) leaveStack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.call = nil
}

// ending reports whether the connection serves no further request.
func (c *client) ending() bool {
	return c.srv.draining.Load() || c.perished.Load()
}
