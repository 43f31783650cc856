package door

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/internal/mesh"
)

// plain are the settings of a room.
var plain = Settings{HeaderBytes: 64 << 10, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute}

// opened is a door that accepts until the test ends.
func opened(t *testing.T, handler handle) *Door {
	t.Helper()
	return openedWith(t, Config{}, handler)
}

func openedWith(t *testing.T, cfg Config, handler handle) *Door {
	t.Helper()
	life, end := context.WithCancel(context.Background())
	d := New(life, listen(t), cfg)
	d.Enter(plain, handler)
	var accepting sync.WaitGroup
	accepting.Go(func() { d.Accept(life) })
	t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = d.Close(now) // what is left in a failed test is cut
		end()
		accepting.Wait()
	})
	return d
}

// client is one connection to a door.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func newClient(t *testing.T, c net.Conn) *client { return &client{t, c, bufio.NewReader(c)} }

func (d *Door) visit(t *testing.T) *client {
	t.Helper()
	return newClient(t, dial(t, d.ln.Addr().String()))
}

func (c *client) send(head string) {
	c.t.Helper()
	if _, err := io.WriteString(c, head+"\r\nHost: shop.test\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// status reads a response and returns its status.
func (c *client) status() int {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode
}

// want sends a request and checks the answer.
func (c *client) want(text string) {
	c.t.Helper()
	c.send(get)
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != text {
		c.t.Errorf("got %q, %v, want %q", got, err, text)
	}
}

// gone waits until the connection has been closed.
func (c *client) gone() {
	c.t.Helper()
	if b, err := c.in.ReadByte(); err == nil {
		c.t.Errorf("got byte %q, want the end of the connection", b)
	}
}

const get = "GET / HTTP/1.1"

func ok(http.ResponseWriter, *http.Request) {}

// handle is a handler of both protocols.
type handle http.HandlerFunc

// ServeHTTP calls h.
func (h handle) ServeHTTP(w http.ResponseWriter, r *http.Request) { h(w, r) }

// Handle calls h, and returns what it wrote.
func (h handle) Handle(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h(w, r)
	resp := w.Result() //nolint:bodyclose // the server does
	resp.ContentLength = int64(w.Body.Len())
	return resp, nil
}

// Refuse answers 400.
func (h handle) Refuse(*http.Request, *mesh.Fault) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusBadRequest}, nil
}

// Fail is not expected.
func (h handle) Fail(_ *http.Request, err error) *mesh.Fault { return mesh.AsFault(err) }

// says answers with a word.
func says(word string) handle {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, word) }
}

// New settings are for new connections: those that are there keep theirs, and none is
// dropped.
func TestNewSettingsAreForNewConnections(t *testing.T) {
	d := opened(t, says("large"))
	before := d.visit(t)
	before.want("large")
	small := plain
	small.HeaderBytes = 1 << 10
	d.Enter(small, says("small"))
	d.visit(t).want("small")
	before.want("large")
}

func TestTheSameSettingsOpenNoRoom(t *testing.T) {
	d := opened(t, ok)
	room := d.newest()
	d.Enter(plain, handle(ok))
	if d.newest() != room || len(d.rooms) != 1 {
		t.Errorf("there are %d rooms, want the one", len(d.rooms))
	}
}

// Rooms that are empty are let go at the next change.
func TestEmptyRoomsAreLetGo(t *testing.T) {
	d := opened(t, ok)
	first := d.newest()
	c := d.visit(t)
	c.send(get)
	c.status()
	enter := func(bytes int) {
		s := plain
		s.HeaderBytes = bytes
		d.Enter(s, handle(ok))
	}
	for i := range 3 {
		enter(1<<10 + i)
	}
	if d.rooms[0] != first || len(d.rooms) != 2 {
		t.Errorf("there are %d rooms, want the first, which is in use, and the newest", len(d.rooms))
	}
	c.Close()
	eventually(t, "the first room is empty", first.empty)
	enter(2 << 10)
	if d.rooms[0] == first {
		t.Error("the first room is kept, and nobody is in it")
	}
}

