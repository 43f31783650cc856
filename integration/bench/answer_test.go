package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

var sizes = map[string]int64{"/128": 128, "/16k": 16 << 10, "/post": 128, "/chunked": 16 << 10, "/validate": 25}

func TestAnswersAreReadHoweverTheyArrive(t *testing.T) {
	for path, size := range sizes {
		reply := newReplies(time.Unix(0, 0))[path]
		for _, step := range []int{1, 2, 3, 7, 100, 4096, len(reply)} {
			a := answer{want: size}
			for again := range 2 { // a second one over the same connection
				at, done := 0, false
				for !done && at < len(reply) {
					end := min(at+step, len(reply))
					used, ended, err := a.take(reply[at:end])
					if err != nil || used != end-at {
						t.Fatalf("%s in steps of %d, answer %d: %d of %d bytes at %d, %v", path, step, again, used, end-at, at, err)
					}
					at, done = end, ended
				}
				if !done || at != len(reply) {
					t.Fatalf("%s in steps of %d, answer %d: done is %v after %d of %d bytes", path, step, again, done, at, len(reply))
				}
			}
		}
	}
}

func TestAnswersEndWhereTheyEnd(t *testing.T) {
	for _, path := range []string{"/128", "/chunked"} {
		reply := newReplies(time.Unix(0, 0))[path]
		a := answer{want: sizes[path]}
		used, done, err := a.take(append(bytes.Clone(reply), "HTTP"...))
		if used != len(reply) || !done || err != nil {
			t.Errorf("%s: %d of %d bytes, %v, %v", path, used, len(reply), done, err)
		}
	}
}

func TestWrongAnswersAreErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"status", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nfoul", `"HTTP/1.1 502 Bad Gateway", not 200`},
		{"length", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong", "5 bytes, not 4"},
		{"no length", "HTTP/1.1 200 OK\r\nX: y\r\n\r\nfour", "neither"},
		{"length of words", "HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\nfour", "Content-Length"},
		{"too short", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n", "3 bytes, not 4"},
		{"chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", `size of a chunk is "z"`},
		{"chunk end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour!\r\n", `"!" stands after a chunk`},
		{"endless head", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", maxHead), "more than"},
	} {
		a := answer{want: 4}
		if _, _, err := a.take([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, and should say %q", c.name, err, c.want)
		}
	}
}

func TestQuestionsAreReadHoweverTheyArrive(t *testing.T) {
	replies := newReplies(time.Unix(0, 0))
	for _, o := range []order{{Path: "/128"}, {Path: "/post", Body: 4096}, {Path: "/nowhere"}} {
		request := o.bytes()
		for _, step := range []int{1, 3, 100, len(request)} {
			q := question{replies: replies}
			var reply []byte
			for at := 0; at < len(request); at += step {
				if reply != nil {
					t.Fatalf("%s in steps of %d: answered after %d of %d bytes", o.Path, step, at, len(request))
				}
				end := min(at+step, len(request))
				used, now, err := q.take(request[at:end])
				if err != nil || used != end-at {
					t.Fatalf("%s in steps of %d: %d of %d bytes, %v", o.Path, step, used, end-at, err)
				}
				reply = now
			}
			want := replies[o.Path]
			if want == nil {
				want = []byte(notFound)
			}
			if !bytes.Equal(reply, want) {
				t.Errorf("%s in steps of %d: answered %.40q", o.Path, step, reply)
			}
		}
	}
}
