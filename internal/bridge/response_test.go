package bridge_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

func TestResponseHeader(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
			resp := reply(req, http.StatusNonAuthoritativeInfo, "<html>")
			resp.Header = http.Header{
				"Connection": {"X-Hop, Content-Length, Set-Cookie"}, "X-Hop": {"1"}, "Keep-Alive": {"1"}, "Proxy-Authenticate": {"1"},
				"Set-Cookie": {"a=1", "b=2"}, "Via": {"1.0 origin"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"h2c"},
				"Content-Length": {"999"}, // not what the Response says
			}
			return resp, nil
		})
		resp, body := p.do(t, request(t, "GET", p.URL, nil))
		if resp.StatusCode != http.StatusNonAuthoritativeInfo || body != "<html>" || resp.ContentLength != 6 {
			t.Fatalf("%d, %q, length %d", resp.StatusCode, body, resp.ContentLength)
		}
		names := []string{}
		for name := range resp.Header {
			names = append(names, name)
		}
		slices.Sort(names)
		if want := []string{"Content-Length", "Date", "Set-Cookie", "Via"}; !slices.Equal(names, want) {
			t.Errorf("fields %q, want %q", names, want)
		}
		if v := resp.Header["Set-Cookie"]; !slices.Equal(v, []string{"a=1", "b=2"}) {
			t.Errorf("cookies %q", v)
		}
		if v := resp.Header["Via"]; !slices.Equal(v, []string{"1.0 origin", "1.1 edge-1"}) {
			t.Errorf("Via %q", v)
		}
	})
}

func TestResponseMadeHereHasNoVia(t *testing.T) {
	p := serve(t, "h1", func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: http.StatusFound}, nil })
	resp, body := p.do(t, request(t, "GET", p.URL, nil))
	if resp.StatusCode != http.StatusFound || body != "" || resp.Header.Get("Via") != "" || resp.ContentLength != 0 {
		t.Errorf("%d, %q, length %d, %q", resp.StatusCode, body, resp.ContentLength, resp.Header)
	}
}

func TestResponsesWithoutBody(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		for _, tt := range []struct {
			method string
			status int
			length string
		}{{"HEAD", 200, "1234"}, {"HEAD", 200, ""}, {"GET", 204, ""}, {"GET", 304, ""}} {
			body := newPieces(fails(errors.New("nobody may read this")))
			p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
				resp := reply(req, tt.status, "")
				resp.Body, resp.ContentLength = body, -1
				if tt.length != "" {
					resp.Header.Set("Content-Length", tt.length)
				}
				return resp, nil
			})
			resp, got := p.do(t, request(t, tt.method, p.URL, nil))
			if resp.StatusCode != tt.status || got != "" || resp.Header.Get("Content-Length") != tt.length {
				t.Errorf("%s %d: %d, %q, length %q", tt.method, tt.status, resp.StatusCode, got, resp.Header.Get("Content-Length"))
			}
			if r := await(t, p.ends); r.Err != nil || r.Status != tt.status {
				t.Errorf("%s %d: result %+v", tt.method, tt.status, r)
			}
			await(t, body.closed)
		}
	})
}

func TestStatusThatIsNotFinal(t *testing.T) {
	for _, status := range []int{0, 100, 103, 199, 1000} {
		p := serve(t, "h1", func(req *http.Request) (*http.Response, error) { return reply(req, status, "x"), nil })
		if resp, _ := p.do(t, request(t, "GET", p.URL, nil)); resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%d became %d", status, resp.StatusCode)
		}
	}
}

// What has come is sent on before more is read: the reader of a stream waits for it.
func TestStreamsAreFlushed(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		for _, tt := range []struct {
			name, media string
			length      int64
		}{{"unknown length", "text/plain", -1}, {"event stream", "text/event-stream; charset=utf-8", 10}, {"gRPC", "application/grpc+proto", 10}} {
			t.Run(tt.name, func(t *testing.T) {
				r, w := io.Pipe()
				p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
					resp := reply(req, http.StatusOK, "")
					resp.Header.Set("Content-Type", tt.media)
					resp.Body, resp.ContentLength = r, tt.length
					return resp, nil
				})
				resp, err := p.client(t).Do(request(t, "GET", p.URL, nil)) // the head, before any of the body
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				for _, part := range []string{"first", "again"} {
					if _, err := io.WriteString(w, part); err != nil {
						t.Fatal(err)
					}
					got := make([]byte, 5)
					if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != part {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				w.Close()
				if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
					t.Errorf("rest %q, %v", rest, err)
				}
				if r := await(t, p.ends); r.Err != nil || r.Sent != 10 {
					t.Errorf("result %+v", r)
				}
			})
		}
	})
}