// Whoever comes while rooms change finds one, and every connection is known when the
// door closes.
func TestComingWhileRoomsChange(t *testing.T) {
	d := opened(t, ok)
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := range 300 {
			s := plain
			s.HeaderBytes = 1<<10 + i
			d.Enter(s, handle(ok))
		}
	})
	var all []*client
	for range 100 {
		c := d.visit(t)
		c.send(get)
		if got := c.status(); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
		all = append(all, c)
	}
	changing.Wait()
	if got := d.Open(); got != len(all) {
		t.Errorf("%d connections are open, want %d", got, len(all))
	}
	if err := d.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	for _, c := range all {
		c.gone()
	}
	eventually(t, "no connection is open", func() bool { return d.Open() == 0 })
}

// A slow request in an old room takes nothing of the grace from those in the new one.
func TestAllRoomsCloseAtOnce(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	d := opened(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-answer })
	slow := d.visit(t)
	slow.send(get)
	<-arrived
	small := plain
	small.HeaderBytes = 1 << 10
	d.Enter(small, handle(ok))
	idle := d.visit(t)
	idle.send(get)
	idle.status()

	closed := make(chan error, 1)
	go func() { closed <- d.Close(t.Context()) }()
	idle.gone() // though the slow one is still there
	close(answer)
	if got := slow.status(); got != http.StatusOK {
		t.Errorf("the slow request: status %d, want 200", got)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestWhatOutlastsTheGraceIsCut(t *testing.T) {
	arrived, cause := make(chan struct{}), make(chan error, 1)
	d := opened(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		cause <- context.Cause(r.Context())
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c := d.visit(t)
	c.send(get)
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Close(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cut at the end of the grace") {
		t.Errorf("close returned %v", err)
	}
	var fault *mesh.Fault
	if err := <-cause; !errors.As(err, &fault) || fault.Kind != mesh.Draining {
		t.Errorf("the request ended by %v, want it to know of the drain", err)
	}
	if got := c.status(); got != http.StatusServiceUnavailable {
		t.Errorf("the client's last word is %d, want the handler's", got)
	}
	c.gone()
}

// Who does not even listen to that is cut off.
func TestWhatOutlastsTheLastWordIsCut(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	d := opened(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-finish })
	c := d.visit(t)
	c.send(get)
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close returned %v", err)
	}
	c.gone()
	close(finish)
}

// tunnels switches every connection to a protocol that nobody speaks.
type tunnels struct {
	handle
	far net.Conn
}

// Handle answers 101.
func (h tunnels) Handle(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusSwitchingProtocols,
		Header:     http.Header{"Upgrade": {"silence"}},
		Body:       h.far.(*net.TCPConn),
	}, nil
}

// A tunnel counts until it is closed, and ends with the door's life at the latest.
func TestTunnelsAreInside(t *testing.T) {
	ln := listen(t)
	life, end := context.WithCancel(t.Context())
	d := New(life, listen(t), Config{})
	d.Enter(plain, tunnels{far: dial(t, ln.Addr().String())})
	var accepting sync.WaitGroup
	accepting.Go(func() { d.Accept(life) })
	c := d.visit(t)
	c.send(get + "\r\nConnection: upgrade\r\nUpgrade: silence")
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", resp, err)
	}
	defer resp.Body.Close()
	if err := d.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	if got := d.Open(); got != 1 {
		t.Errorf("%d connections are open, want 1", got)
	}
	end()
	c.gone()
	accepting.Wait()
	if got := d.Open(); got != 0 {
		t.Errorf("%d connections are open, want none", got)
	}
}

func TestHTTP2ConnectionsAreCounted(t *testing.T) {
	d := opened(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.ln.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "HTTP/2.0" {
		t.Fatalf("got %q, %v", text, err)
	}
	room := d.newest()
	if room.open.Load() != 1 || d.Open() != 1 {
		t.Errorf("%d are in the room and %d in all, want 1", room.open.Load(), d.Open())
	}
	if err := d.Close(t.Context()); err != nil { // tells the client to go
		t.Errorf("close: %v", err)
	}
	eventually(t, "nobody is inside", func() bool { return room.empty() && d.Open() == 0 })
}

// Over the limit, a client waits in the kernel's queue; it is not turned away.
func TestConnectionsOverTheLimitWait(t *testing.T) {
	d := opened(t, ok)
	d.Limit(1)
	first := d.visit(t)
	first.send(get)
	first.status()
	second := d.visit(t)
	second.send(get)
	if got := d.Open(); got != 1 {
		t.Errorf("%d connections are open, want 1", got)
	}
	first.Close()
	if got := second.status(); got != http.StatusOK {
		t.Errorf("status %d, want 200", got)
	}
}
