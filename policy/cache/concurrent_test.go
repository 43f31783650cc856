package cache_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"outrider/internal/mesh"
	"outrider/policy/cache"
)

// ledger is an origin of numbered resources that a PUT gives a new version, and
// knows which versions clients have been told of.
type ledger struct {
	mu      sync.Mutex // protects all below
	version [8]int
	told    [8]int
}

// RoundTrip answers with number, version and a filling that is the number's own.
func (l *ledger) RoundTrip(req *http.Request) (*http.Response, error) {
	i, err := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/"))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	if req.Method == http.MethodPut {
		l.version[i]++
	}
	text := fmt.Sprintf("%d:%d:%s", i, l.version[i], filling(i))
	l.mu.Unlock()
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}},
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}, nil
}

func filling(i int) string { return strings.Repeat("x", 2000*i) }

func (l *ledger) toldOf(i int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told[i]
}

func (l *ledger) tell(i, version int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[i] = max(l.told[i], version)
}

// ask sends a request for resource i through stack. It returns the version that
// came, and fails where that is another resource's, is cut, or is older than a
// change that was finished before. A client that leaves early learns nothing.
func (l *ledger) ask(t *testing.T, stack http.RoundTripper, method string, i int, leaves bool) error {
	least := l.toldOf(i)
	plain, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://orders/%d", i), nil)
	if err != nil {
		return err
	}
	resp, err := stack.RoundTrip(mesh.NewCall(t.Context()).Bind(plain))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	resp.Header.Set("X-Edited", "here")
	if leaves {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	parts := strings.SplitN(string(body), ":", 3)
	if len(parts) != 3 || parts[0] != strconv.Itoa(i) || parts[2] != filling(i) {
		return fmt.Errorf("resource %d: got another, or a part, of %d bytes", i, len(body))
	}
	version, err := strconv.Atoi(parts[1])
	if err != nil {
		return err
	}
	if version < least {
		return fmt.Errorf("resource %d: version %d after a change to %d was finished", i, version, least)
	}
	if method == http.MethodPut {
		l.tell(i, version)
	}
	return nil
}

func TestManyClients(t *testing.T) {
	const clients, rounds, maxBytes = 16, 200, 64 << 10
	origin := &ledger{}
	shared := cache.New(cache.Config{TTL: time.Hour, MaxBytes: maxBytes, MaxBody: 16 << 10})
	stack := mesh.Stack(origin, shared.Layer())
	failures := make(chan error, clients)
	for seed := range uint64(clients) {
		go func() {
			random := rand.New(rand.NewPCG(seed, 1))
			var failure error
			for n := 0; n < rounds && failure == nil; n++ {
				method := http.MethodGet
				if random.IntN(20) == 0 {
					method = http.MethodPut
				}
				failure = origin.ask(t, stack, method, random.IntN(len(origin.version)), random.IntN(5) == 0)
			}
			failures <- failure
		}()
	}
	for range clients {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if _, bytes := shared.Stats(); bytes > maxBytes {
		t.Errorf("holds %d bytes", bytes)
	}
}

// The budget of a hit: the key, the header map with its values, Age, Cache-Status,
// the response and its body.
func TestAllocationsOfAHit(t *testing.T) {
	r := newRig(t, cache.Config{TTL: time.Hour})
	r.answers(200, "body", "Content-Type: text/plain", `Etag: "1"`, "Vary: Accept", "Cache-Control: public")
	r.get()
	req := r.request(http.MethodGet, "http://orders/1", "Accept: */*", "User-Agent: test")
	r.do(req)
	r.clock.advance(time.Minute)
	r.results = make([]string, 0, 2_000)
	got := testing.AllocsPerRun(1_000, func() {
		resp, err := r.stack.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
	})
	const budget = 11
	if got > budget {
		t.Errorf("a hit allocates %v times, budget %d", got, budget)
	}
	if len(r.results) == 0 || r.results[0] != cache.Hit {
		t.Errorf("results %v: that was no hit", r.results[:1])
	}
}

func BenchmarkHit(b *testing.B) {
	shared := cache.New(cache.Config{TTL: time.Hour})
	stack := mesh.Stack(mesh.RoundTripFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}, "Etag": {`"1"`}, "Server": {"x"}},
			Body: io.NopCloser(strings.NewReader("body")), ContentLength: 4,
		}, nil
	}), shared.Layer())
	plain, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://orders/1", nil)
	if err != nil {
		b.Fatal(err)
	}
	req := mesh.NewCall(b.Context()).Bind(plain)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := stack.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}
