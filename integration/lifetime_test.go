package integration_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound"
)

// Clause 1: request, header, URL and call are lent until RoundTrip returns an error
// or the response's body is closed. What is written to them afterwards must reach
// nobody, and the race detector sees who still reads.
func TestLifetime1RequestIsLent(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		var caught atomic.Int64
		var arrived arrivals
		origin := p.endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			if poisoned(r) || r.Header.Get("X-Tea") != "green" {
				caught.Add(1)
			}
			if r.URL.Path == "/waits" {
				arrived.tell(r)
				<-r.Context().Done()
				return
			}
			body, _ := io.ReadAll(r.Body)
			_, _ = w.Write(body)
		})
		var spoiled atomic.Int64
		e := p.serve(t, patiently(), []string{origin}, spoil(&spoiled))
		const rounds, each = 20, 3
		var clients sync.WaitGroup
		for range rounds {
			clients.Go(func() { leave(t, e, &arrived) })
			clients.Go(func() { exchangeBody(t, e, http.MethodPost, strings.Repeat("x", 100<<10)) })
			clients.Go(func() { exchangeBody(t, e, http.MethodGet, "") })
		}
		clients.Wait()
		for range rounds * each {
			await(t, "the end of a handler", e.Ended)
		}
		if got := spoiled.Load(); got != rounds*each {
			t.Errorf("%d requests were spoiled after their end, want %d", got, rounds*each)
		}
		if got := caught.Load(); got != 0 {
			t.Errorf("an endpoint saw %d requests that had been written to after their end", got)
		}
	})
}

// spoil writes over a request as soon as it is nobody's any more.
func spoil(n *atomic.Int64) mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			ruin := sync.OnceFunc(func() {
				for name := range req.Header {
					req.Header[name][0] = "poison"
				}
				req.Header["X-Poison"] = []string{"poison"}
				*req.URL = url.URL{Scheme: "poison", Host: "poison", Path: "/poison"}
				req.Method, req.Host = "POISON", "poison"
				n.Add(1)
			})
			resp, err := next.RoundTrip(req)
			if err != nil {
				ruin()
				return nil, err
			}
			resp.Body = &closing{resp.Body, ruin}
			return resp, nil
		})
	}
}

// closing is a body that calls closed after its Close.
type closing struct {
	io.ReadCloser
	closed func()
}

func (c *closing) Close() error {
	defer c.closed()
	return c.ReadCloser.Close()
}

// arrivals tells clients that their requests have arrived at an endpoint.
type arrivals struct {
	count   atomic.Int64
	waiting sync.Map // context.CancelFunc by id
}

// expect returns the id of a request, whose arrival calls then.
func (a *arrivals) expect(then context.CancelFunc) string {
	id := strconv.FormatInt(a.count.Add(1), 10)
	a.waiting.Store(id, then)
	return id
}

// tell says that r has arrived.
func (a *arrivals) tell(r *http.Request) {
	if then, ok := a.waiting.Load(r.Header.Get("X-Arrival")); ok {
		then.(context.CancelFunc)()
	}
}

// leave sends a request and goes away once it has arrived.
func leave(t *testing.T, e *edge, arrived *arrivals) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := request(t, http.MethodGet, e.URL+"/waits", "X-Tea", "green", "X-Arrival", arrived.expect(cancel))
	resp, err := e.Client.Do(req.WithContext(ctx))
	if err == nil {
		resp.Body.Close()
		t.Errorf("GET /waits: %s, want none", resp.Status)
	}
}

// exchangeBody sends body and expects it back.
func exchangeBody(t *testing.T, e *edge, method, body string) {
	req := request(t, method, e.URL+"/echo", "X-Tea", "green")
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	resp, err := e.Client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); string(got) != body || err != nil {
		t.Errorf("%s: %d bytes came back of %d: %v", method, len(got), len(body), err)
	}
}

// Clause 2: what crosses to another goroutine is a copy, which the end of the
// original neither changes nor cancels.
func TestLifetime2Detach(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		var arrived arrivals
		origin := p.endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
			arrived.tell(r)
			<-r.Context().Done()
		})
		mirrored := make(chan http.Header, 100)
		shadow := p.endpoint(t, func(w http.ResponseWriter, r *http.Request) { mirrored <- r.Header.Clone() })
		var mirrors sync.WaitGroup
		defer mirrors.Wait()
		client := p.client(t)
		mirror := func(next http.RoundTripper) http.RoundTripper {
			return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				twin := mesh.Detach(t.Context(), req)
				if mesh.From(twin) == mesh.From(req) || mesh.From(twin) == nil {
					t.Error("the copy has no call of its own")
				}
				over := make(chan struct{})
				mirrors.Go(func() {
					<-over // the original is gone, and has been written over
					if err := mesh.From(twin).Context().Err(); err != nil {
						t.Errorf("the copy ended with the original: %v", err)
					}
					twin.URL.Scheme, twin.URL.Host, twin.RequestURI = "http", strings.SplitN(shadow, "://", 2)[1], ""
					resp, err := client.Transport.RoundTrip(twin)
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				})
				defer close(over)
				return next.RoundTrip(req)
			})
		}
		var spoiled atomic.Int64
		edit := func(next http.RoundTripper) http.RoundTripper {
			return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				req.Header.Set("X-Tea", "black")
				return next.RoundTrip(req)
			})
		}
		e := p.serve(t, patiently(), []string{origin}, mirror, spoil(&spoiled), edit)
		const clients = 20
		var all sync.WaitGroup
		for range clients {
			all.Go(func() { leave(t, e, &arrived) })
		}
		all.Wait()
		for range clients {
			if h := await(t, "a mirrored request", mirrored); h.Get("X-Tea") != "green" || h.Get("X-Poison") != "" {
				t.Errorf("the copy changed with the original: %v", h)
			}
			await(t, "the end of a handler", e.Ended)
		}
	})
}

