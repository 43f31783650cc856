package http1

// turn serves what has come, within a hold of the socket: see there. It reports false
// to wait.
func (c *client) turn(fd uintptr) bool {
	c.sock.fd = int(fd)
	for {
		if c.work != nil {
			if done := c.serveBuffered(); done {
				return true
			}
		}
		// Once more after each answer: an end of the client's that came with its request
		// is not told of again.
		w := c.take()
		n, err := readNow(fd, w.room(c.srv.limits.head))
		switch {
		case err != nil:
			c.verdict = stepEnded
			return true
		case n == 0:
			return !c.doze()
		}
		w.end += n
		if !c.rouse() {
			c.verdict = stepEnded
			return true
		}
	}
}

// serveBuffered serves the requests that have come whole. It reports whether turn is
// done, with a verdict.
func (c *client) serveBuffered() bool {
	for c.work.start < c.work.end {
		c.verdict = c.advance()
		switch {
		case c.verdict == stepMore:
			return false
		case c.verdict != stepReady || !c.work.loan.whole():
			return true
		}
		if !c.exchange() {
			c.verdict = stepEnded
			return true
		}
	}
	return false
}

// doze readies for a wait. It reports false where the connection has ended.
func (c *client) doze() bool {
	if !c.pause() || c.sock.arm(c.until) != nil {
		c.verdict = stepEnded
		return false
	}
	return true
}
