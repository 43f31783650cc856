package http1

import "time"

// leftover bounds how much of a body that nobody has read is read for the sake of the
// connection, in bytes.
const leftover = 256 << 10

// over reports whether nothing of the body is left to read.
func (u *upload) over() bool { return u.ended.Load() && !u.broken.Load() }

// skim drops what is there of a body that is not read any more, and reports whether
// it is over then. Nobody must be reading.
func (u *upload) skim() bool {
	switch {
	case u.broken.Load():
		return false
	case u.ended.Load():
		return true
	case u.lent.Load():
		u.received.Add(u.left)
	}
	if !u.loan.frame.chunked {
		n := min(u.left, int64(len(u.w.pending())))
		u.w.start += int(n)
		u.left -= n
		if u.left == 0 {
			u.ended.Store(true)
		}
		return u.left == 0
	}
	var drop [512]byte
	for {
		n, taken, done, fault := u.chunks.decode(drop[:], u.w.pending())
		u.w.start += taken
		switch {
		case fault != nil:
			u.broken.Store(true)
			return false
		case done:
			u.ended.Store(true)
			return true
		case n == 0:
			return false
		}
	}
}

// promising reports whether a body that is not over is worth reading to its end for the
// sake of the connection: as far as it says, it is short, and the client sends it.
func (u *upload) promising() bool {
	if u.broken.Load() || u.loan.frame.chunked || u.left > leftover {
		return false
	}
	return !u.loan.frame.expect || u.begun || u.loan.interim.hasContinued()
}

// drain reads what is left, and reports whether it has come, soon enough.
func (u *upload) drain(within time.Duration) bool {
	until := time.Now().Add(within)
	for !u.skim() {
		if u.broken.Load() {
			return false
		}
		n, err := u.c.sock.read(u.w.room(inBytes), until)
		if err != nil {
			return false
		}
		u.w.end += n
	}
	return true
}
