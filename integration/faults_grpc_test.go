package integration_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"outrider/integration/meshtest"
	"outrider/internal/mesh"
)

// TestFaultsOfGRPC holds that a gRPC client, over HTTP/2 without TLS, gets trailers
// only: one HEADERS frame that ends the stream, whatever went wrong.
func TestFaultsOfGRPC(t *testing.T) {
	table := provocations()
	for _, kind := range []mesh.Kind{
		mesh.Malformed, mesh.NoRoute, mesh.URITooLong, mesh.Unauthenticated, mesh.Limited, mesh.BreakerOpen,
		mesh.NoEndpoints, mesh.Refused, mesh.TLSCertificate, mesh.ResponseTimeout, mesh.PerTryTimeout,
	} {
		t.Run(kind.Code(), func(t *testing.T) {
			p := table[kind]
			if p.ask != nil {
				t.Fatal("this kind needs more than its path")
			}
			g := p.start(t)
			trailersOnly(t, call(t, g, p.target()), kind, p)
			recorded(t, g, kind, http.StatusOK)
		})
	}
	t.Run("body_too_large", func(t *testing.T) { // which shows while the message is on its way
		e := meshtest.Origin(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		g := meshtest.Gateway(t, to(e.URL, "", "limits: {body_bytes: 4}"))
		trailersOnly(t, call(t, g, "/x"), mesh.BodyTooLarge, provocation{})
		recorded(t, g, mesh.BodyTooLarge, http.StatusOK)
	})
}

// call sends a gRPC request with one message, and returns the head of the answer.
func call(t *testing.T, g *meshtest.Running, path string) frame {
	t.Helper()
	got := stream(t, g, "\x00\x00\x00\x00\x05hello", // not compressed, five bytes
		":method", http.MethodPost, ":path", path, "content-type", "application/grpc+proto", "te", "trailers")
	if got.reset {
		t.Fatal("the stream was reset")
	}
	return got
}

func trailersOnly(t *testing.T, got frame, kind mesh.Kind, p provocation) {
	t.Helper()
	sentence := kind.Text()
	if p.message != "" {
		sentence = p.message
	}
	for name, want := range map[string]string{
		":status": "200", "content-type": "application/grpc",
		"grpc-status": strconv.Itoa(kind.GRPC()), "grpc-message": sentence,
	} {
		if got.fields[name] != want {
			t.Errorf("%s is %q, want %q", name, got.fields[name], want)
		}
	}
	if !got.ends {
		t.Error("the stream goes on after the trailers")
	}
	if status := proxyStatus.FindStringSubmatch(got.fields["proxy-status"]); status == nil || status[1] != kind.Token() {
		t.Errorf("proxy-status %q, want the error %s", got.fields["proxy-status"], kind.Token())
	}
	if wait := got.fields["retry-after"]; p.retryAfter != (wait != "") {
		t.Errorf("retry-after %q, want one: %v", wait, p.retryAfter)
	}
	if length, has := got.fields["content-length"]; has && strings.TrimSpace(length) != "0" {
		t.Errorf("content-length %q", length)
	}
}

// TestGRPCPasses holds that what is no fault passes as it is.
func TestGRPCPasses(t *testing.T) {
	e := meshtest.Origin(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "no such order "+r.Proto)
	})
	got := call(t, meshtest.Gateway(t, to(e.URL, "")), "/shop.Orders/Get")
	if got.fields["grpc-status"] != "5" || got.fields["grpc-message"] != "no such order HTTP/2.0" || !got.ends {
		t.Errorf("got %+v", got)
	}
}
