package outbound

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"outrider/internal/mesh"
)

// slowBody gives what it is told to, and counts readers at once.
type slowBody struct {
	give    chan []byte
	closed  chan struct{}
	readers atomic.Int32
	crowd   atomic.Bool // two at once
}

func newSlowBody() *slowBody {
	return &slowBody{give: make(chan []byte), closed: make(chan struct{})}
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.readers.Add(1) > 1 {
		b.crowd.Store(true)
	}
	defer b.readers.Add(-1)
	select {
	case data, ok := <-b.give:
		if !ok {
			return 0, io.EOF
		}
		return copy(p, data), nil
	case <-b.closed:
		return 0, &mesh.Fault{Kind: mesh.ClientGone}
	}
}

func (b *slowBody) Close() error {
	close(b.closed)
	return nil
}

func uploadOf(body io.ReadCloser, length int64) *upload {
	req := httptest.NewRequest(http.MethodPut, "/", nil)
	req.Body, req.ContentLength = body, length
	return newUpload(req)
}

func open(t *testing.T, u *upload) *uploadReader {
	t.Helper()
	r, err := u.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUploadOfNothing(t *testing.T) {
	for _, body := range []io.ReadCloser{nil, http.NoBody} {
		u := uploadOf(body, 0)
		if u != nil || !u.repeatable() || u.failure() != nil || u.latest() != nil {
			t.Errorf("body %v: %v", body, u)
		}
	}
}

// TestAbandonedRead: a read that is in flight when its attempt is given up belongs to
// the next one.
func TestAbandonedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newSlowBody()
		u := uploadOf(client, -1)
		first := open(t, u)
		slice := []byte("untouched")
		failed := make(chan error)
		go func() {
			_, err := first.Read(slice)
			failed <- err
		}()
		synctest.Wait() // until the client is being read
		_ = first.Close()
		if err := <-failed; !errors.Is(err, errGivenUp) {
			t.Errorf("the abandoned reader got %v", err)
		}
		second := open(t, u)
		whole := make(chan []byte)
		go func() {
			b, err := io.ReadAll(second)
			if err != nil {
				t.Error(err)
			}
			whole <- b
		}()
		client.give <- []byte("hello, ")
		client.give <- []byte("world")
		close(client.give)
		if got := <-whole; string(got) != "hello, world" {
			t.Errorf("the second reader got %q", got)
		}
		if string(slice) != "untouched" {
			t.Errorf("the abandoned slice holds %q", slice)
		}
		if client.crowd.Load() {
			t.Error("the client's body had two readers at once")
		}
		if n, err := first.Read(slice); n != 0 || !errors.Is(err, errGivenUp) {
			t.Errorf("after Close: %d, %v", n, err)
		}
	})
}

// TestOpenAbandonsTheReaderBefore: net/http opens another by itself.
func TestOpenAbandonsTheReaderBefore(t *testing.T) {
	u := uploadOf(io.NopCloser(bytes.NewReader([]byte("hello"))), 5)
	first := open(t, u)
	second := open(t, u)
	if _, err := io.ReadAll(first); !errors.Is(err, errGivenUp) {
		t.Errorf("the first got %v", err)
	}
	if got, err := io.ReadAll(second); string(got) != "hello" || err != nil {
		t.Errorf("the second got %q, %v", got, err)
	}
}

func TestUploadLimits(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     int
		declared bool
		read     int // by the first attempt; negative is all
		again    bool
	}{
		{"small", 10, true, -1, true},
		{"limit, declared", replayLimit, true, -1, true},
		{"limit, undeclared", replayLimit, false, -1, true},
		{"over, declared", replayLimit + 1, true, -1, false},
		{"over, undeclared", replayLimit + 1, false, -1, false},
		{"over, declared, untouched", replayLimit + 1, true, 0, true},
		{"far over, the kept part", 10 * replayLimit, false, replayLimit, true},
		{"far over, one byte more", 10 * replayLimit, false, replayLimit + 1, false},
		{"far over, declared, the window", 10 * replayLimit, true, 1, true},
		{"far over, declared, past the window", 10 * replayLimit, true, chunk + 1, false},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"": func(r io.Reader) io.Reader { return r }, ", early end": iotest.DataErrReader,
		} {
			t.Run(c.name+name, func(t *testing.T) {
				data := bytes.Repeat([]byte("0123456789abcdef"), c.size/16+1)[:c.size]
				length := int64(-1)
				if c.declared {
					length = int64(c.size)
				}
				u := uploadOf(io.NopCloser(wrap(bytes.NewReader(data))), length)
				first := open(t, u)
				want := data
				if c.read >= 0 {
					want = data[:c.read]
				}
				got := make([]byte, len(want))
				if _, err := io.ReadFull(first, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("the first attempt read something else, %v", err)
				}
				if c.read < 0 {
					if n, err := first.Read(make([]byte, 1)); n != 0 || !isEnd(err) {
						t.Errorf("after the end: %d, %v", n, err)
					}
				}
				if u.repeatable() != c.again {
					t.Fatalf("repeatable %v, want %v", u.repeatable(), c.again)
				}
				second, err := u.open(nil)
				if !c.again {
					if !errors.Is(err, errSpent) {
						t.Errorf("open: %v", err)
					}
					return
				}
				if got, err := io.ReadAll(second); err != nil || !bytes.Equal(got, data) {
					t.Errorf("the second attempt read something else, %v", err)
				}
			})
		}
	}
}