func TestBrokenBodiesAbort(t *testing.T) {
	boom := errors.New("boom")
	eachProto(t, func(t *testing.T, proto string) {
		for _, tt := range []struct {
			name   string
			body   io.Reader
			length int64
			want   mesh.Kind
		}{
			{"error", io.MultiReader(strings.NewReader("hello"), fails(boom)), -1, mesh.Reset},
			{"error within a length", io.MultiReader(strings.NewReader("hello"), fails(boom)), 10, mesh.Reset},
			{"fault", io.MultiReader(strings.NewReader("hello"), fails(&mesh.Fault{Kind: mesh.IdleTimeout})), -1, mesh.IdleTimeout},
			{"cancelled", io.MultiReader(strings.NewReader("hello"), fails(context.Canceled)), -1, mesh.ResponseTimeout},
			{"short", strings.NewReader("hello"), 10, mesh.Reset},
			{"long", strings.NewReader("hello"), 3, mesh.BadResponse},
		} {
			t.Run(tt.name, func(t *testing.T) {
				body := newPieces(tt.body)
				p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
					resp := reply(req, http.StatusOK, "")
					resp.Body, resp.ContentLength = body, tt.length
					if tt.name == "cancelled" {
						mesh.From(req).Cancel(&mesh.Fault{Kind: mesh.ResponseTimeout})
					}
					return resp, nil
				})
				resp, err := p.client(t).Do(request(t, "GET", p.URL, nil))
				if err == nil {
					defer resp.Body.Close()
					var got []byte
					if got, err = io.ReadAll(resp.Body); err == nil {
						t.Errorf("the client took %q for whole", got)
					}
				}
				if r := await(t, p.ends); r.Status != 200 || kindOf(r.Err) != tt.want {
					t.Errorf("result %+v, want %v", r, tt.want)
				}
				await(t, body.closed)
			})
		}
	})
}

func TestResponseTrailers(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
			resp := reply(req, http.StatusOK, "hello")
			resp.Header.Set("X-Both", "head")
			resp.Header.Set("X-Never", "head")
			resp.Header.Set("Trailer", "X-Made-Up")
			resp.Trailer = http.Header{"X-Both": nil, "X-Never": nil}
			resp.Body = io.NopCloser(io.MultiReader(resp.Body, readerFunc(func([]byte) (int, error) {
				resp.Trailer["X-Both"] = []string{"tail"}
				resp.Trailer["X-Surprise"] = []string{"1", "2"}
				resp.Trailer["Content-Length"] = []string{"7"}
				return 0, io.EOF
			})))
			return resp, nil
		})
		resp, body := p.do(t, request(t, "GET", p.URL, nil))
		if body != "hello" || resp.Header.Get("X-Both") != "head" || resp.Header.Get("X-Never") != "head" {
			t.Errorf("%q, %q", body, resp.Header)
		}
		if v := resp.Trailer; !slices.Equal(v["X-Both"], []string{"tail"}) || !slices.Equal(v["X-Surprise"], []string{"1", "2"}) || len(v["X-Never"]) > 0 || len(v["Content-Length"]) > 0 {
			t.Errorf("trailers %q", v)
		}
		if _, ok := resp.Trailer["X-Made-Up"]; ok {
			t.Error("a Trailer field that the Response does not stand by was passed on")
		}
	})
}

// A gRPC answer without messages has its status in the one HEADERS frame that also
// ends the stream.
func TestTrailersOnlyPasses(t *testing.T) {
	p := serve(t, "h2c", func(req *http.Request) (*http.Response, error) {
		resp := reply(req, http.StatusOK, "")
		resp.Header.Set("Content-Type", "application/grpc")
		resp.Header.Set("Grpc-Status", "5")
		return resp, nil
	})
	resp, body := p.do(t, request(t, "POST", p.URL, nil))
	if resp.Header.Get("Grpc-Status") != "5" || body != "" || resp.ContentLength != 0 { // known to be empty at its head
		t.Errorf("%q %q, length %d", resp.Header, body, resp.ContentLength)
	}
}

func TestInterimResponses(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		var late func(int, http.Header)
		p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
			late = mesh.From(req).Interim
			late(103, http.Header{"Link": {"</a.css>"}, "Connection": {"X-Hop"}, "X-Hop": {"1"}})
			late(100, nil)                  // the client did not ask for it
			late(101, nil)                  // no interim response
			late(200, http.Header{"X": {}}) // nor this
			late(102, nil)
			return reply(req, http.StatusOK, "ok"), nil
		})
		var got []int
		var hints textproto.MIMEHeader
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			got = append(got, code)
			if code == 103 {
				hints = header
			}
			return nil
		}}
		req := request(t, "GET", p.URL, nil)
		resp, body := p.do(t, req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		if !slices.Equal(got, []int{103, 102}) {
			t.Errorf("interim %v", got)
		}
		if hints.Get("Link") != "</a.css>" || hints.Get("X-Hop") != "" || hints.Get("Via") != "1.1 edge-1" {
			t.Errorf("hints %q", hints)
		}
		if resp.StatusCode != http.StatusOK || body != "ok" || resp.Header.Get("Link") != "" {
			t.Errorf("%d %q %q", resp.StatusCode, body, resp.Header)
		}
		await(t, p.ends)
		late(103, nil) // too late, and harmless
	})
}

