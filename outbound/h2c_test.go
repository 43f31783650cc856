package outbound_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/outbound"
	"outrider/outbound/balance"
)

// grpc makes a request one that goes by h2c to a plain http endpoint.
func grpc(r *http.Request) {
	r.ProtoMajor = 2
	r.Header.Set("Content-Type", "application/grpc")
}

// preface reads what an HTTP/2 client begins with.
func preface(c net.Conn) {
	_, _ = io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
}

// oldAnswer answers it by HTTP/1.1.
func oldAnswer(c net.Conn) {
	preface(c)
	_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
}

// TestGRPCToWhatSpeaksNoHTTP2: a content type that a client chose opens no breaker,
// and is not tried again.
func TestGRPCToWhatSpeaksNoHTTP2(t *testing.T) {
	_, server := serve(t, "http", func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		name     string
		endpoint mesh.Endpoint
	}{
		{"a server of HTTP/1.1", server},
		{"answered by HTTP/1.1", listen(t, false, oldAnswer)},
		{"answered by less than a frame", listen(t, false, func(c net.Conn) {
			preface(c)
			_, _ = io.WriteString(c, "no")
			_ = c.Close()
		})},
		{"closed", listen(t, false, func(c net.Conn) {
			preface(c)
			_ = c.Close()
		})},
		{"reset", listen(t, false, func(c net.Conn) {
			preface(c)
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, outbound.Config{
				Breaker: &balance.Breaker{FailureThreshold: 1},
				Retry:   outbound.Retry{Attempts: 1, On: []string{"connect", "reset", "502"}, Budget: always},
			}, c.endpoint)
			for range 3 {
				x := send(t, s.RoundTripper(outbound.Override{}), "PUT", "/", body("x"), grpc)
				f := x.want(mesh.BadResponse)
				if !f.ByClient || f.Retryable || len(x.call.Attempts) != 1 || f.Endpoint != c.endpoint.Address {
					t.Errorf("fault %+v after %d attempts", f, len(x.call.Attempts))
				}
				if !strings.Contains(f.Text(), "h2c") {
					t.Errorf("the client reads %q", f.Text())
				}
				x.end()
			}
			if st := s.Status().Endpoints[0]; st.Failures != 0 || st.Breakers[0].State != balance.Closed {
				t.Errorf("status %+v", st)
			}
		})
	}
}

// TestGRPCToWhatSpeaksHTTP2: what goes wrong there is the endpoint's, and so is not
// to speak HTTP/2 where the configuration says that it does.
func TestGRPCToWhatSpeaksHTTP2(t *testing.T) {
	_, breaks := serve(t, "h2c", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	breaks.Scheme = "http"
	old := listen(t, false, oldAnswer)
	old.Scheme = "h2c"
	refused := endpoint("http", closedPort(t))
	for _, c := range []struct {
		name     string
		endpoint mesh.Endpoint
		want     mesh.Kind
	}{
		{"stream reset", breaks, mesh.Reset},
		{"said to speak HTTP/2", old, mesh.BadResponse},
		{"refused", refused, mesh.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, outbound.Config{}, c.endpoint)
			f := send(t, s.RoundTripper(outbound.Override{}), "POST", "/", body("x"), grpc).want(c.want)
			if st := s.Status().Endpoints[0]; f.ByClient || st.Failures != 1 {
				t.Errorf("ByClient %v, %d failures; want false, 1", f.ByClient, st.Failures)
			}
		})
	}
}

// TestClientsOwnTimeoutIsNotTheEndpoints: before the head and after it.
func TestClientsOwnTimeoutIsNotTheEndpoints(t *testing.T) {
	for _, c := range []struct {
		name   string
		headed bool
	}{{"before the head", false}, {"after the head", true}} {
		t.Run(c.name, func(t *testing.T) {
			arrived := make(chan struct{})
			_, e := serve(t, "h2c", func(w http.ResponseWriter, r *http.Request) {
				if c.headed {
					w.Header().Set("Content-Type", "application/grpc")
					_ = http.NewResponseController(w).Flush()
				}
				close(arrived)
				<-r.Context().Done()
			})
			s := start(t, outbound.Config{Breaker: &balance.Breaker{FailureThreshold: 1}}, e)
			x := prepare(context.Background(), t, "POST", "/", nil)
			grpc(x.req)
			x.req.Header.Set("Grpc-Timeout", "1H")
			late := &mesh.Fault{Kind: mesh.ResponseTimeout, ByClient: true}
			go func() {
				<-arrived
				if !c.headed {
					x.call.SetDeadline(time.Now(), late) // the hour is over
				}
			}()
			x.resp, x.err = s.RoundTripper(outbound.Override{}).RoundTrip(x.req)
			if c.headed {
				if x.err != nil {
					t.Fatal(x.err)
				}
				x.call.SetDeadline(time.Now(), late)
				_, x.err = io.ReadAll(x.resp.Body)
			}
			if f := x.want(mesh.ResponseTimeout); !f.ByClient {
				t.Error("the Fault does not say whose doing it was")
			}
			st := s.Status().Endpoints[0]
			if st.Failures != 0 || st.Breakers[0].State != balance.Closed {
				t.Errorf("status %+v", st)
			}
		})
	}
}
