package app

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"outrider/internal/config"
)

// What Linux prints, with a listener on port 3003 (0BBB) at different addresses.
const (
	socketsHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n"
	onLoopback  = "   0: 0100007F:0BBB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24690 1 0000000000000000 100 0 0 10 0                     \n"
	onAll       = "   1: 00000000:0BBB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24691 1 0000000000000000 100 0 0 10 0                     \n"
	onOther     = "   2: 00000000:0BBC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24692 1 0000000000000000 100 0 0 10 0                     \n"
	onOne       = "   3: 0B03000A:0BBB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24693 1 0000000000000000 100 0 0 10 0                     \n"
	connected   = "   4: 0B03000A:0BBB 0C03000A:D431 01 00000000:00000000 00:00000000 00000000  1000        0 24694 1 0000000000000000 20 4 30 10 -1                    \n"

	sockets6Head = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	on6Loopback  = "   0: 00000000000000000000000001000000:0BBB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24695 1 0000000000000000 100 0 0 10 0\n"
	on6All       = "   1: 00000000000000000000000000000000:0BBB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24696 1 0000000000000000 100 0 0 10 0\n"
	on6Mapped    = "   2: 0000000000000000FFFF00000100007F:0BBB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24697 1 0000000000000000 100 0 0 10 0\n"
	on6One       = "   3: B80D01200000000000000000070000FE:0BBB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24698 1 0000000000000000 100 0 0 10 0\n"
)

func TestExposed(t *testing.T) {
	for _, tt := range []struct {
		name, app string
		four, six string // the tables; empty: there is none
		want      string // a part; empty: it is not exposed
	}{
		{"on loopback", "127.0.0.1:3003", socketsHead + onLoopback + onOther, sockets6Head + on6Loopback, ""},
		{"on every address", "127.0.0.1:3003", socketsHead + onOther + onAll, sockets6Head, "it listens on 0.0.0.0:3003: have it listen on 127.0.0.1"},
		{"on one of them", "127.0.0.1:3003", socketsHead + onLoopback + onOne, "", "it listens on 10.0.3.11:3003"},
		{"on every address of both sorts", "localhost:3003", socketsHead, sockets6Head + on6All, "it listens on [::]:3003"},
		{"on one of IPv6", "[::1]:3003", socketsHead, sockets6Head + on6One, "it listens on [2001:db8::fe00:7]:3003"},
		{"on loopback as IPv6 says it", "127.0.0.1:3003", "", sockets6Head + on6Mapped, ""},
		{"a connection is no listener", "127.0.0.1:3003", socketsHead + connected, "", ""},
		{"another's port", "127.0.0.1:3004", socketsHead + onLoopback, "", ""},
		{"no tables", "127.0.0.1:3003", "", "", ""},
		{"no table", "127.0.0.1:3003", "nonsense\n\n0 1 2 0A\n0 1:2 3 0A\n0 00000000:XY 3 0A\n0 0000:0BBB 3 0A\n0 0000000G:0BBB 3 0A\n", "", ""},
		{"not on this machine's loopback", "10.0.3.11:3003", "", "", "it is not on this machine's loopback"},
		{"no port", "localhost", socketsHead + onAll, "", ""},
		{"no number as a port", "localhost:http", socketsHead + onAll, "", ""},
	} {
		open := func(name string) (io.ReadCloser, error) {
			text := map[string]string{"/proc/net/tcp": tt.four, "/proc/net/tcp6": tt.six}[name]
			if text == "" {
				return nil, fs.ErrNotExist
			}
			return io.NopCloser(strings.NewReader(text)), nil
		}
		got := exposed(tt.app, open)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A table that breaks off says nothing, and hides nothing that another says.
func TestExposedByABrokenTable(t *testing.T) {
	broken := true
	got := exposed("127.0.0.1:3003", func(string) (io.ReadCloser, error) {
		if broken {
			broken = false
			return io.NopCloser(io.MultiReader(strings.NewReader(socketsHead), failingReader{})), nil
		}
		return io.NopCloser(strings.NewReader(sockets6Head + on6All)), nil
	})
	if !strings.Contains(got, "[::]:3003") {
		t.Errorf("got %q", got)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// The warning comes when the app has first answered, and once: before, it may have yet
// to listen.
func TestAnExposedAppIsWarnedOf(t *testing.T) {
	var log output
	p := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	life, end := context.WithCancel(t.Context())
	p.life = life
	asked := make(chan struct{}, 1)
	p.table = func(string) (io.ReadCloser, error) {
		asked <- struct{}{} // once: there is nobody to take it
		return io.NopCloser(strings.NewReader(socketsHead + onAll)), nil
	}
	ill := make(chan struct{}, 1)
	ill <- struct{}{}
	app := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-ill:
			w.WriteHeader(http.StatusInternalServerError)
		default:
		}
	})
	c := config.DefaultService()
	c.Name, c.URL = appName, app.URL
	c.HealthCheck = &config.HealthCheck{Path: "/", Interval: time.Millisecond, Timeout: time.Second, Healthy: 1, Unhealthy: 1}
	s, err := p.newApp(c, "127.0.0.1:3003")
	if err != nil {
		t.Fatal(err)
	}
	p.start(s)
	<-s.state.answered
	if log.count("exposed") != 0 && !s.state.passed.Load() {
		t.Errorf("it was warned of before it has answered well:\n%s", log.String())
	}
	eventually(t, "it is warned of", func() bool { return log.count("the app is exposed") == 1 })
	eventually(t, "it is well", func() bool { well, _ := s.state.wellness(); return well })
	end()
	p.running.Wait()
	if got := log.count("0.0.0.0:3003"); got != 1 {
		t.Errorf("%d warnings:\n%s", got, log.String())
	}
}

func TestKernelAddr(t *testing.T) {
	for hex, want := range map[string]string{
		"0100007F":                         "127.0.0.1",
		"00000000":                         "0.0.0.0",
		"00000000000000000000000001000000": "::1",
		"B80D01200000000000000000070000FE": "2001:db8::fe00:7",
		"0000000000000000FFFF00000100007F": "127.0.0.1",
	} {
		if got, err := kernelAddr(hex); err != nil || got != netip.MustParseAddr(want) {
			t.Errorf("%s: got %v, %v, want %s", hex, got, err, want)
		}
	}
	for _, hex := range []string{"", "7F", "0100007", "0100007FF", "0100007G"} {
		if got, err := kernelAddr(hex); err == nil {
			t.Errorf("%q: got %v", hex, got)
		}
	}
}
