package bridge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outrider/internal/bridge"
	"outrider/internal/mesh"
)

// plain is a client of a port that speaks mutual TLS.
func plain(c net.Conn) bridge.Plain { return bridge.Plain{Conn: c, Mutual: true, Pseudonym: pseudonym} }

// refusing listens, and refuses who comes; it returns the address.
func refusing(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if f := bridge.RefusePlain(context.Background(), plain(c)); f.Kind != mesh.Malformed {
				t.Errorf("fault %v", f)
			}
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestRefusePlainAnswersInTheClientsProtocol(t *testing.T) {
	address := refusing(t)
	t.Run("HTTP/1.1", func(t *testing.T) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		// A body that is not read must not cost the answer.
		resp, err := (&http.Client{Transport: transport}).Post("http://"+address+"/a", "text/plain", strings.NewReader(strings.Repeat("x", 20<<10)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var problem struct{ Error, Code string }
		if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusBadRequest || problem.Error != "This port speaks mutual TLS only." || problem.Code != "malformed" || !resp.Close {
			t.Errorf("%s, %+v, close %v", resp.Status, problem, resp.Close)
		}
		if h := resp.Header; h.Get("Content-Type") != "application/problem+json" || h.Get("Proxy-Status") != "edge-1; error=http_request_error" {
			t.Errorf("header %q", h)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("http://" + address)
		if err == nil {
			resp.Body.Close()
			t.Fatal("was served")
		}
		// What the client makes of the words below depends on which of them net/http has
		// read when it looks: its error does not always have the reason.
	})
	t.Run("HTTP/2's words", func(t *testing.T) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		_ = c.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c)
		const want = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + // SETTINGS
			"\x00\x00\x29\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x0c" + "This port speaks mutual TLS only."
		if string(got) != want || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("a word", func(t *testing.T) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "\x00")
		_ = c.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("status %s", resp.Status)
		}
	})
}

// What is still on its way when the answer has been written is read, so that no reset
// overtakes the answer.
func TestRefusePlainReadsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			bridge.RefusePlain(t.Context(), plain(server))
		}()
		if _, err := io.WriteString(client, "GET"); err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(client), nil); err != nil { //nolint:bodyclose // the pipe is closed
			t.Fatal(err)
		}
		if _, err := io.WriteString(client, strings.Repeat("x", 32<<10)); err != nil {
			t.Errorf("the rest was not read: %v", err)
		}
		client.Close()
		<-ended
	})
}

// A client that neither says more nor goes away is let go after a second, and at once
// when the proxy stops.
func TestRefusePlainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, stop := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			silent, server := net.Pipe()
			start, ended := time.Now(), make(chan time.Duration)
			go func() {
				bridge.RefusePlain(ctx, plain(server))
				ended <- time.Since(start)
			}()
			synctest.Wait()
			want := time.Second
			if stop {
				cancel()
				want = 0
			}
			if took := <-ended; took != want {
				t.Errorf("stopped %v: took %v, want %v", stop, took, want)
			}
			if _, err := silent.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is open still")
			}
			cancel()
		}
	})
}
