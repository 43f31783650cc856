package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"outrider/internal/mesh"
)

// echo answers with the request's body, its trailers and what of it was received.
func echo(req *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	return text(200, fmt.Sprintf("%d %q %q", req.ContentLength, b, req.Trailer["X-End"])), nil
}

func TestReadsBodies(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 8<<10) // more than any buffer
	for _, tt := range []struct{ name, fields, body, want string }{
		{"none", "", "", `0 "" []`},
		{"empty", "Content-Length: 0\r\n", "", `0 "" []`},
		{"with a length", "Content-Length: 5\r\n", "hello", `5 "hello" []`},
		{"long", fmt.Sprintf("Content-Length: %d\r\n", len(long)), long, fmt.Sprintf("%d %q []", len(long), long)},
		{"chunked", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", `-1 "hello!" []`},
		{"long chunk", "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(long), long), fmt.Sprintf("-1 %q []", long)},
		{"trailers", "Transfer-Encoding: chunked\r\nTrailer: X-End\r\n", "1\r\nx\r\n0\r\nX-End: y\r\n\r\n", `-1 "x" ["y"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				k := open(t, way, ServerConfig{Handler: answers(echo)}).dial(t)
				head := "POST / HTTP/1.1\r\nHost: a\r\n" + tt.fields + "\r\n"
				for range 2 { // the second shows that the first has left nothing
					k.send(head + tt.body)
					k.want(200, tt.want)
				}
				k.send(head) // the body comes by itself
				k.send(tt.body)
				k.want(200, tt.want)
			})
		})
	}
}

func TestAnswersPipelinedRequestsInOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		k := open(t, way, ServerConfig{Handler: answers(echo)}).dial(t)
		var all strings.Builder
		for i := range 100 {
			switch body := strings.Repeat("x", i*10) + fmt.Sprint(i); i % 3 {
			case 0:
				fmt.Fprintf(&all, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			case 1:
				fmt.Fprintf(&all, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			case 2:
				all.WriteString("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			}
		}
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(k, all.String())
			sent <- err
		}()
		for i := range 100 {
			body := strings.Repeat("x", i*10) + fmt.Sprint(i)
			want := [...]string{fmt.Sprintf("%d %q []", len(body), body), fmt.Sprintf("-1 %q []", body), `0 "" []`}[i%3]
			k.want(200, want)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	})
}

// What the Handler does not read is read for the sake of the next request, where that
// is little; else the connection ends, and the client has the answer all the same.
func TestDealsWithBodiesThatNobodyReads(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		closes        bool
	}{
		{"there", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", false},
		{"short", fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", 200<<10, strings.Repeat("x", 200<<10)), false},
		{"long", fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 1<<20)), true},
		{"chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("5\r\nhello\r\n", 30000) + "0\r\n\r\n", true},
		{"awaited", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", true},
	} {
		for _, failed := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, failed), func(t *testing.T) {
				eachWay(t, func(t *testing.T, way string) {
					k := open(t, way, ServerConfig{Handler: answers(func(*http.Request) (*http.Response, error) {
						if failed {
							return text(403, "no"), &mesh.Fault{Kind: mesh.Denied}
						}
						return text(403, "no"), nil
					})}).dial(t)
					sent := make(chan struct{})
					go func() {
						defer close(sent)
						_, _ = io.WriteString(k, tt.request) // may fail once we close
					}()
					if resp := k.want(403, "no"); resp.Close != tt.closes {
						t.Errorf("close %v, want %v", resp.Close, tt.closes)
					}
					<-sent
					if !tt.closes {
						k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
						k.want(403, "no")
						return
					}
					k.closed()
				})
			})
		}
	}
}

func TestSendsContinueWhenTheBodyIsWanted(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	for name, handle := range map[string]answers{
		"read": echo,
		"asked for": func(req *http.Request) (*http.Response, error) {
			call := mesh.From(req)
			call.Interim(103, http.Header{"Link": {"</a>"}})
			call.Interim(100, nil)
			call.Interim(100, nil)
			return echo(req)
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				k := open(t, way, ServerConfig{Handler: handle}).dial(t)
				k.send(head)
				if name == "asked for" {
					if resp, _ := k.response("POST"); resp.StatusCode != http.StatusEarlyHints || resp.Header.Get("Link") != "</a>" {
						t.Errorf("got %d %v, want 103", resp.StatusCode, resp.Header)
					}
				}
				if resp, _ := k.response("POST"); resp.StatusCode != http.StatusContinue {
					t.Fatalf("got %d, want 100", resp.StatusCode)
				}
				k.send("hello")
				k.want(200, `5 "hello" []`)
				k.send(head + "hello") // a client that does not wait needs none
				if name == "asked for" {
					k.response("POST")
					k.response("POST")
				}
				k.want(200, `5 "hello" []`)
			})
		})
	}
}

// A body that is there whole can be had without a copy, as often as it is wanted.
func TestBufferedIsTheWholeRest(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		ends := make(chan mesh.Result, 3)
		k := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
			mesh.From(req).OnEnd(func(r mesh.Result) { ends <- r })
			body, ok := req.Body.(interface{ Buffered() ([]byte, bool) })
			if !ok {
				return text(200, "none"), nil
			}
			first, all := body.Buffered()
			again, _ := body.Buffered()
			got := fmt.Sprint(string(first), string(again), all)
			req.Body.Close()
			if b, all := body.Buffered(); all || b != nil {
				t.Error("it is there after Close")
			}
			return text(200, got), nil
		})}).dial(t)
		k.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.want(200, "hellohellotrue")
		k.want(200, "none")
		if r := <-ends; r.Received != 5 || r.Status != 200 || r.Sent != 14 {
			t.Errorf("result %+v", r)
		}
		k.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell")
		k.send("o") // after the answer, most likely: the rest is read then
		resp, got := k.response("POST")
		if resp.Close || got != "false" && got != "hellohellotrue" {
			t.Errorf("got %q, close %v", got, resp.Close)
		}
	})
}

// A Close beside a Read breaks it off, waits for it and may be repeated; the client
// still gets its answer.
func TestCloseBesideRead(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		for _, failed := range []bool{false, true} {
			ends := make(chan mesh.Result, 1)
			k := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
				mesh.From(req).OnEnd(func(r mesh.Result) { ends <- r })
				first, ended := make(chan struct{}), make(chan error)
				go func() {
					var all [5]byte
					_, _ = io.ReadFull(req.Body, all[:])
					close(first)
					_, err := req.Body.Read(all[:]) // waits for ever
					ended <- err
				}()
				<-first
				for i := range 2 {
					req.Body.Close()
					if i == 0 {
						if err := <-ended; !errors.Is(err, http.ErrBodyReadAfterClose) {
							t.Errorf("the read ended with %v", err)
						}
					}
				}
				if _, err := req.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
					t.Errorf("the next read ended with %v", err)
				}
				if failed {
					return text(504, "late"), &mesh.Fault{Kind: mesh.ResponseTimeout}
				}
				return text(504, "late"), nil
			})}).dial(t)
			k.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello")
			if resp := k.want(504, "late"); !resp.Close {
				t.Error("the connection is to go on")
			}
			k.Close()
			if r := <-ends; r.Received != 5 || r.Status != 504 {
				t.Errorf("result %+v", r)
			}
		}
	})
}

// What is wrong with a body ends it with an honest Fault, and the connection.
func TestBodiesThatFail(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		want          mesh.Kind
	}{
		{"chunk size", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", mesh.Malformed},
		{"chunk extension", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n", mesh.Malformed},
		{"cut", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell", mesh.ClientGone},
		{"cut chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell", mesh.ClientGone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way string) {
				kinds := make(chan mesh.Kind, 1)
				k := open(t, way, ServerConfig{Handler: answers(func(req *http.Request) (*http.Response, error) {
					_, err := io.ReadAll(req.Body)
					fault := mesh.AsFault(err)
					kinds <- fault.Kind
					return text(400, "bad"), fault
				})}).dial(t)
				k.send(tt.request)
				if err := k.Conn.(halfCloser).CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if got := <-kinds; got != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				if resp := k.want(400, "bad"); !resp.Close {
					t.Error("the connection is to go on")
				}
				k.closed()
			})
		})
	}
}
