package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxHead bounds the head of an answer, in bytes.
const maxHead = 16 << 10

// answer reads one response after the other from pieces of a connection's bytes. It
// accepts 200 only, and a body of exactly want bytes.
type answer struct {
	want int64 // bytes of the body

	head    []byte // of a head that has come in part
	inBody  bool
	chunked bool
	left    int64 // bytes to come of the body, or of the chunk
	body    int64 // bytes that a chunked body has had
	line    []byte
	part    part
}

// part is where in a chunked body the next byte stands.
type part int

const (
	sizeLine part = iota
	data
	dataEnd
	trailer
)

// take reads b. It returns how many bytes belonged to the response, and whether that
// is complete. An error means that the connection is of no more use.
func (a *answer) take(b []byte) (used int, done bool, err error) {
	if !a.inBody {
		n, err := a.takeHead(b)
		if err != nil || !a.inBody {
			return n, false, err
		}
		used = n
	}
	if a.chunked {
		n, done, err := a.takeChunks(b[used:])
		if done {
			a.inBody = false
		}
		return used + n, done, err
	}
	n := min(a.left, int64(len(b)-used))
	a.left -= n
	if a.left == 0 {
		a.inBody = false
		return used + int(n), true, nil
	}
	return used + int(n), false, nil
}

// takeHead reads up to the body's first byte.
func (a *answer) takeHead(b []byte) (int, error) {
	had := len(a.head)
	whole := b
	if had > 0 {
		a.head = append(a.head, b...)
		whole = a.head
	}
	end := bytes.Index(whole, []byte("\r\n\r\n"))
	if end < 0 {
		if had == 0 {
			a.head = append(a.head, b...)
		}
		if len(a.head) > maxHead {
			return len(b), fmt.Errorf("the answer's head has more than %d bytes", maxHead)
		}
		return len(b), nil
	}
	a.head = a.head[:0]
	return end + 4 - had, a.begin(whole[:end+2])
}

var (
	okLine    = []byte("HTTP/1.1 200")
	lengthKey = []byte("content-length:")
	codingKey = []byte("transfer-encoding:")
)

// begin reads a head, each line of which ends with CRLF.
func (a *answer) begin(head []byte) error {
	if !bytes.HasPrefix(head, okLine) {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return fmt.Errorf("the answer is %q, not 200", line)
	}
	a.inBody, a.chunked, a.left, a.body, a.part = true, false, -1, 0, sizeLine
	for rest := head; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		line := rest[:end]
		rest = rest[end:]
		switch {
		case startsWithFold(line, lengthKey):
			n, err := strconv.ParseInt(string(bytes.TrimSpace(line[len(lengthKey):])), 10, 64)
			if err != nil {
				return fmt.Errorf("the answer's Content-Length: %w", err)
			}
			a.left = n
		case startsWithFold(line, codingKey):
			a.chunked = true
		}
	}
	switch {
	case a.chunked:
		return nil
	case a.left < 0:
		return errors.New("the answer has neither Content-Length nor Transfer-Encoding")
	case a.left != a.want:
		return fmt.Errorf("the answer has %d bytes, not %d", a.left, a.want)
	}
	return nil
}

// startsWithFold reports whether line begins with key, which is in lower case.
func startsWithFold(line, key []byte) bool {
	return len(line) >= len(key) && (line[0]|0x20) == key[0] && bytes.EqualFold(line[:len(key)], key)
}

func (a *answer) takeChunks(b []byte) (used int, done bool, err error) {
	for used < len(b) {
		if a.part == data {
			n := min(a.left, int64(len(b)-used))
			used += int(n)
			a.body += n
			if a.left -= n; a.left == 0 {
				a.part = dataEnd
			}
			continue
		}
		end := bytes.IndexByte(b[used:], '\n')
		if end < 0 {
			a.line = append(a.line, b[used:]...)
			if len(a.line) > maxHead {
				return len(b), false, fmt.Errorf("a chunk's line has more than %d bytes", maxHead)
			}
			return len(b), false, nil
		}
		a.line = append(a.line, b[used:used+end]...)
		used += end + 1
		done, err = a.endLine(bytes.TrimSuffix(a.line, []byte("\r")))
		a.line = a.line[:0]
		if done || err != nil {
			return used, done, err
		}
	}
	return used, false, nil
}

// endLine reads one line between the chunks, without its end.
func (a *answer) endLine(line []byte) (done bool, err error) {
	switch a.part {
	case sizeLine:
		if a.left, err = strconv.ParseInt(string(line), 16, 64); err != nil || a.left < 0 {
			return false, fmt.Errorf("the size of a chunk is %q", line)
		}
		if a.part = data; a.left == 0 {
			a.part = trailer
		}
	case dataEnd:
		if len(line) != 0 {
			return false, fmt.Errorf("%q stands after a chunk", line)
		}
		a.part = sizeLine
	case trailer:
		if len(line) != 0 {
			return false, nil
		}
		if a.body != a.want {
			return false, fmt.Errorf("the answer has %d bytes, not %d", a.body, a.want)
		}
		return true, nil
	case data: // is not made of lines
	}
	return false, nil
}
