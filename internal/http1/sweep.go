package http1

import "time"

// sweepEvery is how often clients are looked for that have gone while their request is
// in the stack, and how long it must have been there: most requests never are.
const sweepEvery = 500 * time.Millisecond

// sweeper looks after all clients of a Server, in one goroutine.
type sweeper struct {
	quit, done chan struct{}
}

func newSweeper() *sweeper {
	return &sweeper{quit: make(chan struct{}), done: make(chan struct{})}
}

// run runs until stop.
func (w *sweeper) run(s *Server) {
	defer close(w.done)
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-w.quit:
			return
		case now := <-ticker.C:
			s.each(func(c *client) { c.look(now) })
		}
	}
}

// stop ends run, and waits for it.
func (w *sweeper) stop() {
	close(w.quit)
	<-w.done
}
