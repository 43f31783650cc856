package outbound

import (
	"net/http"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/mesh"
)

// bodyFunc is a body that is read by a function.
type bodyFunc func([]byte) (int, error)

func (f bodyFunc) Read(p []byte) (int, error) { return f(p) }
func (bodyFunc) Close() error                 { return nil }

// TestExpect: the client is asked for its body, which has it told to go on, when the
// endpoint asks, or says nothing for long; never after an answer.
func TestExpect(t *testing.T) {
	for _, c := range []struct {
		name   string
		expect string
		after  time.Duration // that the endpoint takes
		status int           // to say this
		want   time.Duration // until the body is read; negative is never
	}{
		{"not asked", "", time.Minute, 200, 0},
		{"continue", "100-continue", time.Second / 2, 100, time.Second / 2},
		{"refused", "100-Continue", time.Second / 2, 413, -1},
		{"refused at once", "100-continue", 0, 403, -1},
		{"silence", "100-continue", time.Minute, 200, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, read := time.Now(), time.Duration(-1)
				client := bodyFunc(func([]byte) (int, error) {
					read = time.Since(start)
					return 0, errGivenUp
				})
				u := uploadOf(client, -1)
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a/", open(t, u))
				req.Header.Set("Expect", c.expect)
				sent := make(chan struct{})
				// Like net/http it sends the body as soon as there is any answer.
				via := mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
					trace := httptrace.ContextClientTrace(req.Context())
					trace.GotConn(httptrace.GotConnInfo{Conn: &conn{}})
					go func() {
						defer close(sent)
						_, _ = req.Body.Read(make([]byte, 1))
					}()
					pass(c.after)
					if c.status == http.StatusContinue {
						_ = trace.Got1xxResponse(c.status, nil)
						pass(time.Minute)
						c.status = http.StatusOK
					}
					return &http.Response{StatusCode: c.status, Body: http.NoBody}, nil
				})
				resp, err := newExchange("a", req).run(via)
				if err != nil {
					t.Fatal(err)
				}
				pass(time.Hour)
				_ = resp.Body.Close()
				<-sent
				synctest.Wait()
				if read != c.want && (c.want >= 0 || read >= 0) {
					t.Errorf("read after %s, want %s", read, c.want)
				}
			})
		})
	}
}

// pass lets d pass in a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }
