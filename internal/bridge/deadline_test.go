package bridge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"outrider/internal/mesh"
)

var late = &mesh.Fault{Kind: mesh.ResponseTimeout}

// body answers with read as a body of unknown length.
func body(read func(call *mesh.Call, p []byte) (int, error)) mesh.RoundTripFunc {
	return func(req *http.Request) (*http.Response, error) {
		resp, call := reply(req, http.StatusOK, ""), mesh.From(req)
		resp.ContentLength = -1
		resp.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) { return read(call, p) }))
		return resp, nil
	}
}

func wantLate(t *testing.T, p *proxy, byClient bool) {
	t.Helper()
	r := await(t, p.ends)
	var fault *mesh.Fault
	if !errors.As(r.Err, &fault) || fault.Kind != mesh.ResponseTimeout || fault.ByClient != byClient {
		t.Errorf("result %+v, want a response timeout, by the client: %v", r, byClient)
	}
}

// A client that reads slowly, or not at all, holds the endpoint until the call's
// deadline and no longer.
func TestDeadlineEndsSlowReader(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		p := serve(t, proto, body(func(call *mesh.Call, p []byte) (int, error) {
			call.SetDeadline(time.Now().Add(20*time.Millisecond), late) // the first holds
			return len(p), nil
		}))
		resp, err := p.client(t).Do(request(t, "GET", p.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		wantLate(t, p, true)
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Error("the client took it for whole")
		}
	})
}

// The stream of a client that opens no window at all ends as well.
func TestDeadlineEndsStreamWithoutWindow(t *testing.T) {
	p := serve(t, "h2c", func(req *http.Request) (*http.Response, error) {
		resp, call := reply(req, http.StatusOK, ""), mesh.From(req)
		resp.ContentLength = 1 << 20
		resp.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
			call.SetDeadline(time.Now().Add(20*time.Millisecond), late)
			return len(p), nil
		}))
		return resp, nil
	})
	conn, r := p.dial(t)
	_, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+
		"\x00\x00\x06\x04\x00\x00\x00\x00\x00"+"\x00\x04\x00\x00\x00\x00"+ // SETTINGS: INITIAL_WINDOW_SIZE 0
		"\x00\x00\x06\x01\x05\x00\x00\x00\x01"+"\x82\x86\x84\x41\x01a") // HEADERS: GET http / of a
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	wantLate(t, p, true)
	conn.Close()
}

// A body that sits in memory ends with its call, though every write succeeds.
func TestCallEndsBodyInMemory(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*mesh.Call)
		want mesh.Kind
	}{
		{"deadline", func(c *mesh.Call) { c.SetDeadline(time.Unix(1, 0), late) }, mesh.ResponseTimeout},
		{"cancel", func(c *mesh.Call) { c.Cancel(&mesh.Fault{Kind: mesh.IdleTimeout}) }, mesh.IdleTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachProto(t, func(t *testing.T, proto string) {
				reads := 0
				p := serve(t, proto, body(func(call *mesh.Call, p []byte) (int, error) {
					if reads++; reads == 3 {
						tt.end(call)
					}
					return len(p), nil
				}))
				resp, err := p.client(t).Do(request(t, "GET", p.URL, nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if _, err := io.Copy(io.Discard, resp.Body); err == nil {
					t.Error("the client took it for whole")
				}
				if r := await(t, p.ends); kindOf(r.Err) != tt.want {
					t.Errorf("result %+v, want %v", r, tt.want)
				}
			})
		})
	}
}

// Our own write deadline ends an HTTP/2 stream, which looks as if the client had
// gone; an endpoint that is too slow stays to blame.
func TestDeadlineWhileEndpointIsSlow(t *testing.T) {
	p := serve(t, "h2c", func(req *http.Request) (*http.Response, error) {
		mesh.From(req).SetDeadline(time.Now().Add(200*time.Millisecond), late)
		resp := reply(req, http.StatusOK, "")
		resp.ContentLength = -1
		resp.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
			<-req.Context().Done() // not the call's: the stream's
			return 0, context.Canceled
		}))
		return resp, nil
	})
	resp, err := p.client(t).Do(request(t, "GET", p.URL, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wantLate(t, p, false)
}

// A response that comes when the time is up is no response; a stream whose
// deadline was cleared has all the time it needs.
func TestDeadlineBeforeTheHead(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		for _, tt := range []struct {
			clear bool
			want  int
		}{{false, http.StatusGatewayTimeout}, {true, http.StatusOK}} {
			p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
				call := mesh.From(req)
				call.SetDeadline(time.Unix(1, 0), late)
				if tt.clear {
					call.ClearDeadline()
				}
				return over(req)
			})
			if resp, _ := p.do(t, request(t, "GET", p.URL, nil)); resp.StatusCode != tt.want {
				t.Errorf("cleared %v: status %d", tt.clear, resp.StatusCode)
			}
		}
	})
}