// TestUploadMemory: a body that is not kept passes through one window.
func TestUploadMemory(t *testing.T) {
	u := uploadOf(io.NopCloser(io.LimitReader(zeros{}, 10<<20)), -1)
	n, err := io.Copy(io.Discard, open(t, u))
	if n != 10<<20 || err != nil {
		t.Fatal(n, err)
	}
	if cap(u.window) > replayLimit {
		t.Errorf("%d bytes are held", cap(u.window))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestUploadFailure(t *testing.T) {
	gone := &mesh.Fault{Kind: mesh.ClientGone}
	u := uploadOf(io.NopCloser(io.MultiReader(bytes.NewReader([]byte("he")), iotest.ErrReader(gone))), 5)
	for range 2 { // every attempt learns it
		if got, err := io.ReadAll(open(t, u)); string(got) != "he" || !errors.Is(err, gone) {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if !errors.Is(u.failure(), gone) {
		t.Errorf("failure %v", u.failure())
	}
}

// TestManyAttempts is for the race detector: attempts come and go at any time, and
// the last one gets all.
func TestManyAttempts(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 2048)
	for range 50 {
		client := io.NopCloser(iotest.OneByteReader(bytes.NewReader(data[:1000])))
		u := uploadOf(client, -1)
		var old sync.WaitGroup
		for range 5 {
			r := open(t, u)
			limit := rand.Int64N(500)
			old.Go(func() { _, _ = io.CopyN(io.Discard, r, limit) })
			old.Go(func() { _ = r.Close() })
		}
		if got, err := io.ReadAll(open(t, u)); err != nil || !bytes.Equal(got, data[:1000]) {
			t.Fatalf("the last attempt read %d bytes, %v", len(got), err)
		}
		old.Wait()
	}
}

func TestTrailerReachesEachAttempt(t *testing.T) {
	client := http.Header{"Sum": nil, "Unsaid": nil}
	u := uploadOf(io.NopCloser(bytes.NewReader([]byte("hello"))), -1)
	u.trailer = client
	client.Set("Sum", "42")
	for range 2 {
		mine := http.Header{"Sum": nil}
		r, err := u.open(mine)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if mine.Get("Sum") != "42" {
			t.Errorf("trailer %v", mine)
		}
	}
}

// TestEndWaitsForTheReader: after the call's end the client's body is another request's,
// whoever was reading it.
func TestEndWaitsForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newSlowBody()
		call := mesh.NewCall(t.Context())
		req := call.Bind(httptest.NewRequest(http.MethodPut, "/", nil))
		req.Body, req.ContentLength = client, -1
		retry := &retrier{ledger: &ledger{}, next: mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			go func() { _, _ = io.ReadAll(req.Body) }()
			synctest.Wait() // until the client is being read
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		})}
		if _, err := retry.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			call.End(mesh.Result{})
			close(ended)
		}()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("the call ended beside a reader of its body")
		default:
		}
		_ = client.Close() // as the server does first
		<-ended
	})
}

// TestWholeBodyIsClosedBesideARead: net/http's HTTP/2 does that when a stream breaks off.
func TestWholeBodyIsClosedBesideARead(t *testing.T) {
	b := &wholeBody{data: []byte("hello")}
	var closing sync.WaitGroup
	closing.Go(func() { _ = b.Close() })
	if _, err := b.Read(make([]byte, 5)); err != nil && !errors.Is(err, errGivenUp) {
		t.Error(err)
	}
	closing.Wait()
}
