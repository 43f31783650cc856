package http1

import (
	"bytes"
	"maps"
	"net/http"

	"outrider/internal/mesh"
)

// chunks decodes a chunked body as its bytes arrive (RFC 9112, section 7.1): it
// can be interrupted after any of them. It must be reset before use.
type chunks struct {
	response   bool // whose body it is: a flaw is the endpoint's, not the client's
	limit      int  // bytes of the trailer section, at most
	fieldLimit int  // field lines of the trailer section, at most

	state   chunkState
	left    int64       // data bytes of the chunk that are still to come
	digits  int         // of the size that is being read
	section []byte      // the trailer section so far
	trailer http.Header // what it was, once done; nil where it was empty
}

type chunkState uint8

const (
	inSize    chunkState = iota // before or within a chunk's size
	inSizeEnd                   // after the CR behind it
	inData                      // left bytes of data follow
	inDataCR                    // the data has ended
	inDataLF                    // the CR behind it has come
	inTrailer                   // after the last chunk's size
	inDone                      // after the empty line
)

// maxDigits bounds a chunk's size: more could overflow somebody's counter.
const maxDigits = 15

// reset makes c ready for a body. The limits are those of the message's head.
func (c *chunks) reset(l limits) {
	*c = chunks{response: l.response, limit: l.head, fieldLimit: l.fields, section: c.section[:0]}
}

// decode decodes bytes of src into dst, until either is used up or the body is
// complete. It returns how many bytes it wrote to dst and took from src, and
// whether the body is done: then the rest of src belongs to the next message. With
// a dst of no bytes it goes on through everything that is not data.
func (c *chunks) decode(dst, src []byte) (written, taken int, done bool, fault *mesh.Fault) {
	for taken < len(src) && c.state != inDone {
		if c.state == inData {
			n := copy(dst[written:], src[taken:min(int64(len(src)), int64(taken)+c.left)])
			if n == 0 {
				break // dst is full
			}
			written, taken = written+n, taken+n
			c.took(int64(n))
			continue
		}
		n, f := c.frame(src[taken:])
		if f != sound {
			return written, taken, false, f.fault(c.response)
		}
		taken += n
	}
	return written, taken, c.state == inDone, nil
}

// direct returns how many bytes of data come next, so that they can be read past
// the decoder, to be told of by took. It is 0 where something else comes next.
func (c *chunks) direct() int64 {
	if c.state != inData {
		return 0
	}
	return c.left
}

// took notes that n bytes of data, no more than direct, have been read.
func (c *chunks) took(n int64) {
	if c.left -= n; c.left == 0 {
		c.state = inDataCR
	}
}

// merge adds the trailer fields that came to trailer, which may be nil or those
// that were announced. It may be called once the body is done.
func (c *chunks) merge(trailer *http.Header) {
	switch {
	case c.trailer == nil:
	case *trailer == nil:
		*trailer = c.trailer
	default:
		maps.Copy(*trailer, c.trailer)
	}
}

// frame takes bytes of src, at least one, that are no data.
func (c *chunks) frame(src []byte) (int, flaw) {
	switch c.state {
	case inSize:
		return c.size(src)
	case inSizeEnd:
		if src[0] != '\n' {
			return 0, bareCR
		}
		c.digits = 0
		if c.state = inData; c.left == 0 {
			c.state = inTrailer
		}
		return 1, sound
	case inDataCR:
		if src[0] != '\r' {
			return 0, badChunkEnd
		}
		c.state = inDataLF
		return 1, sound
	case inDataLF:
		if src[0] != '\n' {
			return 0, badChunkEnd
		}
		c.state = inSize
		return 1, sound
	}
	return c.collect(src)
}

// size takes a chunk's size, digits and CR, as far as src has it.
func (c *chunks) size(src []byte) (int, flaw) {
	for i, b := range src {
		switch {
		case classes[b]&hexByte != 0:
			if c.digits == maxDigits {
				return 0, badChunkSize
			}
			c.left = c.left<<4 | int64(unhex(b))
			c.digits++
		case b == '\r' && c.digits > 0:
			c.state = inSizeEnd
			return i + 1, sound
		case b == ';' && c.digits > 0:
			return 0, chunkExtension
		case b == '\n':
			return 0, bareLF
		default:
			return 0, badChunkSize
		}
	}
	return len(src), sound
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// collect takes lines of the trailer section. The section is parsed as a whole.
func (c *chunks) collect(src []byte) (int, flaw) {
	if len(c.section) == 0 && len(src) >= 2 && src[0] == '\r' && src[1] == '\n' { // nearly always
		c.state = inDone
		return 2, sound
	}
	n := bytes.IndexByte(src, '\n') + 1
	ended := n > 0
	if !ended {
		n = len(src)
	}
	if len(c.section)+n > c.limit {
		return 0, trailerTooLong
	}
	c.section = append(c.section, src[:n]...)
	if !ended {
		return n, sound
	}
	s := c.section
	if len(s) < 2 || s[len(s)-2] != '\r' {
		return 0, bareLF
	}
	if len(s) == 2 || s[len(s)-3] == '\n' {
		var f flaw
		if c.trailer, f = parseTrailer(s, c.fieldLimit); f != sound {
			return 0, f
		}
		c.state = inDone
	}
	return n, sound
}