func TestContinue(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	for _, tt := range []struct {
		name string
		says bool // whether the endpoint says 100 before the body is read
	}{{"first read", false}, {"endpoint", true}} {
		t.Run(tt.name, func(t *testing.T) {
			var got seen
			p := serve(t, "h1", func(req *http.Request) (*http.Response, error) {
				if req.Header.Get("Expect") == "" {
					t.Error("Expect is gone")
				}
				if tt.says {
					mesh.From(req).Interim(100, nil)
				}
				return record(&got)(req)
			})
			conn, r := p.dial(t)
			if resp := exchange(t, conn, r, head); resp.StatusCode != http.StatusContinue {
				t.Fatalf("status %d", resp.StatusCode)
			}
			if resp := exchange(t, conn, r, "hello"); resp.StatusCode != http.StatusOK || got.body != "hello" { // not a second 100
				t.Errorf("status %d, body %q", resp.StatusCode, got.body)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		p := serve(t, "h1", func(*http.Request) (*http.Response, error) { return nil, &mesh.Fault{Kind: mesh.Denied} })
		if resp := p.raw(t, head); resp.StatusCode != http.StatusForbidden || !resp.Close {
			t.Errorf("status %d, close %v", resp.StatusCode, resp.Close)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		var got seen
		p := serve(t, "h2c", func(req *http.Request) (*http.Response, error) {
			mesh.From(req).Interim(100, nil)
			return record(&got)(req)
		})
		continues := 0
		trace := &httptrace.ClientTrace{Got100Continue: func() { continues++ }}
		req := request(t, "POST", p.URL, strings.NewReader("hello"))
		req.Header.Set("Expect", "100-continue")
		client := p.client(t)
		client.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour
		resp, err := client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if continues != 1 || got.body != "hello" {
			t.Errorf("%d continues, body %q", continues, got.body)
		}
	})
}

// A client that accepts nothing is cut off, and the endpoint with it.
func TestStalledClient(t *testing.T) {
	eachProto(t, func(t *testing.T, proto string) {
		if proto == "h2" {
			return // as h2c
		}
		body := newPieces(readerFunc(func(p []byte) (int, error) { return len(p), nil })) // endless
		p := serve(t, proto, func(req *http.Request) (*http.Response, error) {
			resp := reply(req, http.StatusOK, "")
			resp.Body, resp.ContentLength = body, -1
			return resp, nil
		}, func(c *bridge.Config) { c.StallTimeout = 50 * time.Millisecond })
		resp, err := p.client(t).Do(request(t, "GET", p.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if r := await(t, p.ends); r.Status != 200 || kindOf(r.Err) != mesh.ClientGone || r.Sent == 0 {
			t.Errorf("result %+v", r)
		}
		await(t, body.closed)
	})
}

func TestKeepAlive(t *testing.T) {
	p := serve(t, "h1", func(req *http.Request) (*http.Response, error) {
		switch req.URL.Path {
		case "/read":
			_, _ = io.Copy(io.Discard, req.Body)
		case "/fault":
			return nil, &mesh.Fault{Kind: mesh.Denied}
		}
		return over(req)
	})
	const body = "Host: a\r\nContent-Length: 5\r\n\r\nhello"
	const chunks = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	for _, tt := range []struct {
		name, message string
		close         bool
	}{
		{"no body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"body read", "POST /read HTTP/1.1\r\n" + body, false},
		{"chunks read", "POST /read HTTP/1.1\r\nHost: a\r\n" + chunks, false},
		{"chunks read, of a length", "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" + chunks, true},
		{"fault, chunks unread", "POST /fault HTTP/1.1\r\nHost: a\r\n" + chunks, true},
		{"fault, short body unread", "POST /fault HTTP/1.1\r\n" + body, false},
		{"response beside a short upload", "POST / HTTP/1.1\r\n" + body, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, r := p.dial(t)
			resp := exchange(t, conn, r, tt.message)
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			if resp.Close != tt.close {
				t.Fatalf("close %v, want %v", resp.Close, tt.close)
			}
			if tt.close {
				if _, err := r.Peek(1); err != io.EOF {
					t.Errorf("after the response: %v", err)
				}
				return
			}
			again(t, conn, r)
		})
	}
}

// again sends one more request over a connection.
func again(t *testing.T, conn io.Writer, r *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "ok" || resp.StatusCode != http.StatusOK {
		t.Errorf("the next request got %d %q, %v", resp.StatusCode, got, err)
	}
}
