package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// replies has every response of the origin by the path it is for, in the bytes that
// go out.
type replies map[string][]byte

// notFound is what the origin answers to any other path: the load then ends the run.
const notFound = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

func newReplies(now time.Time) replies {
	r := replies{}
	for path, size := range map[string]int{"/128": 128, "/16k": 16 << 10, "/1m": 1 << 20, "/post": 128} {
		r[path] = withLength("text/plain; charset=utf-8", bytes.Repeat([]byte("o"), size), now)
	}
	r["/validate"] = withLength("application/json", []byte(`{"id":"42","role":"user"}`), now)
	r["/chunked"] = inChunks(4, 4<<10, now)
	return r
}

// head is an origin's usual one: a handful of fields.
func head(contentType string, now time.Time) string {
	return "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: " + now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") +
		"\r\nContent-Type: " + contentType + "\r\nCache-Control: private, max-age=0\r\n"
}

func withLength(contentType string, body []byte, now time.Time) []byte {
	return append(fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n", head(contentType, now), len(body)), body...)
}

// inChunks is a body of that many chunks, of size bytes each.
func inChunks(count, size int, now time.Time) []byte {
	b := []byte(head("text/plain; charset=utf-8", now) + "Transfer-Encoding: chunked\r\n\r\n")
	for range count {
		b = fmt.Appendf(b, "%x\r\n%s\r\n", size, bytes.Repeat([]byte("o"), size))
	}
	return append(b, "0\r\n\r\n"...)
}

// question reads requests from pieces of a connection's bytes, and finds the answers.
type question struct {
	replies replies
	head    []byte // of a head that has come in part
	skip    int64  // bytes of a request's body still to come
	reply   []byte // what answers it
}

// take reads b, and returns how much of it belonged to the request, and the answer
// once that is complete.
func (q *question) take(b []byte) (used int, reply []byte, err error) {
	if q.reply == nil {
		if used, err = q.takeHead(b); err != nil || q.reply == nil {
			return used, nil, err
		}
	}
	n := min(q.skip, int64(len(b)-used))
	used += int(n)
	if q.skip -= n; q.skip > 0 {
		return used, nil, nil
	}
	reply, q.reply = q.reply, nil
	return used, reply, nil
}

func (q *question) takeHead(b []byte) (int, error) {
	had := len(q.head)
	whole := b
	if had > 0 {
		q.head = append(q.head, b...)
		whole = q.head
	}
	end := bytes.Index(whole, []byte("\r\n\r\n"))
	if end < 0 {
		if had == 0 {
			q.head = append(q.head, b...)
		}
		if len(q.head) > maxHead {
			return len(b), fmt.Errorf("the request's head has more than %d bytes", maxHead)
		}
		return len(b), nil
	}
	q.head = q.head[:0]
	return end + 4 - had, q.begin(whole[:end+2])
}

// begin reads a head, each line of which ends with CRLF. A GET's needs no more than
// its first line.
func (q *question) begin(head []byte) error {
	method, rest, _ := bytes.Cut(head, []byte(" "))
	path, _, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return fmt.Errorf("the request begins %q", head[:min(len(head), 80)])
	}
	if q.reply, ok = q.replies[string(path)]; !ok {
		q.reply = []byte(notFound)
	}
	q.skip = 0
	if string(method) == "GET" {
		return nil
	}
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, '\n') + 1
		line := rest[:end]
		rest = rest[end:]
		if startsWithFold(line, lengthKey) {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(line[len(lengthKey):])), 10, 64)
			if err != nil {
				return fmt.Errorf("the request's Content-Length: %w", err)
			}
			q.skip = n
		} else if startsWithFold(line, codingKey) {
			return fmt.Errorf("the proxy sends a body of known length as %q", line)
		}
	}
	return nil
}
