package integration_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outrider/integration/meshtest"
	"outrider/internal/identity/identitytest"
)

// entrance is a gateway's, by plain HTTP or by TLS, for clients that speak bytes.
type entrance struct {
	*meshtest.Running
	secure *tls.Config // nil: plain
}

// atBoth runs a test at a gateway of either sort. It leaves nothing behind when it stops,
// neither a goroutine nor a descriptor.
func atBoth(t *testing.T, config func(t *testing.T) string, test func(t *testing.T, g *entrance)) {
	for _, name := range []string{"plain", "TLS"} {
		t.Run(name, func(t *testing.T) {
			yaml := config(t)
			var secure *tls.Config
			if name == "TLS" {
				ca := identitytest.NewCA(t)
				cert, key := ca.Issue(t, identitytest.Leaf{DNS: []string{"shop.test"}}).Write(t, t.TempDir(), "shop")
				yaml = fmt.Sprintf("server: {tls: {certs: [{cert_file: %s, key_file: %s}]}}\n", cert, key) + yaml
				secure = &tls.Config{RootCAs: ca.Pool(), ServerName: "shop.test"}
			}
			leavesNothing(t, func() func() {
				g := &entrance{meshtest.Gateway(t, yaml), secure}
				test(t, g)
				return func() {
					if err := g.Stop(); err != nil {
						t.Errorf("it does not stop: %v", err)
					}
				}
			})
		})
	}
}

// leavesNothing runs test, which starts a gateway, and then what it returns, which stops
// it: after that there are no more goroutines and descriptors than before.
func leavesNothing(t *testing.T, test func() (stop func())) {
	t.Helper()
	before, there := descriptors(t), goleak.IgnoreCurrent()
	test()()
	if t.Failed() {
		return
	}
	goleak.VerifyNone(t, there)
	eventually(t, "as many descriptors as before", func() bool { return descriptors(t) <= before })
}

// descriptors returns how many files and sockets this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// speaker is a client's connection, for bytes that no HTTP client would send. Its errors
// are returned: it may be used by any goroutine.
type speaker struct {
	net.Conn
	tcp *net.TCPConn
	r   *bufio.Reader
}

// speak opens a connection, which whoever asked for it closes.
func (g *entrance) speak(t *testing.T) (*speaker, error) {
	_, addr, _ := strings.Cut(g.URL, "://")
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	s := &speaker{Conn: c, tcp: c.(*net.TCPConn)}
	if g.secure != nil {
		s.Conn = tls.Client(c, g.secure)
	}
	s.r = bufio.NewReader(s.Conn)
	return s, nil
}

// reset closes the connection without a word.
func (s *speaker) reset() {
	_ = s.tcp.SetLinger(0)
	_ = s.tcp.Close()
}

// reply reads one whole response.
func (s *speaker) reply(method string) (*http.Response, string, error) {
	resp, err := http.ReadResponse(s.r, &http.Request{Method: method})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// ask sends message over a connection of its own and reads one whole response.
func (g *entrance) ask(t *testing.T, message string) (*http.Response, string, error) {
	s, err := g.speak(t)
	if err != nil {
		return nil, "", err
	}
	defer s.Close()
	if _, err := io.WriteString(s, message); err != nil {
		return nil, "", err
	}
	method, _, _ := strings.Cut(message, " ")
	return s.reply(method)
}

// want asks, and checks status and a part of the answer.
func (g *entrance) want(t *testing.T, message string, status int, part string) *http.Response {
	t.Helper()
	resp, text, err := g.ask(t, message)
	if err != nil {
		t.Fatalf("%.60q: %v", message, err)
	}
	if resp.StatusCode != status || !strings.Contains(text, part) {
		t.Fatalf("%.60q: %d %s, want %d %s", message, resp.StatusCode, text, status, part)
	}
	return resp
}

// crowd calls each with every number below n, some at a time, and waits.
func crowd(n int, each func(i int)) {
	const together = 16
	var all sync.WaitGroup
	for first := range together {
		all.Go(func() {
			for i := first; i < n; i += together {
				each(i)
			}
		})
	}
	all.Wait()
}

// sever ends a connection by a reset.
func sever(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// converse serves requests, whose bodies have been read, until answer returns false.
func converse(answer func(c net.Conn, req *http.Request, body string) bool) func(net.Conn) {
	return func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil || !answer(c, req, string(body)) {
				return
			}
		}
	}
}

// echoes answers with the body of the request.
func echoes(c net.Conn, _ *http.Request, body string) bool {
	_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return err == nil
}

// drips writes text a byte at a time, one every few milliseconds, until it fails.
func drips(w io.Writer, text string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range len(text) {
		if _, err := io.WriteString(w, text[i:i+1]); err != nil {
			return
		}
		<-tick.C
	}
}

// broken reports whether a message that was being read has broken off.
func broken(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.As(err, &op) && !op.Timeout()
}