// Clause 3: above retry, layers edit in place; each attempt below works on a copy of
// its own, so that all look alike and nothing of them stays.
func TestLifetime3AttemptsWorkOnCopies(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		type seen struct {
			header http.Header
			target string
			body   string
		}
		attempts := make(chan seen, 10)
		var count atomic.Int64
		handler := func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			attempts <- seen{r.Header.Clone(), r.RequestURI, string(body)}
			if count.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}
		above := make(chan error, 1)
		editor := func(next http.RoundTripper) http.RoundTripper {
			return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				req.Header.Set("X-Above", "edited")
				header, target, host := req.Header.Clone(), *req.URL, req.Host
				resp, err := next.RoundTrip(req)
				switch {
				case !reflect.DeepEqual(header, req.Header):
					above <- errors.New("an attempt's edit leaked into the header")
				case target != *req.URL, host != req.Host:
					above <- errors.New("an attempt's edit leaked into the target")
				case len(mesh.From(req).Attempts) != 3:
					above <- errors.New("there were not three attempts")
				default:
					above <- err
				}
				return resp, err
			})
		}
		service := patiently()
		service.Host = outbound.HostService // each attempt has another Host
		e := p.serve(t, service, []string{p.endpoint(t, handler), p.endpoint(t, handler), p.endpoint(t, handler)}, editor)
		req := request(t, http.MethodPut, e.URL+"/cups?size=1", "X-Tea", "green", "User-Agent", "")
		req.Body = io.NopCloser(strings.NewReader("hot water"))
		resp, err := e.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d, want the third attempt's 200", resp.StatusCode)
		}
		if err := await(t, "the layer above", above); err != nil {
			t.Error(err)
		}
		first := await(t, "the first attempt", attempts)
		if first.header.Get("X-Above") != "edited" || first.body != "hot water" || first.target != "/cups?size=1" {
			t.Errorf("the first attempt was %+v", first)
		}
		for range 2 {
			if next := await(t, "an attempt", attempts); !reflect.DeepEqual(first, next) {
				t.Errorf("attempts differ:\n%+v\n%+v", first, next)
			}
		}
	})
}

// Clause 8: one request ends by its client's leaving, by the deadline or by Cancel;
// each ends the attempt, and the answer says which it was.
func TestLifetime8End(t *testing.T) {
	onBoth(t, func(t *testing.T, p protocol) {
		var arrived arrivals
		began, left := make(chan struct{}, 1), make(chan struct{}, 1)
		origin := p.endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
			arrived.tell(r)
			began <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
		})
		ended := make(chan error, 1)
		report := func(next http.RoundTripper) http.RoundTripper {
			return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
				mesh.From(req).OnEnd(func(r mesh.Result) { ended <- r.Err })
				return next.RoundTrip(req)
			})
		}
		t.Run("the client leaves", func(t *testing.T) {
			e := p.serve(t, patiently(), []string{origin}, report)
			leave(t, e, &arrived)
			await(t, "the beginning at the endpoint", began)
			await(t, "the end at the endpoint", left)
			if f := mesh.AsFault(await(t, "the call's end", ended)); f.Kind != mesh.ClientGone {
				t.Errorf("the call ended by %v, want %v", f.Kind, mesh.ClientGone)
			}
		})
		t.Run("the deadline", func(t *testing.T) {
			service := patiently()
			service.Timeout = 100 * time.Millisecond
			e := p.serve(t, service, []string{origin}, report)
			answeredBy(t, e, mesh.ResponseTimeout)
			await(t, "the beginning at the endpoint", began)
			await(t, "the end at the endpoint", left)
			if f := mesh.AsFault(await(t, "the call's end", ended)); f.Kind != mesh.ResponseTimeout {
				t.Errorf("the call ended by %v, want %v", f.Kind, mesh.ResponseTimeout)
			}
		})
		t.Run("Cancel", func(t *testing.T) {
			stop := func(next http.RoundTripper) http.RoundTripper {
				return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
					call := mesh.From(req)
					cancelled := make(chan struct{})
					go func() {
						defer close(cancelled)
						<-began
						call.Cancel(&mesh.Fault{Kind: mesh.Shed})
						call.Cancel(&mesh.Fault{Kind: mesh.Internal}) // only the first cause counts
					}()
					defer func() { <-cancelled }()
					return next.RoundTrip(req)
				})
			}
			e := p.serve(t, patiently(), []string{origin}, report, stop)
			answeredBy(t, e, mesh.Shed)
			await(t, "the end at the endpoint", left)
			if f := mesh.AsFault(await(t, "the call's end", ended)); f.Kind != mesh.Shed {
				t.Errorf("the call ended by %v, want %v", f.Kind, mesh.Shed)
			}
		})
	})
}

// answeredBy sends a request that ends in a Fault of this kind.
func answeredBy(t *testing.T, e *edge, kind mesh.Kind) {
	t.Helper()
	resp, err := e.Client.Do(request(t, http.MethodGet, e.URL+"/waits"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != kind.Status() || !strings.Contains(string(body), `"`+kind.Code()+`"`) || err != nil {
		t.Errorf("status %d, %v:\n%s\nwant %d with the code %s", resp.StatusCode, err, body, kind.Status(), kind.Code())
	}
}
