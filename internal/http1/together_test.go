package http1_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"outrider/internal/http1"
	"outrider/internal/mesh"
)

// passing is a Handler that passes everything on.
type passing struct{ http.RoundTripper }

func (p passing) Handle(req *http.Request) (*http.Response, error) { return p.RoundTrip(req) }

func (passing) Refuse(_ *http.Request, f *mesh.Fault) (*http.Response, error) { return nil, f }

func (passing) Fail(_ *http.Request, err error) *mesh.Fault { return mesh.AsFault(err) }

// watched is a connection whose writes are counted.
type watched struct {
	net.Conn
	writes int           // for whoever waits for the server's end
	first  chan struct{} // closed after the first
}

func (c *watched) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.writes++; c.writes == 1 {
		close(c.first)
	}
	return n, err
}

// What an endpoint has sent at once goes on at once, however it is delimited, and what
// is yet to come is not waited for.
func TestPassesOnTogether(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name, first, second, body string
		want                      int
	}{
		{"chunks", head + "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "", "hello!", 1},
		{"no data", head + "0\r\nA: b\r\n\r\n", "", "", 1},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\nhello", "", "hello", 2}, // its end comes by itself
		{"some is late", head + "5\r\nhello\r\n1\r", "\n!\r\n0\r\n\r\n", "hello!", 2},
		{"all is late", head + "5", "\r\nhello\r\n0\r\n\r\n", "hello", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			late := make(chan struct{})
			o := newOrigin(t, "plain", func(_ int, p *peer) {
				defer p.Close()
				if req, _ := p.request(); req == nil {
					return
				}
				p.say(tt.first)
				if tt.second != "" {
					<-late
					p.say(tt.second)
				}
			})
			ours, theirs := net.Pipe()
			c := &watched{Conn: ours, first: make(chan struct{})}
			s := http1.NewServer(http1.ServerConfig{Handler: passing{o.transport()}})
			var serving sync.WaitGroup
			serving.Go(func() { s.Serve(t.Context(), c) })
			serving.Go(func() { <-c.first; close(late) })
			_, _ = io.WriteString(theirs, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(theirs), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != tt.body {
				t.Errorf("got %q, %v", got, err)
			}
			resp.Body.Close()
			theirs.Close()
			serving.Wait()
			if c.writes != tt.want {
				t.Errorf("%d writes, want %d", c.writes, tt.want)
			}
		})
	}
}
